// Package demo holds the parts of `sallyport demo` that are not Sallyport: an
// upstream with a login page (Upstream), an MCP server that works on its data
// (NewBackend), an MCP client that logs in through a scripted browser (Connect,
// Browser), and the run that drives all of them and checks every step (Check).
// Everything is a double for demonstration, kept in memory.
//
// It leaves to the command what ties them together: listeners, tenants, the
// provider that speaks to the upstream, and Sallyport itself.
package demo
