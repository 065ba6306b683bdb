package client

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/remote"
)

func TestFailuresAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(docKey, doc(nil), "max-age=300")
	if _, err := w.Find(t.Context(), w.music, docID); err != nil {
		t.Fatal(err)
	}
	missing, limited := 0, 0
	for i := range 40 {
		from := remote.NewContext(t.Context(), netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
		switch _, err := w.Find(from, w.music, "https://example.com/none.json"); codeOf(err) {
		case oauth.InvalidClient:
			missing++
		case oauth.TemporarilyUnavailable:
			limited++
		}
	}
	if missing != hostBurst-1 || limited != 40-missing || w.count("example.com/none.json") != missing {
		t.Errorf("%d fetched and %d limited", missing, limited)
	}
	// Hosts of a tenant.
	limited = 0
	for i := range 40 {
		id := "https://a" + strings.Repeat("a", i) + ".example.com/none.json"
		if _, err := w.Find(t.Context(), w.music, id); codeOf(err) == oauth.TemporarilyUnavailable {
			limited++
		}
	}
	if limited < 10 {
		t.Errorf("%d of 40 hosts limited", limited)
	}
	// Nobody is locked out by it: what was good is asked again.
	w.advance(minFresh)
	for range hostBurst + 1 {
		_, _ = w.Find(t.Context(), w.music, "https://example.com/none.json")
	}
	if _, err := w.Find(t.Context(), w.music, docID); err != nil || w.count(docKey) != 2 {
		t.Errorf("a known document: %v, asked %d times", err, w.count(docKey))
	}
}

// Made-up addresses use up what is there for made-up addresses, and no more of
// it than one sender's part.
func TestMadeUpAddressesLockNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addresses := map[string]netip.Addr{}
	from := func(sender string) context.Context {
		if _, ok := addresses[sender]; !ok {
			addresses[sender] = netip.AddrFrom4([4]byte{192, 0, 2, byte(len(addresses) + 1)})
		}
		return remote.NewContext(t.Context(), addresses[sender])
	}
	found := func(sender, id string) bool {
		_, err := w.Find(from(sender), w.music, id)
		return codeOf(err) != oauth.TemporarilyUnavailable
	}
	flood := func(sender string) (fetched int) {
		for i := range 60 {
			if found(sender, fmt.Sprintf("https://a%d.%s.example.com/none.json", i, sender)) {
				fetched++
			}
		}
		return fetched
	}
	if n := flood("flood"); n > 10 {
		t.Errorf("one sender had %d addresses asked", n)
	}
	if !found("other", "https://unseen.example.com/none.json") {
		t.Error("another sender's unseen client is not asked for")
	}
	for _, sender := range []string{"a", "b", "c", "d", "e"} {
		flood(sender)
	}
	if found("fresh", "https://unseen.example.com/other.json") {
		t.Fatal("the tenant's budget for strangers is not used up: the test proves nothing")
	}
	w.music.Redirects.Hosts = []string{"known.example.com"}
	if !found("fresh", "https://known.example.com/none.json") {
		t.Error("a client on a host that logins are redirected to is not asked for")
	}
	const proven = "https://proven.example.com/none.json"
	w.LoggedIn(&Client{ID: proven, Host: "proven.example.com"})
	if !found("fresh", proven) {
		t.Error("a client that a user has logged in to is not asked for")
	}
}

// Made-up paths on a host that logins are redirected to, or that the operator
// listed, use up neither what the tenant has for such hosts nor what the host
// sees.
func TestMadeUpPathsOnKnownHostsLockNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.music.Redirects.Hosts = []string{"known.example.com", "other.example.com"}
	from := func(sender byte) context.Context {
		return remote.NewContext(t.Context(), netip.AddrFrom4([4]byte{192, 0, 2, sender}))
	}
	found := func(sender byte, id string) bool {
		_, err := w.Find(from(sender), w.music, id)
		return codeOf(err) != oauth.TemporarilyUnavailable
	}
	const proven = "https://known.example.com/proven.json"
	w.LoggedIn(&Client{ID: proven, Host: "known.example.com"})
	fetched := 0
	for i := range 60 {
		if found(1, fmt.Sprintf("https://known.example.com/%d.json", i)) {
			fetched++
		}
	}
	if fetched != senderPart {
		t.Errorf("one sender had a host asked %d times, want %d", fetched, senderPart)
	}
	if !found(2, "https://known.example.com/client.json") {
		t.Error("another sender's client on the same host is not asked for")
	}
	if !found(3, "https://other.example.com/client.json") {
		t.Error("a client on another host that logins are redirected to is not asked for")
	}
	for sender := range byte(20) {
		for i := range 10 {
			found(10+sender, fmt.Sprintf("https://known.example.com/%d-%d.json", sender, i))
		}
	}
	if found(4, "https://known.example.com/unseen.json") {
		t.Fatal("the host's part is not used up: the test proves nothing")
	}
	if !found(5, proven) {
		t.Error("a client that a user has logged in to is not asked for")
	}
}

