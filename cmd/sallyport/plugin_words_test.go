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
