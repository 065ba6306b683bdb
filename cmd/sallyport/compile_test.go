package main

import (
	"os"
	"strings"
	"testing"
)

func TestChildCompiles(t *testing.T) {
	compile, err := childCompiler()
	if err != nil {
		t.Fatal(err)
	}
	const empty = "\x00asm\x01\x00\x00\x00"
	for name, tt := range map[string]struct{ code, want string }{
		"a module":        {empty, ""},
		"no module":       {"hello", "the compiler's process ended with exit status 1: "},
		"type 99 of none": {empty + "\x03\x02\x01\x63\x0a\x04\x01\x02\x00\x0b", "the compiler's process ended with "},
	} {
		dir := t.TempDir()
		err := compile(t.Context(), dir, []byte(tt.code))
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if entries, _ := os.ReadDir(dir); err != nil || len(entries) == 0 {
			t.Errorf("%s: %v, %d entries", name, err, len(entries))
		}
	}
}
