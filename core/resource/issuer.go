package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
)

const (
	askTimeout = 5 * time.Second
	maxAnswer  = 64 << 10 // bytes
	// metadataLife is how long the issuer itself says its metadata may be kept.
	// What was found before is used on while it cannot be had anew.
	metadataLife  = 5 * time.Minute
	metadataRetry = time.Second
	// spare is what an upstream token has left at least when it is handed out
	// again. The issuer gives none with less than a minute if it can help it.
	spare = 30 * time.Second
	// endless is how long an upstream token of unknown life is kept. The user's
	// access token is verified all the while.
	endless = 5 * time.Minute
)

// issuer is the tenant, as this server asks it.
type issuer struct {
	cfg      Config
	hostport string // the only place that is asked

	flight singleflight.Group
	mu     sync.Mutex
	found  *metadata // the last that could be had
	err    error     // why there is none
	due    time.Time // when to look again
}

// metadata is what is used of the authorization server metadata (RFC 8414 §2).
type metadata struct {
	Issuer        string   `json:"issuer"`
	Token         string   `json:"token_endpoint"`
	Introspection string   `json:"introspection_endpoint"`
	Scopes        []string `json:"scopes_supported"`
}

func newIssuer(cfg Config) *issuer {
	u, _ := url.Parse(cfg.Issuer) // New parsed it before
	hostport, _ := fetch.HostPort(u)
	return &issuer{cfg: cfg, hostport: hostport}
}

// discover returns the metadata, as it was at most metadataLife ago or when the
// issuer last answered.
func (i *issuer) discover(ctx context.Context) (*metadata, error) {
	if found, due, err := i.known(); !due {
		return found, err
	}
	_, _, _ = i.flight.Do("", func() (any, error) { // one at a time looks
		if _, due, _ := i.known(); due {
			i.learn(i.load(context.WithoutCancel(ctx)))
		}
		return nil, nil
	})
	found, _, err := i.known()
	return found, err
}

func (i *issuer) known() (found *metadata, due bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.found, !i.cfg.Now().Before(i.due), i.err
}

func (i *issuer) learn(found *metadata, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		i.found, i.err, i.due = found, nil, i.cfg.Now().Add(metadataLife)
		return
	case i.found == nil:
		i.err = err
	default:
		i.cfg.Log.Warn("the issuer's metadata cannot be had anew", "issuer", i.cfg.Issuer, "error", err)
	}
	i.due = i.cfg.Now().Add(metadataRetry)
}

func (i *issuer) load(ctx context.Context) (*metadata, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, oauth.WellKnown(oauth.ServerDocument, i.cfg.Issuer), nil)
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	res, err := i.do(ctx, req)
	if err != nil {
		return nil, err
	}
	if res.Status != http.StatusOK {
		return nil, unexpected("metadata", res)
	}
	return i.parse(res.Body)
}

// parse refuses a document of another issuer (RFC 8414 §3.3) and endpoints
// elsewhere: the secret and the users' tokens go to the issuer's own host only.
func (i *issuer) parse(body []byte) (*metadata, error) {
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, oauth.Unavailable(fmt.Errorf("resource: the issuer's metadata is no JSON object: %w", err))
	}
	own, _ := oauth.SplitOrigin(i.cfg.Issuer)
	here := func(endpoint string) bool { return strings.HasPrefix(endpoint, own+"/") }
	var why string
	switch {
	case m.Issuer != i.cfg.Issuer:
		why = "its metadata is another issuer's"
	case m.Introspection == "":
		why = "it offers no introspection: is this server among the tenant's resource_servers?"
	case !here(m.Introspection) || !here(m.Token):
		why = "its endpoints are at another host"
	default:
		return &m, nil
	}
	return nil, oauth.Unavailable(fmt.Errorf("resource: %s: %s", i.cfg.Issuer, why))
}

// introspection is the answer about a token (RFC 7662 §2.2).
type introspection struct {
	Active   bool     `json:"active"`
	Scope    string   `json:"scope"`
	Client   string   `json:"client_id"`
	Subject  string   `json:"sub"`
	Username string   `json:"username"`
	Expires  seconds  `json:"exp"`
	Audience audience `json:"aud"`
	Issuer   string   `json:"iss"`
}

// seconds is a NumericDate (RFC 7519 §2) or a duration: a number, which may have
// a fraction, or, as some issuers write it, a string that holds one.
type seconds float64

// UnmarshalJSON accepts both forms.
func (s *seconds) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		var quoted string
		if err := json.Unmarshal(text, &quoted); err != nil {
			return err
		}
		text = []byte(strings.TrimSpace(quoted))
	}
	return json.Unmarshal(text, (*float64)(s))
}

