// Package e2e holds the end-to-end tests: the production binary as a process of
// its own, between parts that nobody here wrote. The clients are the official
// MCP SDKs, the upstreams stand behind compiled providers, the store is a bolt
// file or a real Redis. They prove that a login works, with an upstream as lax
// as emulate's GitHub and Slack and as strict as oidc-provider and fosite, that
// each SDK finds back by itself after whatever ends its tokens, and what of a
// login survives a restart, an outage, a new plugin and a configuration that leads
// to another upstream, where recordings show that nothing of the old one's arrives.
// The MCP project's conformance tool judges the authorization server, and the
// gateway by the difference that it makes to a reference server. Proxies run the very files of
// config/examples. Programs that fold the names of headers (PHP, CGI, WSGI, ASGI)
// read what the gateway says and not what a client sends.
//
// An older release, if there is one (make beside), serves the same store before,
// beside and after this one.
//
// A real Keycloak, if there is one (make keycloak), ends sessions and signs its
// userinfo.
//
// It leaves the protocol's corner cases to the packages below core, and the
// loop against a double of ours to `sallyport demo --check`.
//
// What is not Go is in the folders node, python, readers and envoy; `make test` installs it. There emulate
// stays pinned: the version that the registry calls latest is another program.
// The folder fosite is a module of its own, built when the tests run.
// Everything listens on loopback, on free ports.
package e2e
