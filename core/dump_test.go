package core_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/store/redis"
	"github.com/sallyport/sallyport/core/store/storetest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// Whoever has all that a store holds and the server keys has no upstream token
// and no token of a client. With one token of a client as well they have that
// one login's, and none of another: by the same steps, so it is not for lack of
// skill that they find nothing before.
func TestDumpAndServerKeysRevealNoUpstreamToken(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (driver store.Driver, raw func() []byte){
		"bolt": func(t *testing.T) (store.Driver, func() []byte) {
			path := filepath.Join(t.TempDir(), "state.db")
			d, err := bolt.Open(t.Context(), bolt.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			return d, func() []byte { // with pages of records that were replaced or deleted
				file, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return file
			}
		},
		"redis": func(t *testing.T) (store.Driver, func() []byte) {
			d, err := redis.Open(t.Context(), "redis://"+storetest.StartRedis(t).Addr)
			if err != nil {
				t.Fatal(err)
			}
			return d, func() []byte { return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			driver, raw := open(t)
			t.Cleanup(func() { _ = driver.Close() })
			keys, tokens := busy(t, driver)
			dump := dumpOf(t, driver)
			thief := newThief(keys, dump)
			if found := tokensIn(append(thief.rob(), raw())); len(found) > 0 {
				t.Errorf("found: %v", found)
			}
			for key := range dump {
				if !thief.opened[key] {
					t.Errorf("the server keys do not open %s: uses() lacks its kind", key)
				}
			}
			for owner, token := range tokens {
				lucky := thief.clone()
				lucky.take([]byte(token.text))
				if found := tokensIn(lucky.rob()); !slices.Equal(found, slices.Sorted(slices.Values(append(token.opens, token.text)))) {
					t.Errorf("with the token of %s: %v, want %v", owner, found, token.opens)
				}
			}
		})
	}
}

// known is a token of a client and what it opens.
type known struct {
	text  string
	opens []string
}

// busy is a store in the middle of everything, the ring of its server and one
// token of each login.
func busy(t *testing.T, driver store.Driver) (*seal.Keyring, map[string]known) {
	t.Helper()
	var keys *seal.Keyring
	s := coretest.New(t, knownToBoth, func(c *core.Config, tenants []*tenant.Tenant, fake *upstreamtest.Fake) {
		c.Store, keys = driver, c.Keys
		fake.Life = time.Hour
		for _, each := range tenants {
			each.Provider = &journaling{Provider: upstreamtest.Provider{Fake: fake}, kept: func() error {
				return &upstream.Error{Kind: upstream.Bug, Detail: "the provider cannot read it"}
			}}
		}
	})
	of := func(account string, generations ...int) (tokens []string) {
		for _, g := range generations {
			tokens = append(tokens, fmt.Sprintf("upstream-access-%s-%d", account, g), fmt.Sprintf("upstream-refresh-%s-%d", account, g))
		}
		return tokens
	}
	code := func(tenantName, account string) string {
		return s.Code(t, s.Browser(), tenantName, s.AuthorizeQuery(tenantName, knownClient), account).Get("code")
	}
	redeem := func(tenantName, account string) map[string]any {
		return tokenAt(t, s, tenantName, url.Values{
			"grant_type": {"authorization_code"}, "code": {code(tenantName, account)},
			"redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier},
		})
	}
	ada, ben, cyd := redeem("music", "ada"), redeem("music", "ben"), redeem("octo", "cyd")
	ben = tokenAt(t, s, "music", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {ben["refresh_token"].(string)}})

	s.Advance(time.Hour - 30*time.Second) // short of its end, where a renewal may fail
	if a := s.Call(t, "music", ada["access_token"].(string)); a.Status != http.StatusOK {
		t.Fatalf("call: %d %s", a.Status, a.Body)
	}
	tokens := map[string]known{
		"ada, whose renewal did not end": {ada["access_token"].(string), of("ada", 0, 1)},
		"ben, who refreshed":             {ben["access_token"].(string), of("ben", 0)},
		"cyd, at another tenant":         {cyd["refresh_token"].(string), of("cyd", 0)},
		"dan, who is not yet back":       {code("music", "dan"), of("dan", 0)},
	}
	s.Consent(t, s.Browser(), "music", s.AuthorizeQuery("music", knownClient), "approve")
	s.Consent(t, s.Browser(), "music", pushed(t, s, knownClient, nil), "approve")
	return keys, tokens
}

// tokenAt is a token request of the client known to both.
func tokenAt(t *testing.T, s *coretest.Server, tenantName string, form url.Values) map[string]any {
	t.Helper()
	form.Set("client_id", knownClient)
	a := s.PostForm(t, nil, s.At(tenantName)+"/token", form)
	if a.Status != http.StatusOK {
		t.Fatalf("token: %d %s", a.Status, a.Body)
	}
	return a.JSON(t)
}

