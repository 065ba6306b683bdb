// Package profiles holds the tests that stand in for the MCP clients people
// use: each is a profile, the requests the client sends word for word and what
// it gives up on in an answer. All of them connect to a server from package
// coretest in both layouts, refresh, and find back after their grant or their
// registration has ended.
//
// A profile is as good as what is known of its client: published metadata
// documents, source, and requests that others captured. What nobody has seen is
// taken from the SDK a client is built on, and the SDKs themselves run in
// cmd/sallyport/e2e. How single rules are kept is tested in package core.
package profiles
