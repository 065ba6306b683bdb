//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/seal"
)

// place makes a file with a mode, and its folder with another.
func place(t *testing.T, name string, mode, folder fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "folder", name)
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{path: mode, filepath.Dir(path): folder} {
		if err := os.Chmod(name, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	return path
}

func link(t *testing.T, target string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFilesThatOthersCanChangeAreRefused(t *testing.T) {
	t.Parallel()
	below := func(mode fs.FileMode) string {
		above := filepath.Dir(place(t, "x", 0o600, mode))
		path := filepath.Join(above, "below", "file")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tt := range map[string]struct{ path, want string }{
		"private":                        {place(t, "f", 0o600, 0o700), ""},
		"readable by all":                {place(t, "f", 0o644, 0o755), ""},
		"read only, Kubernetes":          {place(t, "f", 0o440, 0o755), ""},
		"in a folder like /tmp":          {place(t, "f", 0o600, 0o777|fs.ModeSticky), ""},
		"below a folder like /tmp":       {below(0o777 | fs.ModeSticky), ""},
		"a link to a private one":        {link(t, place(t, "f", 0o600, 0o700)), ""},
		"writable by all":                {place(t, "f", 0o666, 0o755), "chmod o-w "},
		"written only":                   {place(t, "f", 0o602, 0o755), "chmod o-w "},
		"in a folder writable by all":    {place(t, "f", 0o600, 0o777), "chmod o-w "},
		"below a folder writable by all": {below(0o777), "chmod o-w "},
		"a link to a writable one":       {link(t, place(t, "f", 0o646, 0o755)), "chmod o-w "},
		"a link to an open folder":       {link(t, place(t, "f", 0o600, 0o777)), "chmod o-w "},
		"two links":                      {link(t, link(t, place(t, "f", 0o666, 0o755))), "chmod o-w "},
		"a folder writable by all":       {filepath.Dir(place(t, "f", 0o600, 0o777)), "chmod o-w "},
	} {
		err := trusted(tt.path)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
}

// belonging is a file of a user.
type belonging struct {
	fs.FileInfo
	uid int
}

func (b belonging) Sys() any { return &syscall.Stat_t{Uid: uint32(b.uid)} }

func TestFilesOfOtherUsersAreRefused(t *testing.T) {
	t.Parallel()
	for uid, want := range map[int]bool{0: true, os.Geteuid(): true, 4242: false} {
		err := owned("/etc/sallyport.yaml", belonging{uid: uid})
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "chown") {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
}

// Every place is checked that decides what the server does, and what others can
// only read is a warning.
func TestConfigurationThatOthersCanChangeIsRefused(t *testing.T) {
	t.Parallel()
	key := seal.NewKey().Reveal()
	setUp := func() (dir, file string) {
		dir = t.TempDir()
		file = filepath.Join(dir, "sallyport.yaml")
		for name, text := range map[string]string{
			"sallyport.yaml": "server: { url: \"http://localhost/{tenant}\", admin_socket: \"off\" }\naudit: \"off\"\nstore: \"bolt://" + dir + "/state/state.db\"\n" +
				"keys: [\"${file:" + dir + "/key}\"]\nplugins: { dir: \"" + dir + "/plugins\", cache_dir: \"" + dir + "/cache\" }\n",
			"key": key,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"plugins", "state", "cache"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		return dir, file
	}
	for name, tt := range map[string]struct {
		mode fs.FileMode
		code int
		want string
	}{
		"":               {0o700, exitOK, ""},
		"sallyport.yaml": {0o602, exitFailed, "every user can write it: run: chmod o-w "},
		"key":            {0o666, exitFailed, "every user can write it: run: chmod o-w "},
		"plugins":        {0o777, exitFailed, "plugins/dir: "},
		"state":          {0o777, exitFailed, "store: "},
		"cache":          {0o777, exitOK, "warning: plugins/cache_dir: compiled plugins are not kept"},
		"./key":          {0o644, exitOK, "holds secrets and has mode 0644, so every user can read it: run: chmod o-r "},
		"./cache":        {0o000, exitOK, ""},
	} {
		dir, file := setUp()
		if name == "./cache" { // cannot be made: a file is in its place
			name, tt.want = "cache", "warning: plugins/cache_dir: "
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Chmod(filepath.Join(dir, name), tt.mode); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		code := run(t.Context(), []string{"check", "-c", file}, system{out: &out, err: &errs})
		if code != tt.code || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%q with mode %04o: exit code %d; %s%s", name, tt.mode, code, out.String(), errs.String())
		}
	}
}

// A secret that is written into a file is told from one that is referred to.
func TestLiteralSecretsAreNoticed(t *testing.T) {
	t.Parallel()
	key := seal.NewKey().Reveal()
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"a key":             {"keys: [" + key + "]", true},
		"a reference":       {"keys: [\"${env:KEY}\"]", false},
		"a password":        {"keys: [\"${env:KEY}\"]\nstore: redis://u:hush@127.0.0.1", true},
		"its reference":     {"keys: [\"${env:KEY}\"]\nstore: \"redis://u:${env:KEY}@127.0.0.1\"", false},
		"a header":          {tenantOf(`inject: { X-Api-Key: "abcdefghijkl" }`), true},
		"a placeholder":     {tenantOf(`inject: { Authorization: "Bearer {token}", X-User: "{subject}" }`), false},
		"a client's secret": {tenantOf("client_secret: hush"), true},
	} {
		file := place(t, "sallyport.yaml", 0o644, 0o755)
		text := "server: { url: \"http://localhost/{tenant}\" }\n" + tt.text + "\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var origins config.Origins
		if _, err := config.Load(config.Options{Files: []string{file}, Environ: []string{"KEY=" + key}, Origins: &origins}); err != nil {
			t.Fatal(err)
		}
		warnings, err := checkOrigins(&origins)
		if err != nil || len(warnings) > 0 != tt.want {
			t.Errorf("%s: %q, %v", name, warnings, err)
		}
	}
}

// tenantOf is a configuration of one tenant with one more key.
func tenantOf(line string) string {
	return "keys: [\"${env:KEY}\"]\ntenants:\n  a:\n    provider: oauth2\n    client_id: a\n    backend: http://127.0.0.1:9/mcp\n    " + line
}
