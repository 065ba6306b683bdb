package demo

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRunStepsPrintsEachWithItsTime(t *testing.T) {
	t.Parallel()
	c := &clock{now: time.Unix(0, 0)}
	good := step{"short", func(context.Context) (string, error) { c.add(1500 * time.Microsecond); return "seen", nil }}
	long := step{"a longer name", func(context.Context) (string, error) { c.add(2 * time.Millisecond); return "too", nil }}
	broken := errors.New("expected 1, got 2")
	bad := step{"bad", func(context.Context) (string, error) { return "", broken }}
	never := step{"never", func(context.Context) (string, error) { t.Error("ran after a failure"); return "", nil }}

	var out strings.Builder
	if err := runSteps(t.Context(), &out, c.Now, []step{good, long}); err != nil {
		t.Error(err)
	}
	want := "ok        1.5 ms  short          seen\n" +
		"ok        2.0 ms  a longer name  too\n" +
		"all 2 steps passed in      3.5 ms\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}

	out.Reset()
	err := runSteps(t.Context(), &out, c.Now, []step{good, bad, never})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "bad: ") {
		t.Errorf("error = %v", err)
	}
	want = "ok        1.5 ms  short  seen\n" +
		"FAIL      0.0 ms  bad\n     expected 1, got 2\n1 of 3 steps passed in      1.5 ms\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
}

func TestTraceKeepsNoQueryAndGroupsPhases(t *testing.T) {
	t.Parallel()
	server := pages(t)
	tr := &trace{next: transportOr(nil), now: time.Now}
	if _, err := NewBrowser(SignIn("ada"), tr).Visit(t.Context(), server.URL+"/authorize?code=secret", isCallback); err != nil {
		t.Fatal(err)
	}
	seen := tr.take()
	for _, e := range seen {
		if strings.Contains(e.url, "?") || strings.Contains(e.url, "secret") {
			t.Errorf("kept %s", e.url)
		}
	}
	phases := phasesOf(seen, func(e exchange) string {
		if strings.HasSuffix(e.url, "/away") {
			return "away"
		}
		return "home"
	})
	if len(phases) != 3 || phases[0].count != 2 || phases[1].name != "away" || phases[2].count != 1 {
		t.Errorf("phases = %+v", phases)
	}
	if got := describe(phases); !strings.Contains(got, "(2 requests), away ") {
		t.Errorf("describe = %q", got)
	}
	if len(tr.take()) != 0 {
		t.Error("take does not empty the trace")
	}
}
