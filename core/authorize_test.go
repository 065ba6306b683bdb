package core_test

import (
	"net/url"
	"testing"

	"github.com/sallyport/sallyport/core/coretest"
)

func TestPromptReachesTheUpstreamAfterConsent(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id, user := s.Register(t, "music"), s.Browser()
	for prompt, want := range map[string]string{
		"": "", "consent": "", "login": "login", "select_account consent": "select_account", "login select_account": "login select_account",
		"of-the-future login": "login",
	} {
		q := s.AuthorizeQuery("music", id)
		q.Set("prompt", prompt)
		if got := s.Consent(t, user, "music", q, "approve").Query().Get("prompt"); got != want {
			t.Errorf("prompt=%s: the upstream is asked for %q, want %q", prompt, got, want)
		}
	}
	if got := s.Consent(t, user, "music", pushed(t, s, id, url.Values{"prompt": {"login"}}), "approve").Query().Get("prompt"); got != "login" {
		t.Errorf("pushed: the upstream is asked for %q", got)
	}
}
