package grant

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// newestFixture is what this release writes. A change of what is stored adds a
// fixture: go test ./core/grant -run TestNewestFixture -fixture NAME.
const newestFixture = "2026-12-01"

var fixtureName = flag.String("fixture", "", "write testdata/NAME.json: what this release writes into a store")

// thisRelease writes records of every kind of this package, with every member.
func thisRelease(t *testing.T) written {
	t.Helper()
	h := newHarness(t)
	key := seal.NewKey()
	keys, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	h.Store = NewStore(h.driver, keys, h.clock.now)
	h.t = h.moduleAt(t, "up_a", "up_settings")
	w := written{Client: clientID, Key: key.Reveal(), Time: h.clock.now(), Records: map[string][]byte{}, Users: map[string]user{}}
	tokens := map[string]*Tokens{}
	for _, id := range []string{"ada", "grace", "needs-login", "leased"} {
		tokens[id] = h.redeemFor(t, id)
	}
	h.codeFor(t, "pending")
	// ada's client refreshed, and again with the same token from another network.
	first := tokens["ada"].Refresh
	for _, network := range []string{"192.0.2.0/24", "198.51.100.0/24"} {
		if tokens["ada"], err = h.Refresh(t.Context(), h.t, first, Presented{ClientID: clientID, Network: network}); err != nil {
			t.Fatal(err)
		}
	}
	lease := func(id string) *Live {
		l, err := h.Lease(t.Context(), h.t, tokens[id].Grant, "holder", nil)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	failed := &Setback{Kind: upstream.Unavailable, NotBefore: h.clock.now(), Failures: 1, Lost: h.clock.now()}
	for _, err := range []error{
		h.Release(t.Context(), h.t, lease("grace"), "holder", failed),
		h.RequireLogin(t.Context(), h.t, lease("needs-login"), "holder", upstream.InteractionRequired, "multi-factor"),
		h.KeepJournal(t.Context(), h.t, lease("leased"), "holder", []byte(`[]`)),
		h.Beat(t.Context(), h.t, tokens["leased"].Grant, "holder"),
		h.RevokeBefore(t.Context(), Scope{}, h.clock.now().Add(-time.Hour)),
		h.RevokeBefore(t.Context(), Scope{Tenant: h.t}, h.clock.now().Add(-time.Minute)),
		h.RevokeBefore(t.Context(), Scope{Tenant: h.t, ClientHash: HashClient("another")}, h.clock.now()),
		h.RevokeBefore(t.Context(), Scope{Tenant: h.t, Account: h.t.Account("another")}, h.clock.now()),
		h.driver.Scan(t.Context(), "", func(key string) (err error) {
			w.Records[key], err = h.driver.Get(t.Context(), key)
			return err
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, got := range tokens {
		w.Users[id] = user{Access: got.Access, Refresh: got.Refresh}
	}
	return w
}

// codeFor begins a grant of an account, and redeemFor redeems it.
func (h *harness) codeFor(t *testing.T, id string) string {
	t.Helper()
	code, err := h.Create(t.Context(), h.t, New{
		ClientID: clientID, ClientName: "A client", RedirectURI: callback, Challenge: oauth.ChallengeOf(verifier),
		Resource: h.t.Resource(), Scopes: []string{"read"}, Credential: &upstream.Credential{
			AccessToken: seal.NewSecret("up-at-" + id), RefreshToken: seal.NewSecret("up-rt-" + id),
			Account: upstream.Account{ID: id, Name: "Name of " + id},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (h *harness) redeemFor(t *testing.T, id string) *Tokens {
	t.Helper()
	tokens, err := h.Redeem(t.Context(), h.t, h.codeFor(t, id), right())
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// members adds the path of each member of a JSON value to found. Names that are
// data, as those of tenants are, count as one.
func members(v any, path string, found map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if slices.Contains([]string{"tenants", "clients", "accounts"}, path[strings.LastIndexByte(path, '.')+1:]) {
				name = "*"
			}
			found[path+"."+name] = true
			members(value, path+"."+name, found)
		}
	case []any:
		for _, value := range v {
			members(value, path+"[]", found)
		}
	}
}

// shape returns the paths of the members of a fixture's records, by kind.
func (w written) shape(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for key, plain := range w.plain(t) {
		var v any
		if err := json.NewDecoder(bytes.NewReader(plain)).Decode(&v); err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(key, "/")
		members(v, kind, found)
	}
	return found
}

// plain returns the records of a fixture, opened.
func (w written) plain(t *testing.T) map[string][]byte {
	t.Helper()
	key, err := seal.ParseKey(w.Key)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string][]byte{}
	for key, sealed := range w.Records {
		names := strings.Split(key, "/")
		purpose := seal.Purpose{Use: names[0], Record: names[len(names)-1]}
		if len(names) == 3 {
			purpose.Tenant = names[1]
		}
		if opened[key], err = keys.Open(purpose, sealed); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	return opened
}

// TestNewestFixtureHasWhatThisReleaseWrites fails when a member of a record comes,
// goes or is renamed and no fixture was added for those who come after.
func TestNewestFixtureHasWhatThisReleaseWrites(t *testing.T) {
	t.Parallel()
	now := thisRelease(t)
	if *fixtureName != "" {
		text, err := json.MarshalIndent(now, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join("testdata", *fixtureName+".json"), append(text, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	have, want := readWritten(t, newestFixture+".json").shape(t), now.shape(t)
	for path := range want {
		if !have[path] {
			t.Errorf("this release writes %s, which testdata/%s.json has not: add a fixture (-fixture NAME) and name it in newestFixture", path, newestFixture)
		}
	}
	for path := range have {
		if !want[path] {
			t.Errorf("testdata/%s.json has %s, which this release does not write: if it is meant, add a fixture (-fixture NAME) and name it in newestFixture", newestFixture, path)
		}
	}
}

// fixtures are the files of testdata.
func fixtures(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for i, file := range files {
		files[i] = filepath.Base(file)
	}
	return files
}

// No member of a record that an earlier release wrote changes its value, or is
// dropped, when this one reads and writes the record.
func TestRecordsOfEarlierReleasesKeepTheirMembers(t *testing.T) {
	t.Parallel()
	for _, file := range fixtures(t) {
		for key, plain := range readWritten(t, file).plain(t) {
			kind, _, _ := strings.Cut(key, "/")
			again, err := rewritten(kind, plain)
			if err != nil {
				t.Errorf("%s: %s: %v", file, key, err)
				continue
			}
			var was, is map[string]any
			for text, into := range map[string]*map[string]any{string(plain): &was, string(again): &is} {
				if err := json.NewDecoder(strings.NewReader(text)).Decode(into); err != nil {
					t.Fatal(err)
				}
			}
			for name, value := range was {
				if name != "format" && !reflect.DeepEqual(value, is[name]) { // which the collection adds
					t.Errorf("%s: %s: %s was %v and is %v", file, key, name, value, is[name])
				}
			}
		}
	}
}

// rewritten is a record of some kind, read and written.
func rewritten(kind string, plain []byte) ([]byte, error) {
	var value any
	switch kind {
	case "grant":
		var r Record
		if err := r.UnmarshalBinary(plain); err != nil {
			return nil, err
		}
		return r.MarshalBinary()
	case "account":
		value = &account{}
	case "upstream":
		value = &upstreamPeriods{}
	case notBeforeKind:
		value = &notBefore{}
	default:
		return nil, store.ErrUnreadable
	}
	if err := json.Unmarshal(plain, value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// Users of every release that left a fixture go on.
func TestUsersOfEachFixtureStayLoggedIn(t *testing.T) {
	t.Parallel()
	for _, file := range fixtures(t) {
		s, _, _, w, music := openWritten(t, file)
		for _, at := range []*tenant.Tenant{music, music} {
			for id, tokens := range w.Users {
				want := "ok"
				if id == "needs-login" {
					want = string(LoginRequired)
				}
				if _, err := s.Verify(t.Context(), at, tokens.Access); outcome(err) != want {
					t.Errorf("%s: %s calls: %v, want %s", file, id, err, want)
				}
				again, err := s.Refresh(t.Context(), at, tokens.Refresh, Presented{ClientID: w.client()})
				if outcome(err) != want {
					t.Errorf("%s: %s refreshes: %v, want %s", file, id, err, want)
				} else if err == nil {
					w.Users[id] = user{again.Access, again.Refresh}
				}
			}
		}
	}
}
