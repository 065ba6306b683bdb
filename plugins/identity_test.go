package plugins

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

const addressSettings = `{"additionalProperties":true,"properties":{` +
	`"site":{"type":"string"},"host":{"type":"string","format":"hostname"},"home":{"type":"string"}}}`

// naming is a plugin file whose check answers what is given.
func naming(version, check string) []byte {
	manifest := manifestOf("tiny", version, addressSettings, "{settings.site}", "a.example")
	manifest = strings.Replace(manifest, `"hosts"`, `"home_page":"{settings.home}","hosts"`, 1)
	return handmade{check: check}.plugin(manifest)
}

func (s *shelf) describe(b Binding) upstream.Description {
	s.t.Helper()
	p, err := s.Bind(s.t.Context(), "tiny", b)
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Describe()
}

func TestIdentityIsWhatCheckAnswers(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": naming("1.0.0", `{"identity":"https://up.example","pkce":true,"callback_issuer":"https://up.example"}`)})
	settings := map[string]any{"site": "https://a.example", "label": "one"}
	d := s.describe(Binding{Tenant: "octo", ClientID: "c", Settings: settings})
	if d.Identity != upstream.NewIdentity("tiny", "c", "https://up.example") || d.Upstream != "https://up.example" {
		t.Errorf("identity %s of %s", d.Identity, d.Upstream)
	}
	if !d.PKCE || d.CallbackIssuer != "https://up.example" {
		t.Errorf("PKCE %v, callback issuer %q: check overrules the manifest", d.PKCE, d.CallbackIssuer)
	}
	settings["label"], settings["site"] = "two", "https://b.example"
	if other := s.describe(Binding{Tenant: "other", ClientID: "c", ClientSecret: seal.NewSecret("x"), Settings: settings}); other.Identity != d.Identity {
		t.Error("tenant, secret and settings change what the module calls one upstream")
	}
	if other := s.describe(Binding{Tenant: "octo", ClientID: "d", Settings: settings}); other.Identity == d.Identity {
		t.Error("two client ids are one app")
	}
}

func TestIdentityWithoutAnswerIsTheAddressesInTheSettings(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": naming("1.0.0", `{}`)})
	base := map[string]any{"site": "a.example", "host": "b.example", "urls": []any{"https://c.example"}, "label": "one", "home": "https://h.example"}
	of := func(name string, value any) upstream.Identity {
		settings := map[string]any{}
		for k, v := range base {
			settings[k] = v
		}
		settings[name] = value
		return s.describe(Binding{Tenant: "octo", ClientID: "c", Settings: settings}).Identity
	}
	before := of("label", "one")
	for name, value := range map[string]any{"site": "x.example", "host": "x.example", "urls": []any{"https://x.example"}, "new": map[string]any{"api": "http://x.example"}, "preset": "x"} {
		if of(name, value) == before {
			t.Errorf("another %s is the same upstream", name)
		}
	}
	for name, value := range map[string]any{"label": "two", "home": "https://x.example", "count": 3} {
		if of(name, value) != before {
			t.Errorf("another %s is another upstream", name)
		}
	}
}

func TestModuleThatBeginsToNameItsUpstreamTakesOver(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": naming("1.0.0", `{}`)})
	p := s.bind("tiny")
	before := p.Describe().Identity
	s.put("tiny.wasm", naming("1.1.0", `{"identity":"up.example"}`))
	s.rescan()
	d := p.Describe()
	if d.Version != "1.1.0" || d.Identity == before || !slices.Contains(d.Former, before) {
		t.Errorf("version %s, identity %s, former %v, want %s among them", d.Version, d.Identity, d.Former, before)
	}
	s.put("tiny.wasm", naming("1.2.0", `{"identity":"other.example"}`))
	s.rescan()
	if !errors.Is(s.Faults()[0].Err, ErrOtherUpstream) || !strings.Contains(s.fault(), "octo it is other.example, until now it was up.example") {
		t.Errorf("fault %s", s.fault())
	}
	if err := s.Reload(t.Context()); err != nil || p.Describe().Version != "1.1.0" {
		t.Errorf("after Reload: %v, version %s: an update may not change the upstream of a tenant", err, p.Describe().Version)
	}
}

