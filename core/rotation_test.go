package core_test

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// drill is a server whose keys are rotated, with one client that the operator
// wrote down, so that it has no key of ours in its id.
type drill struct {
	*coretest.Server
	t *testing.T
}

func newDrill(t *testing.T, keys ...seal.Key) drill {
	return drill{coretest.New(t, func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.Keys = ring(t, keys...)
		tenants[0].Clients = []tenant.Client{{ID: "app", Name: "App", RedirectURIs: []string{coretest.ClientCallback}}}
	}), t}
}

func ring(t *testing.T, keys ...seal.Key) *seal.Keyring {
	t.Helper()
	r, err := seal.NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keys restarts the server with other keys.
func (d drill) keys(keys ...seal.Key) {
	d.t.Helper()
	d.Restart(d.t, func(c *core.Config) { c.Keys = ring(d.t, keys...) })
}

func (d drill) login(account string) coretest.Tokens {
	d.t.Helper()
	code := d.Code(d.t, d.Browser(), "music", d.AuthorizeQuery("music", "app"), account).Get("code")
	return d.tokens(redeem(d.t, d.Server, "music", code, "app", nil))
}

func (d drill) refresh(k coretest.Tokens) coretest.Tokens {
	d.t.Helper()
	return d.tokens(refresh(d.t, d.Server, k))
}

func (d drill) tokens(a coretest.Answer) coretest.Tokens {
	d.t.Helper()
	if a.Status != http.StatusOK {
		d.t.Fatalf("token: %d %s", a.Status, a.Body)
	}
	access, _ := a.JSON(d.t)["access_token"].(string)
	refresh, _ := a.JSON(d.t)["refresh_token"].(string)
	return coretest.Tokens{ClientID: "app", Access: access, Refresh: refresh}
}

// call fails unless a call comes through as account.
func (d drill) call(what string, k coretest.Tokens, account string) {
	d.t.Helper()
	a := d.Call(d.t, "music", k.Access)
	if a.Status != http.StatusOK || !strings.Contains(a.Body, "upstream-access-"+account) {
		d.t.Errorf("%s: %d %s", what, a.Status, a.Body)
	}
}

// sealedWith names the keys of a grant's two envelopes.
func (d drill) sealedWith(id string, keys ...seal.Key) (outer, inner string) {
	d.t.Helper()
	name := func(sealed []byte) string { return fmt.Sprintf("key %08x", binary.BigEndian.Uint32(sealed)) }
	sealed, err := d.Store.Get(d.t.Context(), "grant/music/"+id)
	if err != nil {
		d.t.Fatal(err)
	}
	plain, err := ring(d.t, keys...).Open(seal.Purpose{Use: "grant", Tenant: "music", Record: id}, sealed)
	if err != nil {
		d.t.Fatal(err)
	}
	var rec grant.Record
	if err := rec.UnmarshalBinary(plain); err != nil {
		d.t.Fatal(err)
	}
	return name(sealed), name(rec.Credential)
}

// verify opens an access token that has to count.
func (d drill) verify(k coretest.Tokens) *grant.Live {
	d.t.Helper()
	l, err := d.Core.Grants().Verify(d.t.Context(), d.Core.Tenants().Get("music"), k.Access)
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

// The drill: a new key in front, the old one behind it for as long as grants
// live, then the old one goes. Whoever used the time notices nothing, although
// the upstream never renewed anything.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	before, after := seal.NewKey(), seal.NewKey()
	d := newDrill(t, before)
	ada, bob := d.login("ada"), d.login("bob")
	d.call("ada, old key", ada, "ada")

	d.keys(after, before)
	d.call("ada, both keys", ada, "ada")
	id := d.verify(ada).ID
	ada = d.refresh(ada)
	d.call("ada, refreshed", ada, "ada")
	if outer, inner := d.sealedWith(id, after, before); outer != after.String() || inner != after.String() {
		t.Errorf("after a refresh the envelopes are of %s and %s, want %s", outer, inner, after)
	}
	d.call("bob, both keys", bob, "bob")
	eve := d.login("eve")

	d.keys(after)
	d.call("ada, new key", ada, "ada")
	d.call("eve, new key", eve, "eve")
	ada = d.refresh(ada)
	d.call("ada, refreshed once more", ada, "ada")
	// Bob came too late: his tokens are nobody's any more, and he logs in again.
	if a := d.Call(t, "music", bob.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("bob, new key: %d %s", a.Status, a.Body)
	}
	wantError(t, "bob refreshes", refresh(t, d.Server, bob), http.StatusBadRequest, "invalid_grant")
	d.call("bob, who logged in again", d.login("bob"), "bob")
}

// A server that was not told of the new key writes a record with the old one,
// and then the old one goes. That is the operator's mistake and not the user's:
// nobody is logged out for it, and when the key comes back all is well.
func TestKeyDroppedTooEarlyLogsNobodyOut(t *testing.T) {
	t.Parallel()
	before, after := seal.NewKey(), seal.NewKey()
	d := newDrill(t, before)
	first := d.login("ada")
	d.keys(after, before)
	ada := d.refresh(first)
	id := d.verify(ada).ID
	d.keys(before, after) // the server that was not told
	if _, err := d.Core.Grants().Lease(t.Context(), d.Core.Tenants().Get("music"), d.verify(ada), "x", nil); err != nil {
		t.Fatal(err)
	}
	if outer, _ := d.sealedWith(id, after, before); outer != before.String() {
		t.Fatalf("the record is of %s", outer)
	}

	d.keys(after)
	for range 2 {
		a := d.Call(t, "music", ada.Access)
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("call: %d %v %s", a.Status, a.Header, a.Body)
		}
		wantError(t, "refresh", refresh(t, d.Server, ada), http.StatusServiceUnavailable, "temporarily_unavailable")
	}
	d.keys(after, before)
	d.call("when the key is back", ada, "ada")
	d.call("and refreshed", d.refresh(ada), "ada")
}

// A journal that is under way when the keys change is not lost with the old one.
func TestJournalIsSealedAgainToo(t *testing.T) {
	t.Parallel()
	before, after := seal.NewKey(), seal.NewKey()
	d := newDrill(t, before)
	ada := d.login("ada")
	music := d.Core.Tenants().Get("music")
	l, err := d.Core.Grants().Lease(t.Context(), music, d.verify(ada), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Core.Grants().KeepJournal(t.Context(), music, l, "x", []byte("rotated")); err != nil {
		t.Fatal(err)
	}
	d.keys(after, before)
	ada = d.refresh(ada)
	d.keys(after)
	l = d.verify(ada)
	kept, err := d.Core.Grants().Journal(music, l)
	if err != nil || string(kept) != "rotated" || l.Credential.RefreshToken.Reveal() != "upstream-refresh-ada-0" {
		t.Errorf("journal %q, %v, credential %+v", kept, err, l.Credential)
	}
}
