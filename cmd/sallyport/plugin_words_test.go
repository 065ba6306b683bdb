package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/plugins"
)

func TestMemoryFaultIsOneLine(t *testing.T) {
	t.Parallel()
	log := []string{"fatal error: runtime: out of memory", "", "goroutine 1 [running]:", "runtime.throw()"}
	if got := said(log); strings.Contains(got, "\n") || !strings.Contains(got, "more memory than a plugin may have") {
		t.Errorf("got %q", got)
	}
	if got := said([]string{"hello"}); !strings.Contains(got, "hello") {
		t.Errorf("got %q", got)
	}
}

func TestPluginCallWarnsOfAnEmailAsID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{"ada@example.com": true, "u-1815": false, "acct:7@local": false} {
		text, err := json.Marshal(map[string]any{"access_token": "a", "account": map[string]any{"id": id}})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		(&transcript{Result: text}).print(&out)
		if got := strings.Contains(out.String(), "form of an e-mail address"); got != want {
			t.Errorf("%s: warned %t, want %t", id, got, want)
		}
	}
}

func TestPluginCallShowsTheTimeOfARun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	shown := &transcript{}
	shown.add(plugins.Turn{Fuel: 1, Took: 1234 * time.Millisecond})
	shown.print(&out)
	if !strings.Contains(out.String(), "memory  1234 ms\n") {
		t.Errorf("got %s", out.String())
	}
}

// A number stands with its noun, and one of something is not several.
func TestNumbersStandWithTheirNoun(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 steps", 1: "1 step", 2: "2 steps", 12345: "12,345 steps"} {
		if got := counted(n, "step"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var out bytes.Buffer
	(&transcript{Plugin: "p", Version: "1", Op: "revoke", Steps: 1}).print(&out)
	if !strings.Contains(out.String(), "  1 step  ") {
		t.Errorf("plugin call: %s", out.String())
	}
	out.Reset()
	if err := printReplays(&out, []replay{{File: "a.txtar", OK: true, Steps: 1}}); err != nil || !strings.Contains(out.String(), "  1 step  ") {
		t.Errorf("plugin test: %v %s", err, out.String())
	}
}
