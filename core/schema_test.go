package core_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

var update = flag.Bool("update", false, "rewrite the blocks of store/SCHEMA.md")

const schemaFile = "store/SCHEMA.md"

// TestSchema compares the blocks of SCHEMA.md with the records of a login that
// happens here; with -update it rewrites them. What is random is replaced by
// what it is, times are of a clock that stands still, and sizes are as written.
func TestSchema(t *testing.T) {
	t.Parallel()
	blocks := newSchema(t).story(t)
	old, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	missing := maps.Clone(blocks)
	text := regexp.MustCompile("(?ms)^```(?:json|text) (.+?)\n.*?^```$").ReplaceAllStringFunc(string(old), func(block string) string {
		head, _, _ := strings.Cut(block, "\n")
		_, label, _ := strings.Cut(head, " ")
		if _, known := blocks[label]; !known {
			t.Errorf("%s: the login has no %q", schemaFile, label)
			return block
		}
		delete(missing, label)
		return head + "\n" + blocks[label] + "\n```"
	})
	for label := range missing {
		t.Errorf("%s has no block %q", schemaFile, label)
	}
	if *update {
		if err := os.WriteFile(schemaFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(old) {
		t.Errorf("%s is stale; run: go test ./core -run ^TestSchema$ -update\n%s", schemaFile, firstDifference(string(old), text))
	}
}

func firstDifference(old, now string) string {
	a, b := strings.Split(old, "\n"), strings.Split(now, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: %s\n    now: %s", i+1, a[i], b[i])
		}
	}
	return "one has more lines"
}

// looking is a driver that a test can look into.
type looking struct {
	store.Driver
	mu   sync.Mutex
	held map[string]held
}

type held struct {
	value []byte
	ttl   time.Duration
}

func (l *looking) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	err := l.Driver.Swap(ctx, key, old, new, ttl)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held[key] = (held{new, ttl}); new == nil {
			delete(l.held, key)
		}
	}
	return err
}

func (l *looking) Take(ctx context.Context, key string) ([]byte, error) {
	value, err := l.Driver.Take(ctx, key)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, key)
	}
	return value, err
}

// now returns what is held.
func (l *looking) now() map[string]held {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.held)
}

// journaling is an upstream whose answers are kept as the plugin host keeps
// them. kept is called between that and their interpretation.
type journaling struct {
	upstreamtest.Provider
	kept func() error
}

func (p *journaling) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	cred, err := p.Provider.Refresh(ctx, req)
	if err != nil {
		return nil, err
	}
	answer := fmt.Appendf(nil, `{"access_token":%q,"refresh_token":%q}`, cred.AccessToken.Reveal(), cred.RefreshToken.Reveal())
	if err := req.Journal.Keep(ctx, answer); err != nil {
		return nil, err
	}
	return cred, p.kept()
}

// schema is a server whose records are read one stage after the other.
type schema struct {
	*coretest.Server
	site    *website
	records *looking
	config  core.Config
	up      *journaling
	seconds atomic.Int64 // of the clock

	secret seal.Secret // of the login's grant
	short  int         // of the record opened last: digits of a random time that Go leaves out
	walk   strings.Builder
	blocks map[string]string // by label, as SCHEMA.md has them
	grant  []member          // the grant's record at the stage before
}

func (s *schema) clock() time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(s.seconds.Load()) * time.Second)
}

func newSchema(t *testing.T) *schema {
	t.Helper()
	s := &schema{blocks: map[string]string{}}
	s.site, s.Server = newWebsite(t, func(c *core.Config, tenants []*tenant.Tenant, fake *upstreamtest.Fake) {
		s.records = &looking{Driver: c.Store, held: map[string]held{}}
		c.Store, c.Now = s.records, s.clock
		fake.Now, fake.Life = s.clock, time.Hour
		s.up = &journaling{Provider: upstreamtest.Provider{Fake: fake}}
		for _, each := range tenants {
			each.Issuer = "http://" + each.Name + ".example.com" // as long on every machine
			each.Provider = s.up
			each.Anonymous = []string{"ping"}
		}
		s.config = *c
	})
	return s
}

