//go:build !faults

package main

// newFaults returns none: only the build with the tag faults, which tests make
// for themselves, can be told to fail (faults_on.go).
func newFaults([]string) faults { return faults{} }