// dumpOf is all that a driver holds.
func dumpOf(t *testing.T, driver store.Driver) map[string][]byte {
	t.Helper()
	dump := map[string][]byte{}
	err := driver.(store.Exporter).Export(t.Context(), func(r store.Record) error {
		dump[r.Key] = r.Value
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for key := range dump {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind]++
	}
	if want := map[string]int{"grant": 4, "account": 8, "session": 2, "pushed": 1}; !maps.Equal(kinds, want) {
		t.Fatalf("the dump holds %v, want %v", kinds, want)
	}
	return dump
}

// tokensIn returns the upstream's tokens and the clients' in what was found.
func tokensIn(found [][]byte) []string {
	tokens := regexp.MustCompile(`upstream-(access|refresh)-[a-z]+-[0-9]+|sp_(ac|at|rt)_[\w-]+`)
	unique := map[string]bool{}
	for _, b := range found {
		for _, token := range tokens.FindAllString(string(b), -1) {
			unique[token] = true
		}
	}
	return slices.Sorted(maps.Keys(unique))
}

// thief opens whatever opens: each thing in the dump, and each thing in what
// was opened, with every key there is for every purpose, and for the purposes
// of which half of the key is somebody else's, with everything seen so far in
// that half's place.
type thief struct {
	keys    *seal.Keyring
	records []string // ids, "" for none
	things  [][]byte // seen; more come while they are gone through
	seen    map[string]bool
	opened  map[string]bool // keys of the dump, and bytes
	tried   map[string]int  // of halves(), by thing
	dump    map[string][]byte
}

func newThief(keys *seal.Keyring, dump map[string][]byte) *thief {
	th := &thief{keys: keys, records: []string{"", knownClient}, seen: map[string]bool{}, opened: map[string]bool{}, tried: map[string]int{}, dump: dump}
	for key, value := range dump {
		th.records = append(th.records, key[strings.LastIndex(key, "/")+1:])
		th.take([]byte(key[strings.LastIndex(key, "/")+1:]))
		th.take(value)
	}
	return th
}

// clone is another who knows as much.
func (th *thief) clone() *thief {
	other := *th
	other.things, other.seen, other.opened, other.tried = slices.Clone(th.things), maps.Clone(th.seen), maps.Clone(th.opened), maps.Clone(th.tried)
	return &other
}

// uses is all that is sealed anywhere in core; of the second half of them, a
// part of the key is elsewhere.
func uses() (whole, halved []string) {
	return []string{
		"grant", "account", "session", "pushed", "jti", "blocked", "upstream", "not-before", "code", "access", "refresh",
		"client", "client-secret", "registration", "pushed-request", "assertion", "visitor",
	}, []string{"credential", "journal", "authorize-form", "visit-form"}
}

// take keeps b and whatever it says in JSON, base64, as a record or as a token.
func (th *thief) take(b []byte) {
	if len(b) == 0 || th.seen[string(b)] {
		return
	}
	th.seen[string(b)] = true
	th.things = append(th.things, b)
	var parsed any
	if json.NewDecoder(bytes.NewReader(b)).Decode(&parsed) == nil { // behind it may be what is sealed once more
		th.takeAll(parsed)
	}
	var record grant.Record
	if record.UnmarshalBinary(b) == nil {
		th.take(record.Credential)
		th.take(record.Journal)
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
		if plain, err := encoding.DecodeString(string(b)); err == nil {
			th.take(plain)
		}
	}
	if prefix := len("sp_at_"); bytes.HasPrefix(b, []byte("sp_")) && len(b) > prefix {
		th.take(b[prefix:])
	}
}

func (th *thief) takeAll(parsed any) {
	switch v := parsed.(type) {
	case string:
		th.take([]byte(v))
	case []any:
		for _, each := range v {
			th.takeAll(each)
		}
	case map[string]any:
		for _, each := range v {
			th.takeAll(each)
		}
	}
}

// rob goes on until a round finds nothing new, and returns all there is.
func (th *thief) rob() [][]byte {
	for before := -1; before < len(th.things); {
		before = len(th.things)
		for _, thing := range slices.Clone(th.things) {
			if !th.opened[string(thing)] {
				th.try(thing)
			}
		}
	}
	for key, value := range th.dump {
		th.opened[key] = th.opened[string(value)]
	}
	return th.things
}

// try opens one thing for every purpose.
func (th *thief) try(thing []byte) {
	whole, halved := uses()
	halves := th.halves()
	fresh := halves[th.tried[string(thing)]:]
	th.tried[string(thing)] = len(halves)
	_ = th.tryAll(thing, slices.Concat(whole, halved), "") || th.tryAll(thing, halved, fresh...)
}

func (th *thief) tryAll(thing []byte, uses []string, halves ...string) bool {
	for _, tenantName := range []string{"", "music", "octo"} {
		for _, record := range th.records {
			for _, use := range uses {
				for _, half := range halves {
					plain, err := th.keys.Open(seal.Purpose{Use: use, Tenant: tenantName, Record: record, Secret: seal.NewSecret(half)}, thing)
					if err == nil {
						th.opened[string(thing)] = true
						th.take(plain)
						return true
					}
				}
			}
		}
	}
	return false
}

// halves is all that could be the other half of a key, which has 16 bytes or the
// 22 characters of a cookie: each thing that is not much longer, and the last
// bytes of each, where a token has the grant secret. Later calls append.
func (th *thief) halves() (halves []string) {
	for _, thing := range th.things {
		if len(thing) >= 16 && len(thing) <= 48 {
			halves = append(halves, string(thing))
		}
		if len(thing) > 16 {
			halves = append(halves, string(thing[len(thing)-16:]))
		}
	}
	return halves
}
