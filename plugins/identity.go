package plugins

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

// ErrOtherUpstream says that a replaced plugin calls a tenant's upstream
// otherwise than the one in service, so what users granted there is not its.
var ErrOtherUpstream = errors.New("it names another upstream than the one in service; give it another name, or remove the old file and restart the server to log everybody in anew")

// upstreamName says which upstream a tenant's settings lead to.
type upstreamName struct {
	answered       string // by check, since ABI 1.2; empty: the settings count
	settings       string // those that name a host or a URL, in a fixed order
	callbackIssuer string
}

// maxIdentity is in bytes: an identity is an issuer or a URL, or shorter.
const maxIdentity = 2048

// keepsCallbackIssuer reports whether callbacks of the plugin of n carry the iss
// that those of before do: without it tenants that share a callback could be
// brought each other's codes (RFC 9700 §4.4), and whether tenants may share one is
// decided when the configuration is loaded.
func (n upstreamName) keepsCallbackIssuer(before upstreamName) bool {
	return before.callbackIssuer == "" || n.callbackIssuer == before.callbackIssuer
}

// answer reads what check said.
func (n *upstreamName) answer(result abi.CheckResult) error {
	for name, text := range map[string]string{
		"identity": result.Identity, "callback_issuer": result.CallbackIssuer, "issuer": result.Issuer,
		"display_name": result.DisplayName, "home_page": result.HomePage,
	} {
		if len(text) > maxIdentity || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("check answers an %s that is longer than %d bytes or has control characters in it", name, maxIdentity)
		}
	}
	n.answered, n.callbackIssuer = result.Identity, result.CallbackIssuer
	return nil
}

// String is for the operator.
func (n upstreamName) String() string { return cmp.Or(n.answered, n.settings, "its hosts") }

// follows reports whether the plugin of n may take over a tenant from that of
// before: the upstream is the same, or it is upstreamName for the first time.
func (n upstreamName) follows(before upstreamName) bool {
	if before.answered == "" {
		return n.settings == before.settings
	}
	return n.answered == before.answered
}

// describe puts the identity into a description.
func (n upstreamName) describe(d *upstream.Description, provider, clientID string) {
	// A name that a provider answers cannot be mistaken for settings, which are
	// JSON.
	bySettings := upstream.NewIdentity(provider, clientID, n.settings)
	d.Upstream, d.CallbackIssuer, d.Identity = n.String(), n.callbackIssuer, bySettings
	if n.answered != "" {
		d.Identity = upstream.NewIdentity(provider, clientID, n.answered)
		d.Former = []upstream.Identity{bySettings}
	}
}

// upstreamSettings returns those of a tenant's settings that name a host or a
// URL: what the manifest's hosts refer to, what the schema calls one, and every
// text that is written as a URL, except for the home page; and a preset, which is
// how the plugins of releases without identities name the rest. It returns JSON
// with sorted names, defaults included, or "" if there are none.
func (s *schema) upstreamSettings(m *abi.Manifest, settings map[string]any) string {
	properties, _ := s.text["properties"].(map[string]any)
	found := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		property, _ := properties[name].(map[string]any)
		format, _ := property["format"].(string)
		isAddress := slices.Contains([]string{"uri", "iri", "uri-reference", "hostname", "idn-hostname", "ipv4", "ipv6"}, format)
		reference := "{settings." + name + "}"
		if reference == m.HomePage || reference == m.DisplayName {
			continue
		}
		preset := name == "preset" && settings[name] != ""
		if preset || isAddress || slices.Contains(m.Hosts, reference) || holdsURL(settings[name]) {
			found[name] = settings[name]
		}
	}
	if len(found) == 0 {
		return ""
	}
	text, err := json.Marshal(found)
	if err != nil {
		return "" // they were read from JSON
	}
	return string(text)
}

// holdsURL reports whether a setting is a URL or holds one.
func holdsURL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "://")
	case []any:
		return slices.ContainsFunc(v, holdsURL)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), holdsURL)
	}
	return false
}
