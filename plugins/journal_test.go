package plugins

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

// memory is a journal in a variable.
type memory struct {
	kept []byte
	fail error
}

func (m *memory) Load() []byte { return m.kept }

func (m *memory) Keep(_ context.Context, b []byte) error {
	if m.fail == nil {
		m.kept = slices.Clone(b)
	}
	return m.fail
}

func refresh(t *testing.T, p upstream.Provider, j upstream.Journal) (*upstream.Credential, error) {
	t.Helper()
	return p.Refresh(t.Context(), upstream.RefreshRequest{Journal: j, Scopes: []string{"read"}, Credential: &upstream.Credential{
		AccessToken: seal.NewSecret("old-at-1"), RefreshToken: seal.NewSecret("old-rt-1"), Scopes: []string{"read"},
		Account: upstream.Account{ID: "42"}, Extra: []byte(`{"k":1}`),
	}})
}

func TestRefreshKeepsWhatIsNotReplaced(t *testing.T) {
	r := newRig(t)
	cred, err := refresh(t, r.bind(t, "happy"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cred.RefreshToken.Reveal() != "rt-1-abcdefgh" || !slices.Equal(cred.Scopes, []string{"read"}) ||
		string(cred.Extra) != `{"k":1}` || cred.Account.Name != "Ada" {
		t.Errorf("%+v", cred)
	}
}

// RFC 6749 §6 leaves it to the upstream to send a new one.
func TestAnswerWithoutRefreshTokenKeepsTheOldOne(t *testing.T) {
	ends := time.Unix(1_900_000_000, 0).UTC()
	old := upstream.Credential{RefreshToken: seal.NewSecret("old-rt"), RefreshExpiresAt: ends}
	for what, c := range map[string]struct {
		got  abi.Credential
		want string
		ends time.Time
	}{
		"none":                 {abi.Credential{AccessToken: "at"}, "old-rt", ends},
		"a new one":            {abi.Credential{AccessToken: "at", RefreshToken: "new-rt", RefreshExpiresAt: 1_950_000_000}, "new-rt", time.Unix(1_950_000_000, 0).UTC()},
		"a new one for ever":   {abi.Credential{AccessToken: "at", RefreshToken: "new-rt"}, "new-rt", time.Time{}},
		"a new end of the old": {abi.Credential{AccessToken: "at", RefreshExpiresAt: 1_950_000_000}, "old-rt", time.Unix(1_950_000_000, 0).UTC()},
	} {
		cred, err := (&provider{}).merge(abi.OpRefresh, c.got, old)
		if err != nil || cred.RefreshToken.Reveal() != c.want || !cred.RefreshExpiresAt.Equal(c.ends) {
			t.Errorf("%s: %q until %v, %v; want %q until %v", what, cred.RefreshToken.Reveal(), cred.RefreshExpiresAt, err, c.want, c.ends)
		}
	}
}

func TestJournalSurvivesABugAfterTheAnswer(t *testing.T) {
	r := newRig(t)
	var j memory
	if _, err := refresh(t, r.bind(t, "buggy"), &j); upstream.KindOf(err) != upstream.Bug {
		t.Fatalf("got %v", err)
	}
	if len(r.requests()) != 1 || !strings.Contains(string(j.kept), `"steps"`) {
		t.Fatalf("requests %q, journal %s", r.requests(), j.kept)
	}
	if _, err := refresh(t, r.bind(t, "buggy"), &j); upstream.KindOf(err) != upstream.Bug || len(r.requests()) != 1 {
		t.Fatalf("second attempt asked again: %v, %q", err, r.requests())
	}
	cred, err := refresh(t, r.bind(t, "happy"), &j) // the repaired provider
	if err != nil {
		t.Fatal(err)
	}
	if got := r.requests(); len(got) != 2 || got[1] != "GET /user " {
		t.Errorf("requests %q, want the token asked for once", got)
	}
	if cred.RefreshToken.Reveal() != "rt-1-abcdefgh" {
		t.Errorf("refresh token %q", cred.RefreshToken.Reveal())
	}
}

func TestWholeJournalNeedsNoRequest(t *testing.T) {
	r := newRig(t)
	var j memory
	first, err := refresh(t, r.bind(t, "happy"), &j)
	if err != nil {
		t.Fatal(err)
	}
	r.upstream.Close()
	second, err := refresh(t, r.bind(t, "happy"), &j)
	if err != nil || !second.AccessToken.Equal(first.AccessToken.Reveal()) || !second.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("got %+v, %v", second, err)
	}
}

// If the process dies while the token request is on its way, nobody may take
// what was discovered before for its answer.
func TestJournalBeginsWithTheAnswerToTheTokenRequest(t *testing.T) {
	r := newRig(t)
	var j memory
	r.fail["/token"] = 1
	if _, err := refresh(t, r.bind(t, "discover"), &j); upstream.KindOf(err) != upstream.Unavailable || j.kept != nil {
		t.Fatalf("%v, journal %s", err, j.kept)
	}
	r.say["/user"] = 503 // the token and what was before it are kept
	if _, err := refresh(t, r.bind(t, "discover"), &j); upstream.KindOf(err) != upstream.Unavailable || j.kept == nil {
		t.Fatalf("%v, journal %s", err, j.kept)
	}
	cred, err := refresh(t, r.bind(t, "discover"), &j)
	if err != nil || cred.AccessToken.Reveal() != "at-4-abcdefgh" {
		t.Fatalf("%v, %+v", err, cred)
	}
	if got := r.requests(); len(got) != 6 || !strings.HasPrefix(got[5], "GET /user") {
		t.Errorf("requests %q", got)
	}
	r.upstream.Close()
	if again, err := refresh(t, r.bind(t, "discover"), &j); err != nil || !again.AccessToken.Equal("at-4-abcdefgh") {
		t.Errorf("from the whole journal: %v", err)
	}
}

func TestReplayMismatchIsABug(t *testing.T) {
	r := newRig(t)
	var j memory
	refresh(t, r.bind(t, "buggy"), &j)
	_, err := refresh(t, r.bind(t, "other-form"), &j)
	if upstream.KindOf(err) != upstream.Bug || !strings.Contains(err.Error(), "replay mismatch: step 1") || len(r.requests()) != 1 {
		t.Errorf("got %v, requests %q", err, r.requests())
	}
}

func TestAnswerThatWasUnderstoodIsNotKept(t *testing.T) {
	r := newRig(t)
	var j memory
	r.say["/token"] = 503
	if _, err := refresh(t, r.bind(t, "happy"), &j); upstream.KindOf(err) != upstream.Unavailable || j.kept != nil {
		t.Fatalf("%v, journal %s", err, j.kept)
	}
	r.say["/user"] = 503 // after the token was rotated
	if _, err := refresh(t, r.bind(t, "happy"), &j); upstream.KindOf(err) != upstream.Unavailable || j.kept == nil {
		t.Fatalf("%v, journal %s", err, j.kept)
	}
	cred, err := refresh(t, r.bind(t, "happy"), &j)
	if err != nil || cred.AccessToken.Reveal() != "at-2-abcdefgh" {
		t.Fatalf("%v, %+v", err, cred)
	}
	if got := r.requests(); len(got) != 4 || !strings.HasPrefix(got[3], "GET /user") {
		t.Errorf("requests %q", got)
	}
}

func TestJournalOfAnotherCredentialIsIgnored(t *testing.T) {
	r := newRig(t)
	var j memory
	refresh(t, r.bind(t, "buggy"), &j)
	_, err := r.bind(t, "happy").Refresh(t.Context(), upstream.RefreshRequest{Journal: &j, Credential: &upstream.Credential{
		RefreshToken: seal.NewSecret("newer"), Account: upstream.Account{ID: "42"}}})
	if err != nil || len(r.requests()) != 3 {
		t.Errorf("%v, requests %q", err, r.requests())
	}
}

func TestJournalThatCannotBeKeptStopsTheConversation(t *testing.T) {
	r := newRig(t)
	j := memory{fail: errors.New("store is down")}
	_, err := refresh(t, r.bind(t, "happy"), &j)
	if upstream.KindOf(err) != upstream.Unavailable || !errors.Is(err, j.fail) || len(r.requests()) != 1 {
		t.Errorf("%v, requests %q", err, r.requests())
	}
}
