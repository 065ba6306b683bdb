//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAuditPipeNeedsAReader: a pipe that no process reads is an error at once,
// where the open would wait for a reader.
func TestAuditPipeNeedsAReader(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "audit")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openAuditFile(pipe); err == nil || !strings.Contains(err.Error(), "no process reads it; start the reader first") {
		t.Fatalf("without a reader: %v", err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	file, err := openAuditFile(pipe)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = file.WriteString("a line\n")
		_ = file.Close()
	}()
	if text, err := io.ReadAll(reader); err != nil || string(text) != "a line\n" {
		t.Errorf("%q, %v", text, err)
	}
}
