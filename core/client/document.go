package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// maxDocument is the largest metadata document read, in bytes: the 5 KB that
// draft-ietf-oauth-client-id-metadata-document-02 recommends.
const maxDocument = 5 << 10

// MaxName is the length of the longest client_name, in characters: it is shown to
// users and kept with each grant.
const MaxName = 100

// document is what counts of a client id metadata document.
type document struct {
	name         string
	redirectURIs []string
	methods      []Method
	keys         keySource
}

// looksLikeDocument tells whether an id means a metadata document. No id of
// another origin begins so.
func looksLikeDocument(id string) bool { return strings.HasPrefix(id, "https://") }

// documentURL reads an id as the URL of a metadata document. The id is judged
// as it stands, before anything is parsed or normalised (CIMD §3): two
// spellings of one address are two clients.
func documentURL(id string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) {
		return nil, oauth.Errorf(oauth.InvalidClient, "a client_id that is a URL %s", why)
	}
	if len(id) > maxID {
		return refuse("has at most 1024 characters")
	}
	for _, b := range []byte(id) {
		if b <= ' ' || b > '~' || strings.IndexByte("\"<>\\^`{|}", b) >= 0 {
			return refuse("has only the characters of a URL")
		}
	}
	if strings.Contains(id, "#") {
		return refuse("has no fragment")
	}
	u, err := url.Parse(id)
	switch {
	case err != nil || u.Scheme != "https" || u.Opaque != "" || u.Hostname() == "":
		return refuse("is a well-formed https URL")
	case u.User != nil:
		return refuse("has no user information")
	case u.Path == "":
		return refuse("has a path")
	}
	for segment := range strings.SplitSeq(u.Path, "/") { // decoded: %2e counts as well
		if segment == "." || segment == ".." {
			return refuse("has no dot segments")
		}
	}
	return u, nil // a query is a SHOULD NOT, and part of the id like the rest
}

// fromDocument returns the client that the document at id describes.
func (g *Registry) fromDocument(ctx context.Context, t *tenant.Tenant, id string, u *url.URL) (*Client, error) {
	if !reachable(t, u) {
		return nil, oauth.Errorf(oauth.InvalidClient, "this server takes no client metadata from %s", u.Host)
	}
	d, err := g.documents.get(ctx, t, address{id: id, URL: u, named: hostNamed(t, u)}, time.Time{})
	if err != nil {
		return nil, err
	}
	return &Client{ID: id, Name: d.name, Host: u.Host, RedirectURIs: d.redirectURIs, Methods: d.methods, keys: d.keys}, nil
}

// reachable reports whether an address that a client chose may be asked on
// behalf of a tenant. Where the tenant lists no hosts that is any address which
// the client for strangers takes. It knows none of the operator's private hosts,
// and answers for them as for every other name that it does not reach.
func reachable(t *tenant.Tenant, u *url.URL) bool {
	return len(t.ClientDocuments.Hosts) == 0 || hostNamed(t, u)
}

// hostNamed reports whether the operator listed the host of u for a tenant.
func hostNamed(t *tenant.Tenant, u *url.URL) bool {
	hostport, _ := fetch.HostPort(u)
	return slices.ContainsFunc(t.ClientDocuments.Hosts, func(h string) bool {
		return h == hostport || net.JoinHostPort(strings.Trim(h, "[]"), "443") == hostport
	})
}

// clientMetadata is the part of a document (RFC 7591 §2) that matters here.
// Everything else is ignored: grant types among it, since clients list all
// they know and can use of ours what is in our metadata.
type clientMetadata struct {
	ClientID     string          `json:"client_id"`
	ClientName   string          `json:"client_name"`
	RedirectURIs []string        `json:"redirect_uris"`
	Methods      []Method        `json:"token_endpoint_auth_methods_supported"`
	Method       Method          `json:"token_endpoint_auth_method"`
	SigningAlg   string          `json:"token_endpoint_auth_signing_alg"`
	Secret       json.RawMessage `json:"client_secret"`
	JWKS         json.RawMessage `json:"jwks"`
	JWKSURI      string          `json:"jwks_uri"`
}

// parseDocument reads the document found at id. Its errors say what is wrong,
// to be appended to "the document".
func parseDocument(id string, body []byte) (*document, error) {
	var m clientMetadata
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, errors.New("is no JSON object of client metadata")
	}
	m.ClientName = strings.TrimSpace(m.ClientName)
	switch {
	case m.ClientID != id: // CIMD §4.1: simple string comparison
		return nil, errors.New("has another client_id than its own address")
	case m.ClientName == "":
		return nil, errors.New("has no client_name")
	case utf8.RuneCountInString(m.ClientName) > MaxName:
		return nil, fmt.Errorf("has a client_name of more than %d characters", MaxName)
	case len(m.RedirectURIs) == 0:
		return nil, errors.New("has no redirect_uris")
	case len(m.Secret) > 0: // CIMD §4.1: everybody can read it
		return nil, errors.New("must not have a client_secret")
	}
	keys, err := m.keys()
	if err != nil {
		return nil, err
	}
	d := &document{name: m.ClientName, redirectURIs: m.RedirectURIs, methods: m.methods(keys), keys: keys}
	if len(d.methods) == 0 {
		return nil, errors.New("names no way to authenticate that can be used here: none, or private_key_jwt with jwks_uri or jwks")
	}
	return d, nil
}

func (m *clientMetadata) keys() (keySource, error) {
	k := keySource{uri: m.JWKSURI, alg: m.SigningAlg}
	if len(m.JWKS) == 0 {
		return k, nil
	}
	if k.uri != "" { // RFC 7591 §2
		return k, errors.New("must not have both jwks and jwks_uri")
	}
	var err error
	k.inline, err = parseKeySet("", m.JWKS)
	return k, err
}

// methods returns how the client may authenticate: by any method it names,
// once or in a list, that needs no shared secret and that we know. Clients use
// the list for all they can do and the single one for what they like best.
func (m *clientMetadata) methods(keys keySource) []Method {
	named := m.Methods
	if m.Method != "" {
		named = append(slices.Clone(named), m.Method)
	}
	if len(named) == 0 {
		return []Method{None} // the default of CIMD, not that of RFC 7591 §2
	}
	var usable []Method
	for _, method := range []Method{None, PrivateKeyJWT} {
		if slices.Contains(named, method) && (method == None || !keys.isZero()) {
			usable = append(usable, method)
		}
	}
	return usable
}
