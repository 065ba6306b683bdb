package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what is compared with: REFERENCE.md and the wanted faults in testdata")

// TestFaults loads the files of each archive in testdata/faults and compares
// what is said with its file "want". Files end in .yaml and are layered in
// their order; "env" and "flags" hold one variable or flag a line. A value
// that must not be shown anywhere contains the word hush.
func TestFaults(t *testing.T) {
	archives, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			head, want, ok := strings.Cut(string(text), "-- want --\n")
			if !ok {
				t.Fatal("no file want")
			}
			opts := unpack(t, strings.ReplaceAll(head, "$DIR", dir), dir)
			cfg, err := Load(opts)
			if _, ok := errors.AsType[*Faults](err); !ok || cfg != nil {
				t.Fatalf("Load: %v, %T %v, want nil and *Faults", cfg, err, err)
			}
			got := strings.ReplaceAll(strings.ReplaceAll(err.Error()+"\n", dir+"/", ""), dir, "DIR")
			if strings.Contains(got, "hush") {
				t.Errorf("a value is shown:\n%s", got)
			}
			if *update {
				want = got
				if err := os.WriteFile(archive, []byte(head+"-- want --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

// unpack writes an archive's files into dir and returns what to load.
func unpack(t *testing.T, archive, dir string) Options {
	t.Helper()
	var opts Options
	comment, rest, _ := strings.Cut("\n"+archive, "\n-- ")
	for rest != "" {
		var file string
		file, rest, _ = strings.Cut(rest, "\n-- ")
		name, data, ok := strings.Cut(file, " --\n")
		if !ok && !strings.HasSuffix(file, " --") {
			t.Fatalf("no end of the name in %q", file)
		}
		name = strings.TrimSuffix(name, " --")
		lines := strings.FieldsFunc(data, func(r rune) bool { return r == '\n' })
		switch name {
		case "env":
			opts.Environ = lines
			continue
		case "flags":
			opts.Flags = parseFlags(t, lines...)
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".yaml") {
			opts.Files = append(opts.Files, filepath.Join(dir, name))
		}
	}
	if strings.Contains(comment, "missing.yaml") {
		opts.Files = append(opts.Files, filepath.Join(dir, "missing.yaml"), dir)
	}
	return opts
}
