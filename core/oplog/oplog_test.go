package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/upstream"
)

func TestSuppressedLinesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		l := New(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info}))
		for range maxLines + 15 {
			l.Write(hclog.Warn, "login failed", []any{"tenant", "music"}, "error", "x")
		}
		l.Write(hclog.Warn, "login failed", []any{"tenant", "octo"}, "error", "y")
		if n := strings.Count(out.String(), "tenant=music error=x"); n != maxLines {
			t.Errorf("%d lines of the flood, want %d", n, maxLines)
		}
		if n := strings.Count(out.String(), "tenant=octo error=y"); n != 1 {
			t.Errorf("%d lines of the other tenant, want 1", n)
		}
		time.Sleep(window + time.Second)
		synctest.Wait()
		if n := strings.Count(out.String(), "suppressed="); n != 1 || !strings.Contains(out.String(), "[WARN]  login failed: tenant=music suppressed=15") {
			t.Errorf("the count of what was left out:\n%s", out.String())
		}
		out.Reset()
		l.Write(hclog.Warn, "login failed", []any{"tenant", "music"}, "error", "z")
		if !strings.Contains(out.String(), "error=z") {
			t.Error("the next window writes nothing")
		}
		time.Sleep(2 * window)
	})
}

// output collects lines, which the end of a window writes on a timer's goroutine.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Reset()
}

func TestNilLogWritesNothing(t *testing.T) {
	t.Parallel()
	var l *Log
	l.Write(hclog.Warn, "login failed", nil)
}

// An error that names its remedy is told with it, and not with that of its code.
func TestRemedyOfAnErrorThatNamesOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cause error
		want  string
	}{
		{remedied{}, "turn it off and on"},
		{fmt.Errorf("callback: %w", remedied{}), "turn it off and on"},
		{errors.New("no entry of accounts names it"), "to admit the account"},
	} {
		var out bytes.Buffer
		l := New(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info}))
		_ = l.LoginFailed(t.Context(), "music", upstream.StepLogin, &oauth.Error{Code: oauth.AccessDenied, Description: "no", Cause: c.cause})
		if !strings.Contains(out.String(), c.want) || strings.Count(out.String(), "remedy=") != 1 {
			t.Errorf("%v: %s", c.cause, out.String())
		}
	}
}

type remedied struct{}

func (remedied) Error() string  { return "no iss" }
func (remedied) Remedy() string { return "turn it off and on" }
