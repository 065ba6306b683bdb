// Package stories holds the faults that were found in the first release
// candidate, each as a story that needs a binary, its configuration and HTTP,
// and nothing of its inside. So the same stories can be told of any binary:
//
//	go test ./cmd/sallyport/e2e/stories -binary bin/sallyport -plugins plugins/dist
//
// Without the flags both are built from the tree. The upstreams, backends and
// proxies are doubles of ours; what real servers do in these situations is
// tested in package e2e. The ids are those of core/FLAWS.md.
package stories