// TestPluginThatDropsTheCallbackIssuerIsRefused: tenants that share a callback do
// so because their providers demand iss. An update cannot take that back, also
// when the operator accepts updates that ask for more.
func TestPluginThatDropsTheCallbackIssuerIsRefused(t *testing.T) {
	const demanding = `{"identity":"https://up.example","callback_issuer":"https://up.example"}`
	for name, check := range map[string]string{
		"none":    `{"identity":"https://up.example"}`,
		"another": `{"identity":"https://up.example","callback_issuer":"https://other.example"}`,
	} {
		s := newShelf(t, map[string][]byte{"tiny.wasm": naming("1.0.0", demanding)})
		p := s.bind("tiny")
		s.put("tiny.wasm", naming("1.1.0", check))
		s.rescan()
		if err := s.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := p.Describe(); d.Version != "1.0.0" || d.CallbackIssuer != "https://up.example" {
			t.Errorf("%s: version %s, callback issuer %q", name, d.Version, d.CallbackIssuer)
		}
		if !errors.Is(s.Faults()[0].Err, ErrOtherUpstream) || !strings.Contains(s.fault(), "for tenant octo callbacks would carry the iss") {
			t.Errorf("%s: fault %s", name, s.fault())
		}
	}
	s := newShelf(t, map[string][]byte{"tiny.wasm": naming("1.0.0", `{"identity":"https://up.example"}`)})
	p := s.bind("tiny")
	s.put("tiny.wasm", naming("1.1.0", demanding))
	s.rescan()
	if d := p.Describe(); d.CallbackIssuer != "https://up.example" {
		t.Errorf("an update that begins to demand iss: %v", s.Faults())
	}
}

// TestPluginThatClaimsOtherAccountsWaits: whose accounts they are decides which
// e-mail addresses count (accounts.unverified_email_from).
func TestPluginThatClaimsOtherAccountsWaits(t *testing.T) {
	for name, c := range map[string]struct{ before, after, want string }{
		"another issuer":   {`{"issuer":"https://a.example"}`, `{"issuer":"https://b.example"}`, "say that its accounts are those of https://b.example"},
		"an issuer":        {`{}`, `{"issuer":"https://b.example"}`, "say that its accounts are those of https://b.example"},
		"one organization": {`{"many_organizations":true}`, `{}`, "say that its accounts are those of one organization"},
		"no issuer":        {`{"issuer":"https://a.example"}`, `{"many_organizations":true}`, ""},
	} {
		file := func(version, check string) []byte {
			return handmade{check: check}.plugin(strings.Replace(manifestOf("tiny", version, anySettings), `"abi":"1.0"`, `"abi":"1.2"`, 1))
		}
		s := newShelf(t, map[string][]byte{"tiny.wasm": file("1.0.0", c.before)})
		p := s.bind("tiny")
		s.put("tiny.wasm", file("1.1.0", c.after))
		s.rescan()
		if c.want == "" {
			if version(p) != "1.1.0" {
				t.Errorf("%s: %v", name, s.Faults())
			}
			continue
		}
		if version(p) != "1.0.0" || !errors.Is(s.Faults()[0].Err, ErrWidened) || !strings.Contains(s.fault(), "tenant octo would "+c.want) {
			t.Errorf("%s: version %s, fault %s", name, version(p), s.fault())
		}
		if err := s.Reload(t.Context()); err != nil || version(p) != "1.1.0" {
			t.Errorf("%s: after Reload: %v, version %s", name, err, version(p))
		}
	}
}

func TestCheckAnswersThatCannotBeUsed(t *testing.T) {
	for name, check := range map[string]string{
		"a line break":      `{"identity":"a\nb"}`,
		"an endless issuer": `{"callback_issuer":"` + strings.Repeat("a", maxIdentity+1) + `"}`,
	} {
		s := newShelf(t, map[string][]byte{"tiny.wasm": naming("1.0.0", check)})
		if _, err := s.Bind(t.Context(), "tiny", Binding{Tenant: "octo"}); err == nil || !strings.Contains(err.Error(), "control characters") {
			t.Errorf("%s: %v %v", name, err, s.Faults())
		}
	}
}
