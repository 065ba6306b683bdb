package session

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// A session and a visitor are of the upstream that they began at: after a change of
// it neither counts, unless the change means the same app. What names no upstream,
// as a replica of the release before leaves it, counts while the tenant's has not
// changed within its life.
func TestSessionsAndVisitorsAreOfTheirUpstream(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		before, after tenant.Upstream
		nameless      bool
		ours          bool
	}{
		"the same":                {tenant.Upstream{Identity: "up_a"}, tenant.Upstream{Identity: "up_a"}, false, true},
		"another":                 {tenant.Upstream{Identity: "up_a"}, tenant.Upstream{Identity: "up_b"}, false, false},
		"another name of it":      {tenant.Upstream{Identity: "up_a"}, tenant.Upstream{Identity: "up_b", Same: []upstream.Identity{"up_a"}}, false, true},
		"nameless, no change":     {tenant.Upstream{}, tenant.Upstream{Identity: "up_a", Periods: []tenant.Period{{Identity: "up_a"}}}, true, true},
		"nameless, then a change": {tenant.Upstream{}, tenant.Upstream{Identity: "up_b", Periods: []tenant.Period{{Identity: "up_a"}, {Since: time.Unix(1_800_000_000, 0), Identity: "up_b"}}}, true, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			b := browser{}
			h.music.Upstream = c.before
			w := httptest.NewRecorder()
			location, err := h.SignIn(t.Context(), w, h.music)
			if err != nil {
				t.Fatal(err)
			}
			b.keep(w)
			v := ada
			if v.Upstream = h.music.UpstreamIdentity(); c.nameless {
				v.Upstream = ""
				h.forgetUpstream(t, stateOf(t, location))
			}
			h.welcome(t, b, h.music, v)
			h.music.Upstream = c.after
			got := h.Visitor(b.request(), h.music)
			if (got.Subject != "") != c.ours || c.ours && got.Upstream != c.after.Identity {
				t.Errorf("the visitor is %+v", got)
			}
			_, err = h.Take(t.Context(), httptest.NewRecorder(), b.request(), h.music, stateOf(t, location))
			if (err == nil) != c.ours || !c.ours && !errors.Is(err, ErrOtherUpstream) {
				t.Errorf("the session: %v", err)
			}
		})
	}
}

// forgetUpstream writes the session of a state as the release before does.
func (h *harness) forgetUpstream(t *testing.T, state string) {
	t.Helper()
	if _, err := h.records.Update(t.Context(), h.music.Name, state[len(h.music.Name)+1:], func(r *record) (time.Duration, error) {
		r.Upstream = ""
		return h.music.Lifetimes.Session, nil
	}); err != nil {
		t.Fatal(err)
	}
}