// story is the login that SCHEMA.md tells, and what it leaves at each stage.
func (s *schema) story(t *testing.T) map[string]string {
	t.Helper()
	music, user := s.At("music"), s.Browser()
	token := func(form url.Values) map[string]any {
		t.Helper()
		a := s.PostForm(t, nil, music+"/token", form)
		if a.Status != http.StatusOK {
			t.Fatalf("token: %d %s", a.Status, a.Body)
		}
		return a.JSON(t)
	}
	var between map[string]held // while the upstream's answer is kept and not interpreted
	id := s.Register(t, "music")
	s.stage(t, "registered")
	s.token(t, "client id", id, "client")

	state := s.Consent(t, user, "music", s.AuthorizeQuery("music", id), "approve").Query().Get("state")
	s.stage(t, "consent approved", "session")

	_, answer := s.Get(t, user, music+"/callback?"+url.Values{"code": {"ada"}, "state": {state}}.Encode()).Location(t)
	s.token(t, "code", answer.Get("code"), "code")
	s.stage(t, "callback", "account", "grant")

	s.seconds.Add(2)
	tokens := token(url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "client_id": {id},
		"redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier},
	})
	access, _ := tokens["access_token"].(string)
	s.token(t, "access token", access, "access")
	s.stage(t, "code redeemed", "grant")

	s.seconds.Add(600)
	tokens = token(url.Values{"grant_type": {"refresh_token"}, "client_id": {id}, "refresh_token": {tokens["refresh_token"].(string)}})
	access, _ = tokens["access_token"].(string)
	s.stage(t, "refreshed", "grant")

	s.seconds.Add(3010) // the upstream's token has ended
	s.up.kept = func() error { between = s.records.now(); return nil }
	s.Call(t, "music", access)
	s.show(t, "upstream has answered", between, "grant")
	s.stage(t, "renewed", "grant")

	s.seconds.Add(3610)
	s.up.kept = func() error { return &upstream.Error{Kind: upstream.Bug, Detail: "the provider cannot read it"} }
	s.Call(t, "music", access)
	s.stage(t, "renewal failed", "grant")

	s.seconds.Add(60)
	s.up.kept = func() error {
		return &upstream.Error{Kind: upstream.InteractionRequired, Detail: "upstream says interaction_required"}
	}
	s.Call(t, "music", access)
	s.stage(t, "login required", "account", "grant")

	s.PostForm(t, nil, music+"/revoke", url.Values{"token": {access}, "client_id": {id}})
	s.stage(t, "revoked")

	s.small(t, user, id, token)
	s.blocks["walk"] = strings.TrimSuffix(s.walk.String(), "\n")
	return s.blocks
}

