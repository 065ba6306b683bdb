package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	compileMemory  = 3 << 30 // bytes of address space beyond what the program starts with
	compileSeconds = 60      // of processor time; a module of 3 MB takes 3, and ten times that under the race detector
)

// limitProcess puts this process under the limits of a compiler.
func limitProcess() error {
	var pages uint64
	statm, err := os.ReadFile("/proc/self/statm") // proc_pid_statm(5): size first, in pages
	if err == nil {
		_, err = fmt.Sscan(string(statm), &pages)
	}
	if err != nil {
		return fmt.Errorf("the compiler cannot be limited: %w", err)
	}
	memory := pages*uint64(os.Getpagesize()) + compileMemory
	for what, n := range map[int]uint64{unix.RLIMIT_AS: memory, unix.RLIMIT_CPU: compileSeconds, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("the compiler cannot be limited: %w", err)
		}
	}
	return nil
}