func TestProvenClientsAreBounded(t *testing.T) {
	t.Parallel()
	l := newLimits(nil)
	for i := range maxProven + 10 {
		l.prove(strconv.Itoa(i))
	}
	if len(l.proven) > maxProven || !l.isProven(strconv.Itoa(maxProven+9)) {
		t.Errorf("%d clients are remembered", len(l.proven))
	}
}

// A document that one tenant may fetch, because its operator named the host, is
// not there for a tenant whose operator did not: its clients would learn what is
// inside.
func TestWhatOneTenantMayFetchIsNotAnothers(t *testing.T) {
	t.Parallel()
	const inside = "inside.example.com"
	w := newWorld(t, inside)
	w.addr[inside] = "10.0.0.1"
	id := "https://" + inside + "/client.json"
	w.publish(inside+"/client.json", doc(map[string]any{"client_id": id}), "")
	listing := *w.music
	listing.Name, listing.ClientDocuments.Hosts = "inside", []string{inside}
	for range 2 { // the second time from what is kept
		if _, err := w.Find(t.Context(), &listing, id); err != nil {
			t.Fatalf("the tenant that lists the host: %v", err)
		}
		if _, err := w.Find(t.Context(), w.music, id); codeOf(err) != oauth.TemporarilyUnavailable {
			t.Errorf("the tenant that does not: %v", err)
		}
	}
	keys := keySource{uri: "https://" + inside + "/jwks.json"}
	w.publish(inside+"/jwks.json", map[string]any{"keys": []any{}}, "")
	trusted := keys
	trusted.trusted = true
	if _, err := w.keysFor(t.Context(), w.music, trusted, "", jose.ES256); codeOf(err) != oauth.InvalidClient { // fetched, and empty
		t.Fatalf("keys that the operator wrote down: %v", err)
	}
	if _, err := w.keysFor(t.Context(), w.music, keys, "", jose.ES256); codeOf(err) != oauth.TemporarilyUnavailable {
		t.Errorf("the same keys for a stranger's client: %v", err)
	}
}

// A name inside, a name outside that answers nothing, and a name that there is
// not are told alike, whether the operator lists them among the private hosts or
// not: the answers do not list the operator's network.
func TestNamesInsideAreNotToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "idp.example.com", "ldap.example.com:8443")
	w.addr["vault.example.com"], w.addr["db.example.com"] = "10.0.0.1", "fd00::1"
	w.addr["idp.example.com"], w.addr["ldap.example.com"] = "10.0.0.2", "10.0.0.3"
	hosts := []string{"vault.example.com", "db.example.com", "unknown.invalid", "idp.example.com", "ldap.example.com:8443"}
	ask := map[string]func(host string) error{
		"client_id": func(host string) error {
			_, err := w.Find(t.Context(), w.music, "https://"+host+"/client.json")
			return err
		},
		"jwks_uri": func(host string) error {
			_, err := w.keysFor(t.Context(), w.music, keySource{uri: "https://" + host + "/jwks.json"}, "", jose.ES256)
			return err
		},
	}
	for name, of := range ask {
		told := map[string]string{}
		for _, host := range hosts {
			fault := oauth.AsError(of(host))
			told[fmt.Sprint(fault.StatusCode(), fault.Code, fault.RetryAfter, strings.ReplaceAll(fault.Description, host, "HOST"))] += host + " "
			w.advance(time.Minute)
		}
		if len(told) != 1 {
			t.Errorf("%s: names are told apart: %v", name, told)
		}
	}
}
