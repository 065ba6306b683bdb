package upstream

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// What only the operator mends is told in words that say so, whatever the provider
// wrote for the user; other kinds in the provider's words.
func TestUserIsToldWhoMendsIt(t *testing.T) {
	t.Parallel()
	const words = "The connection to the upstream is not set up correctly."
	for _, kind := range Kinds() {
		for _, step := range []Step{StepAuthorize, StepLogin, StepCall, StepExchange} {
			told := ToOAuth(step, &Error{Kind: kind, Message: words, Detail: "upstream says x"}).Description
			operator := kind == Misconfigured || kind == Bug
			if operator != strings.Contains(told, "its operator has to mend it") || operator == strings.Contains(told, words) || strings.Contains(told, "upstream says x") {
				t.Errorf("%s, %s: %q", step, kind, told)
			}
		}
	}
}

// A failure is one sentence: no kind, message or cause stands in it twice.
func TestFailureIsSaidOnce(t *testing.T) {
	t.Parallel()
	late := fmt.Errorf("wrapped: %w", context.DeadlineExceeded)
	for _, c := range []struct {
		e    Error
		want string
	}{
		{Error{Kind: AccessDenied, Message: "Access was not granted.", Detail: "upstream says access_denied"}, "upstream says access_denied"},
		{Error{Kind: AccessDenied, Message: "Access was not granted."}, "Access was not granted."},
		{Error{Kind: Unavailable, Message: "Try again.", Err: context.DeadlineExceeded}, "no answer within the time limit"},
		{Error{Kind: Unavailable, Detail: "plugin p, refresh", Err: context.DeadlineExceeded}, "plugin p, refresh: no answer within the time limit"},
		{Error{Kind: Unavailable, Err: late}, late.Error()},
	} {
		if got := c.e.Why(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
		if got := ToOAuth(StepLogin, &c.e).Cause.Error(); got != c.want {
			t.Errorf("%+v: the cause is %q, want %q", c.e, got, c.want)
		}
	}
}
