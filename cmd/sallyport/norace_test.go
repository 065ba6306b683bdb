//go:build !race

package main

// raceEnabled tells whether everything is ten times slower.
func raceEnabled() bool { return false }
