package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/sdk/abi"
)

// Where a secret may go
//
// A client secret and an assertion are added only to requests whose URL the
// manifest's secret_urls names, or that a metadata document names which
// secret_urls names. The host reads that document itself, from the answer in
// the conversation.

// secretABI is the minor version that has secret_urls.
const secretABI = 2

// secretParams are the names under which a client secret is sent in a body:
// RFC 6749 §2.3.1 and what upstreams have renamed it to.
func secretParams() []string {
	return []string{"client_secret", "clientSecret", "secret", "app_secret", "appSecret", "consumer_secret", "secret_key"}
}

// secretPlaces is a manifest's secret_urls with a tenant's settings filled in.
type secretPlaces struct {
	anyHost   bool // the module's ABI is older than secret_urls
	urls      []string
	documents []string // URLs of metadata documents
	issuers   []string // audiences
}

// NamesSecretURLs reports whether the plugin's ABI makes it name the URLs that
// a secret may go to. One that does not may send it to each of its hosts.
func (i Info) NamesSecretURLs() bool { return namesSecretURLs(i.Manifest) }

// namesSecretURLs reports whether a module's ABI has secret_urls.
func namesSecretURLs(m abi.Manifest) bool {
	_, minor, _ := strings.Cut(m.ABI, ".")
	n, err := strconv.Atoi(minor)
	return err == nil && n >= secretABI
}

// errAnyHost says why a module is not bound to secret_urls.
func errAnyHost(m abi.Manifest) error {
	return fmt.Errorf("its ABI is %s, which has no secret_urls", m.ABI)
}

var settingPattern = regexp.MustCompile(`\{settings\.([A-Za-z0-9_-]+)\}`)

// checkSecretURLs checks the form of a manifest's secret_urls. Whether http is
// possible is for the operator's private hosts to say.
func checkSecretURLs(m abi.Manifest) (faults []error) {
	for _, entry := range m.SecretURLs {
		_, text := cutPrefix(entry)
		// A setting that stands at the beginning is a URL, any other a part of one.
		text = settingPattern.ReplaceAllStringFunc(text, func(s string) string {
			if strings.HasPrefix(text, s) {
				return "https://setting.example"
			}
			return "setting"
		})
		u, err := url.Parse(strings.ReplaceAll(text, "{client_id}", "client"))
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(text, " \\") ||
			strings.ContainsAny(strings.ReplaceAll(text, "{client_id}", ""), "{}") {
			faults = append(faults, fmt.Errorf("manifest: secret_urls: %q; use a URL that begins with https:// (http:// for private hosts) or a setting, may hold {settings.NAME} and {client_id}, and has %s or %s or nothing before it",
				entry, abi.SecretDiscovery, abi.SecretIssuer))
		}
	}
	return faults
}

// cutPrefix splits an entry of secret_urls.
func cutPrefix(entry string) (prefix, text string) {
	for _, prefix := range []string{abi.SecretDiscovery, abi.SecretIssuer} {
		if text, ok := strings.CutPrefix(entry, prefix); ok {
			return prefix, text
		}
	}
	return "", entry
}

// resolveSecretPlaces fills settings and client id into secret_urls. An entry
// whose setting has no value is left out.
func resolveSecretPlaces(m abi.Manifest, settings map[string]any, clientID string) (secretPlaces, error) {
	p := secretPlaces{anyHost: !namesSecretURLs(m)}
	if p.anyHost {
		return p, nil
	}
	for _, entry := range m.SecretURLs {
		prefix, text := cutPrefix(entry)
		text, complete := fillSettings(text, settings)
		if !complete {
			continue
		}
		text = strings.ReplaceAll(text, "{client_id}", url.PathEscape(clientID))
		if prefix == abi.SecretIssuer {
			p.issuers = append(p.issuers, text)
			continue
		}
		place, ok := canonicalURL(text)
		switch {
		case !ok:
			return p, fmt.Errorf("%s: the value is not a usable URL; use one like https://example.com/token", strings.Trim(entry, "{}"))
		case prefix == abi.SecretDiscovery:
			p.issuers = append(p.issuers, text)
			p.documents = append(p.documents, metadataURLs(text)...)
		default:
			p.urls = append(p.urls, place)
		}
	}
	return p, nil
}

