//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFilesThatDoNotEnd: no file that a configuration names stops a start or a
// reload, and pipes with a writer are read, as a shell's <(…) is one.
func TestFilesThatDoNotEnd(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(pipe, time.Millisecond); err == nil || !strings.Contains(err.Error(), "start the writer first") {
		t.Errorf("without a writer: %v", err)
	}
	silent, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readFile(pipe, time.Millisecond); err == nil || !strings.Contains(err.Error(), "start the writer first") {
		t.Errorf("with a writer that writes nothing: %v", err)
	}
	_ = silent.Close()
	go func() { // later than the reader, or not
		_ = os.WriteFile(pipe, []byte("a secret\n"), 0)
	}()
	if text, err := readFile(pipe, time.Minute); err != nil || string(text) != "a secret\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := ReadFile("/dev/zero"); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("a device without an end: %v", err)
	}
	if _, err := ReadFile(t.TempDir()); err == nil {
		t.Error("a folder is read")
	}
}