// small makes one of each of the records that say all by being there.
func (s *schema) small(t *testing.T, user *http.Client, id string, token func(url.Values) map[string]any) {
	t.Helper()
	before := s.records.now()
	query := s.AuthorizeQuery("music", id)
	uri := s.PostForm(t, nil, s.At("music")+"/par", query).JSON(t)["request_uri"].(string)
	s.Consent(t, user, "music", url.Values{"client_id": {id}, "request_uri": {uri}}, "approve")

	form := s.site.assertion(t, s.clock(), s.site.id, s.At("music"), "1")
	maps.Copy(form, url.Values{
		"grant_type": {"authorization_code"}, "redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier},
		"code": {s.Code(t, user, "music", s.AuthorizeQuery("music", s.site.id), "ada").Get("code")},
	})
	access := token(form)["access_token"].(string)
	s.session(t, access)

	fetcher := fetch.New(fetch.Config{})
	t.Cleanup(fetcher.Close)
	clients := client.NewRegistry(client.Config{Keys: s.config.Keys, Store: s.records, Fetch: fetcher, Now: s.clock})
	if err := clients.Block(t.Context(), s.Core.Tenants().Get("music"), id, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for key, h := range s.records.now() {
		kind, _, _ := strings.Cut(key, "/")
		if _, old := before[key]; !old && slices.Contains([]string{"pushed", "jti", "blocked", "mcp-session"}, kind) {
			s.block(t, kind, key, h, s.open(t, key, h.value))
		}
	}
}

// session begins an MCP session without a token and goes on with one.
func (s *schema) session(t *testing.T, access string) {
	t.Helper()
	s.Backend.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Mcp-Session-Id", "s-1") })
	call := func(headers ...string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.At("music")+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return s.Do(t, nil, r).Header.Get("Mcp-Session-Id")
	}
	call("Authorization", "Bearer "+access, "Mcp-Session-Id", call())
}

// stage notes what the store holds and shows the records of some kinds. After
// the first time, only what changed in a grant is shown.
func (s *schema) stage(t *testing.T, name string, kinds ...string) {
	t.Helper()
	s.show(t, name, s.records.now(), kinds...)
}

func (s *schema) show(t *testing.T, name string, records map[string]held, kinds ...string) {
	t.Helper()
	fmt.Fprintf(&s.walk, "%s\n", name)
	for _, key := range slices.Sorted(maps.Keys(records)) {
		h := records[key]
		plain := s.open(t, key, h.value)
		fmt.Fprintf(&s.walk, "    %-44s %5d bytes, ttl %v\n", placeOf(key), s.size(h), h.ttl)
		kind, _, _ := strings.Cut(key, "/")
		if !slices.Contains(kinds, kind) {
			continue
		}
		if kind != "grant" {
			s.block(t, kind, key, h, plain)
			continue
		}
		was := s.grant
		s.grant = plain
		if was != nil {
			plain = changes(was, plain)
		}
		s.block(t, "grant, "+name, key, h, plain)
	}
	if len(records) == 0 {
		s.walk.WriteString("    nothing\n")
	}
}

// placeOf is a key with words for what is random in it.
func placeOf(key string) string {
	kind, rest, _ := strings.Cut(key, "/")
	tenantName, _, _ := strings.Cut(rest, "/")
	return kind + "/" + tenantName + "/" + map[string]string{
		"session": "<session id>", "grant": "<grant id>", "account": "<hash of the account's id>",
		"pushed": "<hash of the request_uri>", "jti": "<hash of client id and jti>", "blocked": "<hash of the client id>",
		"mcp-session": "<hash of the backend's name and its session id>",
	}[kind]
}

// block shows a record.
func (s *schema) block(t *testing.T, label, key string, h held, plain []member) {
	t.Helper()
	kind, _, _ := strings.Cut(key, "/")
	s.blocks[label] = indented(t, []member{
		of("key", placeOf(key)), of("bytes", s.size(h)), of("ttl", h.ttl.String()),
		of("sealed_for", sealedFor(kind, placeOf(key))), {"value", object(plain)},
	})
}

// size is that of a record as it is stored, the same at each run.
func (s *schema) size(h held) int { return len(h.value) + s.short }

// sealedFor is a purpose as the blocks show it.
func sealedFor(use, place string) string {
	_, rest, _ := strings.Cut(place, "/")
	return use + ", " + strings.Replace(rest, "/", ", ", 1)
}

// token shows what a client holds.
func (s *schema) token(t *testing.T, label, text, use string) {
	t.Helper()
	prefix := text[:len("sp_at_")]
	sealed, err := base64.RawURLEncoding.DecodeString(text[len(prefix):])
	if err != nil {
		t.Fatal(err)
	}
	plain, err := s.config.Keys.Open(seal.Purpose{Use: use, Tenant: "music"}, sealed)
	if err != nil {
		t.Fatalf("%s: %v", label, err)
	}
	value := json.RawMessage(plain)
	if use != "client" {
		s.secret = seal.NewSecret(string(plain[24:]))
		value = object([]member{
			of("grant", "<grant id>"), of("generation", binary.BigEndian.Uint32(plain[16:])),
			of("expires", time.Unix(int64(binary.BigEndian.Uint32(plain[20:])), 0).UTC()), of("secret", "<grant secret, 16 bytes>"),
		})
	}
	s.blocks[label] = indented(t, []member{
		of("begins", prefix), of("characters", len(text)),
		of("sealed_for", use+", music"), {"value", value},
	})
}

// open returns the members of a record, with words for what is random or
// secret, and with what is sealed once more opened by the grant secret.
func (s *schema) open(t *testing.T, key string, sealed []byte) []member {
	t.Helper()
	s.short = 0
	name := strings.Split(key, "/")
	p := seal.Purpose{Use: name[0], Tenant: name[1], Record: name[2]}
	plain, err := s.config.Keys.Open(p, sealed)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	words := map[string]string{
		"client": "<hash of the client id>", "client_id": "<client id>", "challenge": "<the client's code challenge>",
		"verifier": "<code verifier for the upstream>", "browser": "<hash of the browser's cookie>",
		"holder": "<name of the process>", "at": "<upstream access token>", "rt": "<upstream refresh token>",
		"access_token": "<upstream access token>", "refresh_token": "<upstream refresh token>",
	}
	var first json.RawMessage
	d := json.NewDecoder(bytes.NewReader(plain))
	if err := d.Decode(&first); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	behind := plain[d.InputOffset():]
	return membersOf(t, first, func(m member) json.RawMessage {
		use := map[string]string{"cred": "credential", "journal": "journal"}[m.name]
		switch {
		case use != "":
			var length int
			if err := json.Unmarshal(m.value, &length); err != nil {
				t.Fatal(err)
			}
			inner := behind[:length]
			behind = behind[length:]
			opened, err := s.config.Keys.Open(seal.Purpose{Use: use, Tenant: p.Tenant, Record: p.Record, Secret: s.secret}, inner)
			if err != nil {
				t.Fatalf("%s of %s: %v", m.name, key, err)
			}
			sealing := sealedFor(use, placeOf(key)) + ", <grant secret>"
			return object([]member{of("bytes", len(inner)), of("sealed_for", sealing), {"value", object(membersOf(t, opened, func(m member) json.RawMessage {
				if word, ok := words[m.name]; ok {
					return of("", word).value
				}
				return m.value
			}))}})
		case words[m.name] != "":
			return of("", words[m.name]).value
		case m.name == "not_before":
			s.short = len(`"2026-01-02T03:04:05.123456789Z"`) - len(m.value)
			return of("", "<in about a second>").value
		case m.name == "id":
			return of("", "<grant id>").value
		}
		return m.value
	})
}