// fillSettings puts settings into text; complete is false if one is missing.
func fillSettings(text string, settings map[string]any) (filled string, complete bool) {
	complete = true
	filled = settingPattern.ReplaceAllStringFunc(text, func(s string) string {
		value, _ := settings[settingPattern.FindStringSubmatch(s)[1]].(string)
		if s != text { // a slash at the end would be doubled by what follows
			value = strings.TrimSuffix(value, "/")
		}
		complete = complete && value != ""
		return value
	})
	return filled, complete
}

// metadataURLs returns where the metadata of an issuer may be: OpenID Connect
// Discovery §4, RFC 8414 §3, or at the URL itself if a setting names the
// document.
func metadataURLs(issuer string) []string {
	const openid, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	root, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	var all []string
	for _, text := range []string{issuer, root + path + openid, root + openid + path, root + oauth + path} {
		if place, ok := canonicalURL(text); ok && !slices.Contains(all, place) {
			all = append(all, place)
		}
	}
	return all
}

// canonicalURL returns a form in which URLs are equal if and only if a server
// cannot tell them apart: scheme, host, port, the decoded segments of the path,
// and the query as it stands.
func canonicalURL(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return "", false
	}
	hostport, ok := fetch.HostPort(u)
	if !ok || u.Hostname() == "" {
		return "", false
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/" // RFC 9110 §4.2.3
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return "", false
		}
		segments[i] = url.PathEscape(plain)
	}
	return u.Scheme + "://" + strings.ToLower(hostport) + strings.Join(segments, "/") + "?" + u.RawQuery, true
}

