//go:build unix

package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// serving answers at a socket with the name of the server, until the test ends.
func serving(t *testing.T, path string) *Socket {
	t.Helper()
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ConnContext: ConnContext, Handler: Handler(Config{
		Log: hclog.NewNullLogger(), Server: func() Server { return Server{Replica: path} },
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
		_ = l.Close()
	})
	return l
}

// folder is a place for sockets with a short name.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestSocketIsForItsUserOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "admin", "server.sock")
	l := serving(t, path)
	for name, want := range map[string]os.FileMode{filepath.Dir(path): os.ModeDir | 0o700, path: os.ModeSocket | 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if _, server, err := Dial(t.Context(), path); err != nil || server.Replica != path {
		t.Errorf("dial: %+v, %v", server, err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a second server: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := Dial(t.Context(), path); !errors.Is(err, ErrNoServer) {
		t.Errorf("dial after close: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestSocketReplacesOnlyAStaleOne(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Dial(t.Context(), stale); !errors.Is(err, ErrNoServer) {
		t.Errorf("dial to a stale socket: %v", err)
	}
	serving(t, stale)
	if _, _, err := Dial(t.Context(), stale); err != nil {
		t.Errorf("the stale socket was not replaced: %v", err)
	}

	live := filepath.Join(dir, "live.sock") // of a program that takes no lock
	other, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := Listen(t.Context(), live); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Errorf("a socket that answers: %v", err)
	}
	file := filepath.Join(dir, "file.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), file); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
}

func TestSocketFolderMustBeClosedToOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "open")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), filepath.Join(dir, "a.sock")); err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) {
		t.Errorf("mode 0755: %v", err)
	}
	if _, err := Listen(t.Context(), filepath.Join(dir, "missing", "below", "a.sock")); err == nil || !strings.Contains(err.Error(), "cannot be made") {
		t.Errorf("two folders are missing: %v", err)
	}
}

func TestCheckSaysWhatListenWould(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	path := filepath.Join(dir, "a.sock")
	for _, at := range []string{path, filepath.Join(dir, "missing", "a.sock")} {
		if err := Check(at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it made %v, %v", entries, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) {
		t.Errorf("mode 0755: %v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Errorf("root looks at the folder of the server's user: %v", err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "belongs to uid 4242") {
		t.Errorf("a folder of another user: %v", err)
	}
}

func TestSocketPathMayBeLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), strings.Repeat("l", 90), strings.Repeat("o", 60)+".sock")
	serving(t, path)
	if _, server, err := Dial(t.Context(), path); err != nil || server.Replica != path {
		t.Errorf("%+v, %v", server, err)
	}
}

// The kernel says who is at the other end; what it does not say is refused.
func TestOtherUsersAreRefused(t *testing.T) {
	t.Parallel()
	h := Handler(Config{Log: hclog.NewNullLogger(), Server: func() Server { return Server{} }})
	for uid, want := range map[int]int{os.Geteuid(): http.StatusOK, 0: http.StatusOK, 4242: http.StatusForbidden, -1: http.StatusForbidden} {
		r := httptest.NewRequest(http.MethodGet, pathServer, nil)
		if uid >= 0 {
			r = r.WithContext(context.WithValue(r.Context(), actorKey{}, Actor{uid}))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("uid %d: %d, want %d: %s", uid, w.Code, want, w.Body)
		}
	}
}
