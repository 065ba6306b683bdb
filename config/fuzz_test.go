package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: whatever a file and a variable hold, Load returns either a
// configuration or faults of one line each, and says the same twice.
func FuzzLoad(f *testing.F) {
	seeds, err := filepath.Glob("examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	archives, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(seeds, archives...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, body, ok := strings.Cut(string(text), ".yaml --\n")
		if !ok {
			body = string(text)
		}
		body, _, _ = strings.Cut(body, "\n-- ")
		f.Add([]byte(body), "TENANTS__octo__SETTINGS", "{a: [1, ${env:X}]}")
	}
	f.Add([]byte("a: &a {<<: [*a, *a]}\n"), "KEYS", "a, b")
	f.Fuzz(func(t *testing.T, text []byte, name, value string) {
		load := func() (*Config, error) {
			l := newLoader()
			l.readFile = func(file string) ([]byte, error) {
				if file == "fuzz.yaml" {
					return text, nil
				}
				return nil, fs.ErrNotExist
			}
			return l.load(Options{Files: []string{"fuzz.yaml"}, Environ: []string{"SALLYPORT_" + name + "=" + value}})
		}
		cfg, err := load()
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
		if err == nil {
			return
		}
		faults, ok := errors.AsType[*Faults](err)
		if !ok || len(*faults) == 0 {
			t.Fatalf("error is %T %v", err, err)
		}
		for _, fault := range *faults {
			if line := fault.String(); strings.ContainsAny(line, "\n\r") || strings.Contains(line, "internal error") {
				t.Fatalf("fault %q", line)
			}
		}
		if _, again := load(); fmt.Sprint(again) != fmt.Sprint(err) {
			t.Fatalf("first\n%v\nthen\n%v", err, again)
		}
	})
}