// audience is one string or several (RFC 7519 §4.1.3).
type audience []string

// UnmarshalJSON accepts both forms.
func (a *audience) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = make(audience, 1)
	return json.Unmarshal(text, &(*a)[0])
}

// introspect asks whose token it is. The error is invalid_token for a token
// that counts for nothing at this server.
func (i *issuer) introspect(ctx context.Context, token string) (User, error) {
	m, err := i.discover(ctx)
	if err != nil {
		return User{}, err
	}
	res, err := i.post(ctx, m.Introspection, url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	if err != nil {
		return User{}, err
	}
	if res.Status != http.StatusOK {
		return User{}, unexpected("introspection", res)
	}
	return i.read(res.Body)
}

// read makes a User of an answer that is about a token of this issuer for this
// server (RFC 7662 §4, RFC 8707 §2).
func (i *issuer) read(body []byte) (User, error) {
	var a introspection
	if err := json.Unmarshal(body, &a); err != nil {
		return User{}, oauth.Unavailable(fmt.Errorf("resource: the introspection's answer is no JSON object: %w", err))
	}
	if !a.Active {
		return User{}, invalidToken()
	}
	here := func(resource string) bool { return oauth.SameResource(resource, i.cfg.Resource) }
	if a.Issuer != i.cfg.Issuer || !slices.ContainsFunc(a.Audience, here) || a.Subject == "" || a.Expires <= 0 {
		// Nothing a client can mend: the tenant's resource is another one.
		i.cfg.Log.Warn("a token for another resource", "resource", i.cfg.Resource, "aud", a.Audience, "iss", a.Issuer)
		return User{}, invalidToken()
	}
	return User{
		Subject: a.Subject, Name: a.Username, Client: a.Client,
		Scopes: oauth.ParseScope(a.Scope), Expires: time.Unix(int64(min(a.Expires, 1e12)), 0),
	}, nil
}

// exchange asks for the upstream token behind an access token (RFC 8693 §2.1)
// and says for how long it may be handed out.
func (i *issuer) exchange(ctx context.Context, token string) (seal.Secret, time.Duration, error) {
	const accessToken = "urn:ietf:params:oauth:token-type:access_token"
	m, err := i.discover(ctx)
	if err != nil {
		return seal.Secret{}, 0, err
	}
	res, err := i.post(ctx, m.Token, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token}, "subject_token_type": {accessToken},
	})
	if err != nil {
		return seal.Secret{}, 0, err
	}
	if res.Status == http.StatusBadRequest && code(res.Body) == string(oauth.InvalidRequest) {
		// RFC 8693 §2.2.2: the subject token counts for nothing.
		return seal.Secret{}, 0, invalidToken()
	}
	var a struct {
		Token string  `json:"access_token"`
		Life  seconds `json:"expires_in"`
	}
	if res.Status != http.StatusOK || json.Unmarshal(res.Body, &a) != nil || a.Token == "" {
		return seal.Secret{}, 0, unexpected("token exchange", res)
	}
	life := endless
	if a.Life > 0 { // absent: unknown
		life = time.Duration(min(float64(a.Life), 1e6)*float64(time.Second)) - spare
	}
	return seal.NewSecret(a.Token), life, nil
}

// post sends a form as this server (RFC 6749 §2.3.1).
func (i *issuer) post(ctx context.Context, endpoint string, form url.Values) (*fetch.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(i.cfg.ID), url.QueryEscape(i.cfg.Secret.Reveal()))
	return i.do(ctx, req)
}

func (i *issuer) do(ctx context.Context, req *http.Request) (*fetch.Response, error) {
	req.Header.Set("Accept", "application/json")
	res, err := i.cfg.Fetch.Do(ctx, req, fetch.Policy{Hosts: []string{i.hostport}, MaxBody: maxAnswer, Timeout: askTimeout})
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return res, nil
}

// unexpected is an answer that says nothing about a token: the issuer is in
// trouble, or does not know this server's secret. It is never the client's
// fault.
func unexpected(what string, res *fetch.Response) *oauth.Error {
	fault := oauth.Unavailable(fmt.Errorf("resource: %s: status %d %q", what, res.Status, code(res.Body)))
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		fault.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	return fault
}

// code is the error code in an OAuth error's body, or "".
func code(body []byte) string {
	var a struct{ Error string }
	_ = json.Unmarshal(body, &a) // else it stays empty
	return a.Error
}