// learnEndpoints reads the endpoints of a metadata document that secret_urls
// names (RFC 8414 §2, RFC 9126 §5) from the answer to a request for it.
func (c *conversation) learnEndpoints(r *abi.Request, s step) {
	if r == nil || r.Method != http.MethodGet || r.BodyLen > 0 || s.Status != http.StatusOK || len(c.places.documents) == 0 {
		return
	}
	if place, ok := canonicalURL(r.URL); !ok || !slices.Contains(c.places.documents, place) {
		return
	}
	var metadata struct {
		Issuer        string `json:"issuer"`
		Token         string `json:"token_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		PAR           string `json:"pushed_authorization_request_endpoint"`
	}
	if json.Unmarshal(s.Body, &metadata) != nil {
		return // the provider says what is wrong with it
	}
	for _, endpoint := range []string{metadata.Token, metadata.Revocation, metadata.Introspection, metadata.PAR} {
		if place, ok := canonicalURL(endpoint); ok {
			c.endpoints = append(c.endpoints, place)
		}
	}
	if metadata.Issuer != "" {
		c.issuers = append(c.issuers, metadata.Issuer)
	}
}

var errSecretPlace = errors.New("a secret may not go there")

// checkSecretPlace reports why a secret may not be added to a request.
func (c *conversation) checkSecretPlace(a *abi.ClientAuth, method string, to *url.URL) error {
	shown := to.Scheme + "://" + to.Host + to.EscapedPath()
	inBody := a.Method == abi.AuthPost || a.Method == abi.AuthPrivateKeyJWT || a.Method == abi.AuthClientSecretJWT
	switch {
	case inBody && method != http.MethodPost:
		return fmt.Errorf("%w: client authentication %s needs the method POST, not %s; use basic or POST", errSecretPlace, a.Method, method)
	case c.places.anyHost && method != http.MethodPost:
		return fmt.Errorf("%w: a module of ABI %s sends a secret by POST only, not by %s; build it with the SDK of this release and name the URL in secret_urls of its manifest",
			errSecretPlace, c.module.manifest.ABI, method)
	case c.places.anyHost && a.SecretParam != "" && a.SecretParam != "client_secret":
		return fmt.Errorf("%w: a module of ABI %s sends the secret as client_secret only, not as %q; build it with the SDK of this release",
			errSecretPlace, c.module.manifest.ABI, a.SecretParam)
	case a.Method == abi.AuthPost && a.SecretParam != "" && !slices.Contains(secretParams(), a.SecretParam):
		return fmt.Errorf("%w: the parameter %q is not a name for a client secret; use one of %s", errSecretPlace, a.SecretParam, strings.Join(secretParams(), ", "))
	case c.places.anyHost:
		return nil
	}
	place, ok := canonicalURL(to.String())
	if ok && (slices.Contains(c.places.urls, place) || slices.Contains(c.endpoints, place)) {
		return nil
	}
	return fmt.Errorf("%w: %s is not among the URLs that secret_urls of the manifest names; if it is right, add it there (sdk/ABI.md)", errSecretPlace, shown)
}

// checkAudience reports whether an assertion that is sent to a URL may be for
// an audience (RFC 7523 §3): that URL, an issuer above it on the same host, or
// an issuer that the manifest or the metadata names.
func (c *conversation) checkAudience(audience string, to *url.URL) bool {
	if audience == to.String() || slices.Contains(c.places.issuers, audience) || slices.Contains(c.issuers, audience) {
		return true
	}
	above, ok := canonicalURL(audience)
	place, _ := canonicalURL(to.String())
	above, _, _ = strings.Cut(above, "?")
	place, _, _ = strings.Cut(place, "?")
	return ok && strings.HasPrefix(place, strings.TrimSuffix(above, "/")+"/")
}

// widens lists what p would do beyond what before does: where a secret goes,
// what users are asked for, and which hosts are reached.
func (p *provider) widens(before *provider) (more []string) {
	add := func(what string, items []string) {
		if len(items) > 0 {
			more = append(more, what+" "+strings.Join(items, ", "))
		}
	}
	add("reach", without(p.hosts, before.hosts))
	if p.places.anyHost && !before.places.anyHost {
		more = append(more, "send the client secret to each of its hosts, because "+errAnyHost(p.manifest).Error())
	}
	if !before.places.anyHost {
		add("send the client secret to", withoutQuery(without(p.places.urls, before.places.urls)))
		add("send the client secret where this document says:", withoutQuery(without(p.places.documents, before.places.documents)))
		add("sign assertions for", without(p.places.issuers, before.places.issuers))
	}
	if len(p.binding.Scopes) == 0 {
		add("ask users for the scope", without(p.Describe().DefaultScopes, before.Describe().DefaultScopes))
	}
	can, could := p.manifest.Capabilities, before.manifest.Capabilities
	for _, c := range []struct {
		gained bool
		what   string
	}{
		{can.Refresh && !could.Refresh, "be able to refresh"}, {can.Revoke && !could.Revoke, "be able to revoke"},
		{can.Identity && !could.Identity, "be able to identify users"},
		// accounts.unverified_email_from trusts an issuer of one organization. Before
		// ABI 1.2 a plugin could name none.
		{p.issuer != before.issuer && p.issuer != "" && namesSecretURLs(before.manifest), "say that its accounts are those of " + p.issuer},
		{before.manyOrganizations && !p.manyOrganizations, "say that its accounts are those of one organization"},
		{!can.PKCE && could.PKCE, "log in without PKCE (RFC 7636)"},
	} {
		if c.gained {
			more = append(more, c.what)
		}
	}
	return more
}

// withoutQuery cuts what canonicalURL adds, for people.
func withoutQuery(urls []string) []string {
	for i, u := range urls {
		urls[i] = strings.TrimSuffix(u, "?")
	}
	return urls
}
