package assertion_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/core/assertion"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

const backend = "https://backend.example"

var (
	music = &tenant.Tenant{Name: "music", Issuer: "https://music.example"}
	ada   = &grant.Live{ID: "g-1", Record: grant.Record{
		Subject: "u-1", AccountName: "Ada Ω", ClientHash: "hash", Scopes: []string{"read", "write"},
	}}
)

func ring(t testing.TB, keys ...seal.Key) *seal.Keyring {
	t.Helper()
	r, err := seal.NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verify does what a backend does: it knows the key set and its own name.
func verify(set jose.JSONWebKeySet, text string) (assertion.Claims, error) {
	var c assertion.Claims
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return c, err
	}
	if token.Headers[0].ExtraHeaders["typ"] != assertion.Type {
		return c, fmt.Errorf("typ %v", token.Headers[0].ExtraHeaders["typ"])
	}
	return c, token.Claims(set, &c)
}

func TestAssertionSaysWhoCalls(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	keys := ring(t, seal.NewKey())
	text, err := assertion.NewIssuer(keys, func() time.Time { return now }).Issue(music, ada, backend)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verify(assertion.Keys(keys, music), text)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(jwt.Expected{Issuer: music.Issuer, AnyAudience: jwt.Audience{backend}, Subject: "u-1", Time: now.Add(4 * time.Minute)}); err != nil {
		t.Error(err)
	}
	if got.Expiry.Time().Sub(now) != 5*time.Minute || got.IssuedAt.Time().Sub(now) != 0 {
		t.Errorf("from %v to %v", got.IssuedAt.Time(), got.Expiry.Time())
	}
	if got.Tenant != "music" || got.Account != "Ada Ω" || got.ClientID != "hash" || got.Scope != "read write" || got.Grant != "g-1" {
		t.Errorf("%+v", got)
	}
}

func TestAssertionVerifiesForItsTenantOnlyAndAcrossRotations(t *testing.T) {
	t.Parallel()
	first, second := seal.NewKey(), seal.NewKey()
	before := ring(t, first)
	text, err := assertion.NewIssuer(before, nil).Issue(music, ada, backend)
	if err != nil {
		t.Fatal(err)
	}
	rotated := assertion.Keys(ring(t, second, first), music)
	if _, err := verify(rotated, text); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	anew, err := assertion.NewIssuer(ring(t, second, first), nil).Issue(music, ada, backend)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify(assertion.Keys(before, music), anew); err == nil {
		t.Error("the old key signs still")
	}
	for what, set := range map[string]jose.JSONWebKeySet{
		"another tenant's": assertion.Keys(before, &tenant.Tenant{Name: "octo"}),
		"another server's": assertion.Keys(ring(t, second), music),
	} {
		if _, err := verify(set, text); err == nil {
			t.Errorf("it verifies with %s keys", what)
		}
	}
	if _, err := verify(rotated, text[:len(text)-4]+"AAAA"); err == nil {
		t.Error("a changed one verifies")
	}
}

func TestKeySetHoldsNoPrivateKey(t *testing.T) {
	t.Parallel()
	set := assertion.Keys(ring(t, seal.NewKey(), seal.NewKey()), music)
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Keys []map[string]string }
	if err := json.Unmarshal(text, &m); err != nil || len(m.Keys) != 2 {
		t.Fatalf("%s: %v", text, err)
	}
	for _, key := range m.Keys {
		x, err := base64.RawURLEncoding.DecodeString(key["x"])
		if key["kty"] != "OKP" || key["crv"] != "Ed25519" || key["alg"] != "EdDSA" || key["use"] != "sig" || key["kid"] == "" || key["d"] != "" || len(key) != 6 || len(x) != 32 || err != nil {
			t.Errorf("%v", key)
		}
	}
	if m.Keys[0]["kid"] == m.Keys[1]["kid"] {
		t.Error("two keys of one name")
	}
}

func TestAssertionIsHandedOutAgainForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	keys := ring(t, seal.NewKey())
	issuer := assertion.NewIssuer(keys, func() time.Time { return now })
	issue := func(l *grant.Live, audience string) string {
		t.Helper()
		text, err := issuer.Issue(music, l, audience)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := issue(ada, backend)
	now = now.Add(2*time.Minute + 29*time.Second)
	if issue(ada, backend) != first {
		t.Error("signed anew within half its life")
	}
	if other := issue(ada, "https://other.example"); other == first || strings.Split(other, ".")[1] == strings.Split(first, ".")[1] {
		t.Error("two backends got the same")
	}
	if issue(&grant.Live{ID: "g-2", Record: ada.Record}, backend) == first {
		t.Error("two logins got the same")
	}
	now = now.Add(2 * time.Second)
	anew := issue(ada, backend)
	got, err := verify(assertion.Keys(keys, music), anew)
	if err != nil || got.Expiry.Time().Sub(now) < 4*time.Minute {
		t.Errorf("%v, %v", got.Expiry, err)
	}
	for i := range 20_000 { // however many log in
		issue(&grant.Live{ID: fmt.Sprint(i)}, backend)
	}
	if n := assertion.Kept(issuer); n > 8192 {
		t.Errorf("%d are kept", n)
	}
}

func BenchmarkIssue(b *testing.B) {
	issuer := assertion.NewIssuer(ring(b, seal.NewKey()), nil)
	b.Run("kept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := issuer.Issue(music, ada, backend); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signed", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := issuer.Issue(music, &grant.Live{ID: fmt.Sprint(i), Record: ada.Record}, backend); err != nil {
				b.Fatal(err)
			}
		}
	})
}
