package plugins

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/upstream"
)

// What a token endpoint refuses is not an outage, and says whom it may mean.
func TestRefusalsOfATokenEndpointAreNotOutages(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]upstream.Error{
		400: {Kind: upstream.Misconfigured, Suspect: upstream.SuspectEither},
		401: {Kind: upstream.Misconfigured, Suspect: upstream.SuspectClient},
		403: {Kind: upstream.Misconfigured, Suspect: upstream.SuspectEither},
		404: {Kind: upstream.Misconfigured, Suspect: upstream.SuspectEither},
		409: {Kind: upstream.Unavailable},
		423: {Kind: upstream.Unavailable},
		503: {Kind: upstream.Unavailable},
		200: {Kind: upstream.Unavailable, Suspect: upstream.SuspectLasting},
		302: {Kind: upstream.Misconfigured, Suspect: upstream.SuspectClient},
	} {
		r := newRig(t)
		p := r.bind(t, "known")
		r.say["/token"] = status
		_, err := refresh(t, p, nil)
		e, _ := errors.AsType[*upstream.Error](err)
		if e == nil || e.Kind != want.Kind || e.Suspect != want.Suspect {
			t.Errorf("%d: %v, suspect %q; want %s, %q", status, err, suspectOf(e), want.Kind, want.Suspect)
		}
	}
}

// https at a port that speaks HTTP is not an outage: it lasts until the operator
// changes the settings.
func TestAddressThatCannotAnswerIsTheOperators(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.binding("happy")
	b.Settings["base"] = strings.Replace(r.upstream.URL, "http://", "https://", 1)
	p, err := r.host.Bind(t.Context(), "probe", b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = exchange(t, p)
	if upstream.KindOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), "does not speak TLS on this port") {
		t.Errorf("%v", err)
	}
}

func suspectOf(e *upstream.Error) upstream.Suspect {
	if e == nil {
		return ""
	}
	return e.Suspect
}
