// Package e2e holds the end-to-end tests: the production binary as a process of
// its own, between parts that nobody here wrote. The clients are the official
// MCP SDKs for Go and TypeScript, the upstream is emulate's GitHub behind the
// provider compiled to github.wasm, the store is a bolt file or a real Redis.
// They prove that a login works and what of it survives a restart, an outage
// and a new plugin.
//
// It leaves the protocol's corner cases to the packages below core, and the
// loop against a double of ours to `sallyport demo --check`.
//
// What is not Go is in the folder node; `make test` installs it. There emulate
// stays pinned: the version that the registry calls latest is another program.
// Everything listens on loopback, on ports that were free.
package e2e
