package sdktest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

// Updating a transcript keeps the responses that the provider did not ask for.
func TestUnusedResponsesAreKept(t *testing.T) {
	t.Parallel()
	const call, request, result = "-- call --\nop: exchange\n", "-- request --\nGET https://up.test/\n", "-- result --\n{}\n"
	const one, two = "-- response --\n200\n\none\n", "-- response --\n200\n\ntwo\n"
	for what, c := range map[string]struct {
		transcript, got, want string
		unused                int
	}{
		"all are used":    {call + request + one + result, call + request + one + result, call + request + one + result, 0},
		"the last is not": {call + request + one + request + two + result, call + request + one + result, call + request + one + result + two, 1},
		"none is":         {call + request + one + request + two + result, call + result, call + result + one + two, 2},
		"more are needed": {call + request + one + result, call + request + one + request + "-- response --\n", call + request + one + request + "-- response --\n", 0},
		"there are none":  {call, call + result, call + result, 0},
	} {
		if got, unused := withUnused(c.transcript, c.got); got != c.want || unused != c.unused {
			t.Errorf("%s: %d unused, want %d:\n%s", what, unused, c.unused, Diff(c.want, got))
		}
	}
}

type written struct{ oauth2.Provider }

func (written) Refresh(*sdk.Conversation, sdk.RefreshInput) (*sdk.Credential, error) { return nil, nil }
func (*written) Revoke(*sdk.Conversation, sdk.RevokeInput) error                     { return nil }

// A method that the manifest's capabilities leave out is never called. The methods
// of an embedded table are there in any case.
func TestMethodsWithoutACapabilityAreReported(t *testing.T) {
	t.Parallel()
	info := func(refresh, revoke bool) oauth2.Provider {
		return oauth2.Provider{Info: sdk.Manifest{Capabilities: sdk.Capabilities{Refresh: refresh, Revoke: revoke}}}
	}
	table := info(false, false)
	for what, c := range map[string]struct {
		p    sdk.Provider
		want []string
	}{
		"a table":                  {&table, nil},
		"an embedded table":        {&struct{ oauth2.Provider }{table}, nil},
		"both methods and neither": {&written{info(false, false)}, []string{"Capabilities.Refresh", "Capabilities.Revoke"}},
		"both methods and one":     {&written{info(true, false)}, []string{"Capabilities.Revoke"}},
		"both methods and both":    {&written{info(true, true)}, nil},
	} {
		err := unusedMethods(c.p)
		if (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %s", what, err, part)
			}
		}
	}
}

// What a module cannot use is reported by name, with what to use instead.
func TestImportsThatAModuleCannotUse(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ text, broken, heavy string }{
		"files":            {`import "os"`, "a.go imports os: a plugin has no files", ""},
		"a process":        {`import "os/exec"`, "a.go imports os/exec: a plugin has no files, environment and processes", ""},
		"a connection":     {`import "net"`, "a.go imports net: a plugin has no network of its own", ""},
		"an HTTP client":   {`import "net/http"`, "", "a.go imports net/http: the module grows"},
		"JSON":             {`import j "encoding/json"`, "", "sdk/tree"},
		"what is fine":     {"import (\n\"net/url\"\n\"strings\"\n\"osmium.example/os\"\n)", "", ""},
		"another system's": {"//go:build !wasip1\n\npackage main\nimport \"os\"", "", ""},
	} {
		dir := t.TempDir()
		text := c.text
		if !strings.Contains(text, "package main") {
			text = "package main\n" + text
		}
		for name, text := range map[string]string{"a.go": text, "b.go": "package main", "a_test.go": "package main\nimport \"os\""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		broken, heavy, err := Imports(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, side := range []struct {
			got  []string
			want string
		}{{broken, c.broken}, {heavy, c.heavy}} {
			if all := strings.Join(side.got, "\n"); (all == "") != (side.want == "") || !strings.Contains(all, side.want) {
				t.Errorf("%s: %q, want %q", what, all, side.want)
			}
		}
	}
	if broken, heavy, err := Imports("."); broken != nil || heavy != nil || err != nil {
		t.Errorf("a package that is not a module: %q %q %v", broken, heavy, err)
	}
	if broken, heavy, err := Imports(t.TempDir()); broken != nil || heavy != nil || err != nil {
		t.Errorf("a folder without Go files: %q %q %v", broken, heavy, err)
	}
}
