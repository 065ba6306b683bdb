//go:build !linux

package main

// limitProcess does nothing: only Linux counts address space in a way that a Go
// program can live with. What the loader refuses is refused here too.
func limitProcess() error { return nil }
