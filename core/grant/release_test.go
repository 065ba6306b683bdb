package grant

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// bd5c0ba is what the release of that commit wrote.
const bd5c0ba = "bd5c0ba.json"

// written is a file of testdata: what a release wrote into a store, with its
// server key and the tokens that it gave to users.
type written struct {
	Key     string            `json:"key"`
	Time    time.Time         `json:"time"`
	Records map[string][]byte `json:"records"`
	Users   map[string]user   `json:"users"`
	Client  string            `json:"client,omitempty"` // of all grants
}

// user is the tokens of a user's client.
type user struct {
	Access  string `json:"access"`
	Refresh string `json:"refresh"`
}

// client returns the id of the client of all grants.
func (w written) client() string { return cmp.Or(w.Client, "client-1") }

func readWritten(t *testing.T, file string) (w written) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// openWritten is this release on the store of a file.
func openWritten(t *testing.T, file string) (s *Store, d *bolt.Driver, keys *seal.Keyring, w written, music *tenant.Tenant) {
	t.Helper()
	w = readWritten(t, file)
	key, err := seal.ParseKey(w.Key)
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = seal.NewKeyring(key); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return w.Time.Add(time.Minute) }
	if d, err = bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "state.db"), Now: now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	for key, value := range w.Records {
		if err := d.Swap(t.Context(), key, nil, value, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	music = &tenant.Tenant{
		Name: "music", Issuer: "https://music.example", Lifetimes: tenant.DefaultLifetimes(), Upstream: tenant.Upstream{Identity: "up_a"},
	}
	s = NewStore(d, keys, now)
	if music.Upstream.Periods, err = s.EnterPeriod(t.Context(), music, false); err != nil {
		t.Fatal(err)
	}
	return s, d, keys, w, music
}

func TestUsersOfTheReleaseBeforeStayLoggedIn(t *testing.T) {
	t.Parallel()
	s, _, _, w, music := openWritten(t, bd5c0ba)
	for id, tokens := range w.Users {
		live, err := s.Verify(t.Context(), music, tokens.Access)
		if err != nil || live.Record.Subject != id || live.Credential.RefreshToken.Reveal() != "up-rt-"+id {
			t.Fatalf("%s: %+v, %v", id, live, err)
		}
		if list, whole, err := s.OfAccount(t.Context(), music, music.Account(id)); err != nil || !whole || len(list) != 1 {
			t.Errorf("%s sees %v, %v, %v", id, list, whole, err)
		}
		again, err := s.Refresh(t.Context(), music, tokens.Refresh, Presented{ClientID: "client-1"})
		if err != nil || again.Grant.Record.Upstream != "up_a" {
			t.Errorf("%s: %+v, %v; want it marked", id, again, err)
		}
	}
	// Another upstream than at the first start is another upstream for them too.
	other := *music
	other.Upstream = tenant.Upstream{Identity: "up_b"}
	var err error
	if other.Upstream.Periods, err = s.EnterPeriod(t.Context(), &other, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), &other, w.Users["ada"].Access); ReasonOf(err) != OtherUpstream {
		t.Errorf("at another upstream: %v", err)
	}
}

// oldMembers are those that the release of bd5c0ba knows in a grant.
var oldMembers = []string{
	"state", "created", "last_used", "expires", "client", "client_name", "redirect_uri", "challenge", "resource", "scopes",
	"sub", "account", "gen", "rotated", "lease", "setback", "renewed", "cred", "journal",
}

// A replica of the release before writes each record without the members that it
// does not know.
func TestReplicaOfTheReleaseBeforeLosesNoUser(t *testing.T) {
	t.Parallel()
	s, d, keys, w, music := openWritten(t, bd5c0ba)
	tokens, err := s.Refresh(t.Context(), music, w.Users["ada"].Refresh, Presented{ClientID: "client-1"})
	if err != nil {
		t.Fatal(err)
	}
	key, purpose := "grant/music/"+tokens.Grant.ID, seal.Purpose{Use: "grant", Tenant: "music", Record: tokens.Grant.ID}
	for range 2 {
		sealed, err := d.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := keys.Open(purpose, sealed)
		if err != nil {
			t.Fatal(err)
		}
		members, in := map[string]json.RawMessage{}, json.NewDecoder(bytes.NewReader(plain))
		if err := in.Decode(&members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			if !slices.Contains(oldMembers, name) {
				delete(members, name)
			}
		}
		head, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		old := keys.Seal(purpose, append(head, plain[in.InputOffset():]...))
		if err := d.Swap(t.Context(), key, sealed, old, time.Hour); err != nil {
			t.Fatal(err)
		}
		if live, err := s.Verify(t.Context(), music, tokens.Access); err != nil || live.Record.Upstream != "up_a" {
			t.Fatalf("after that replica wrote the record: %+v, %v", live, err)
		}
		if tokens, err = s.Refresh(t.Context(), music, tokens.Refresh, Presented{ClientID: "client-1"}); err != nil {
			t.Fatal(err)
		}
	}
	if owner, ours := music.Owner(upstream.Mark{}, w.Time); !ours || owner != "up_a" {
		t.Errorf("a record without an identity is of %s", owner)
	}
}
