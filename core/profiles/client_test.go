package profiles

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/oauth"
)

// account is who logs in.
const account = "ada"

// stage names what a client is doing when an answer reaches it.
type stage string

const (
	atChallenge    stage = "challenge"
	atResource     stage = "protected resource metadata"
	atMetadata     stage = "authorization server metadata"
	atRegistration stage = "registration"
	atRedirect     stage = "redirect"
	atTokens       stage = "tokens"
	atCall         stage = "call"
)

// client is a profile at work on one tenant.
type client struct {
	profile
	*internet
	t      *testing.T
	issuer string // where it is in fact
	pasted string // the URL of the MCP server
	person *http.Client
	// tamper changes an answer on its way to the client; nil: none.
	tamper func(at stage, address string, a *coretest.Answer)

	learned  map[string]string // for the templates
	server   map[string]any    // metadata of the authorization server
	reg      map[string]any    // what it registered
	promised bool              // the server promises iss
}

func newClient(t *testing.T, n *internet, p profile, issuer string) *client {
	t.Helper()
	return &client{
		profile: p, internet: n, t: t, issuer: issuer, pasted: issuer + "/mcp", person: n.person(),
		learned: map[string]string{
			"state": p.state, "redirect_uri": p.redirect, "verifier": coretest.Verifier,
			"challenge": string(oauth.ChallengeOf(coretest.Verifier)),
		},
	}
}

// connect goes all the way from the URL a person pasted to a tool's answer. Its
// error is what made the client give up.
func (c *client) connect() error {
	for _, step := range []struct {
		name string
		take func() error
	}{
		{"challenge", c.challenge}, {"discover", c.discover}, {"identify", c.identify},
		{"authorize", c.login}, {"redeem", c.redeem}, {"call", c.call},
	} {
		if err := step.take(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

var (
	challengeMetadata = regexp.MustCompile(`resource_metadata="([^"]+)"`)
	challengeScope    = regexp.MustCompile(`scope="([^"]+)"`)
)

// challenge sends the first message of a session without a token.
func (c *client) challenge() error {
	a, err := c.message(atChallenge, c.first(), "")
	if err != nil {
		return err
	}
	return c.readChallenge(a, "")
}

// readChallenge reads a 401. The error code is what RFC 6750 §3.1 wants of it:
// none if no token was sent.
func (c *client) readChallenge(a coretest.Answer, code string) error {
	header := a.Header.Get("WWW-Authenticate")
	if a.Status != http.StatusUnauthorized || !strings.HasPrefix(header, "Bearer ") {
		return fmt.Errorf("answered %d, challenge %q", a.Status, header)
	}
	if c.origin != "" && !exposed(a, "WWW-Authenticate") {
		return errors.New("a script cannot read the challenge")
	}
	if strings.Contains(header, "error=") != (code != "") || !strings.Contains(header, code) {
		return fmt.Errorf("expected the error %q in the challenge %q", code, header)
	}
	for name, pattern := range map[string]*regexp.Regexp{"resource_metadata": challengeMetadata, "scope": challengeScope} {
		found := pattern.FindStringSubmatch(header)
		if found == nil {
			return fmt.Errorf("no %s in the challenge %q", name, header)
		}
		c.learned[name] = found[1]
	}
	return nil
}

// discover finds both metadata documents.
func (c *client) discover() error {
	for _, probe := range c.probes {
		a, err := c.get(atMetadata, address(c.t, probe, c.pasted))
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK && a.Status != http.StatusNotFound {
			return fmt.Errorf("%s answered %d", probe, a.Status)
		}
	}
	found := c.learned["resource_metadata"]
	if c.wellKnown { // RFC 9728 §3.1
		found = address(c.t, "{origin}/.well-known/oauth-protected-resource{path}", c.pasted)
	}
	a, err := c.get(atResource, found)
	if err != nil {
		return err
	}
	m, err := c.strict.object(a, http.StatusOK)
	if err != nil {
		return err
	}
	issuer, err := c.strict.protectedResource(m, c.pasted)
	if err != nil {
		return err
	}
	c.learned["resource"] = m["resource"].(string)
	return c.discoverServer(issuer)
}

func (c *client) discoverServer(issuer string) error {
	for _, form := range c.metadata {
		at := address(c.t, form, issuer)
		a, err := c.get(atMetadata, at)
		if err != nil {
			return err
		}
		if a.Status >= http.StatusInternalServerError && c.strict.serverErrors {
			return fmt.Errorf("%s answered %d", at, a.Status)
		}
		if a.Status != http.StatusOK {
			continue
		}
		m, err := c.strict.object(a, http.StatusOK)
		if err != nil {
			return err
		}
		if err := c.strict.authorizationServer(m, issuer, at); err != nil {
			return err
		}
		c.server, c.learned["issuer"] = m, issuer
		c.promised = m["authorization_response_iss_parameter_supported"] == true
		return nil
	}
	return errors.New("no metadata of the authorization server")
}

// identify settles who the client is at this server.
func (c *client) identify() error {
	switch {
	case c.preset[0] != "":
		c.learned["client_id"], c.learned["client_secret"] = c.preset[0], c.preset[1]
		return nil
	case c.document != "" && c.server["client_id_metadata_document_supported"] == true &&
		lists(c.server, "token_endpoint_auth_methods_supported", "none") == nil:
		c.learned["client_id"] = c.document
		return nil
	case c.register == "":
		return errors.New("the server takes no documents, and it does not register")
	case c.reg != nil:
		return nil // it keeps its registration
	}
	return c.signUp()
}

// signUp registers the client (RFC 7591).
func (c *client) signUp() error {
	a, err := c.send(atRegistration, http.MethodPost, c.endpoint("registration_endpoint"),
		fill(c.t, c.register, c.learned, asIs), map[string]string{"Content-Type": "application/json"})
	if err != nil {
		return err
	}
	m, err := c.strict.object(a, http.StatusCreated, http.StatusOK)
	if err == nil {
		err = c.strict.registration(m)
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"grant_types", "response_types"} { // however many it asked for
		given, err := list(m, name)
		if err != nil {
			return err
		}
		for _, value := range given {
			if err := lists(c.server, name+"_supported", value); err != nil {
				return err
			}
		}
	}
	c.reg, c.learned["client_id"] = m, m["client_id"].(string)
	if secret, ok := m["client_secret"].(string); ok {
		c.learned["client_secret"] = secret
	}
	return nil
}

// endpoint is a URL of the metadata, empty if there is none.
func (c *client) endpoint(name string) string {
	s, _ := c.server[name].(string)
	return s
}

func (c *client) login() error { return c.logInWith(c.authorize) }

// logInWith takes the person to the server and back with a code.
func (c *client) logInWith(query string) error {
	page := c.Get(c.t, c.person, c.endpoint("authorization_endpoint")+"?"+fill(c.t, query, c.learned, url.QueryEscape))
	if page.Status != http.StatusOK {
		return fmt.Errorf("the consent page answered %d: %s", page.Status, page.Header.Get("Location"))
	}
	upstream := c.Decide(c.t, c.person, c.issuer, page, "approve")
	back := url.Values{"code": {account}, "state": upstream.Query()["state"]}
	a := c.Get(c.t, c.person, c.issuer+"/callback?"+back.Encode())
	c.change(atRedirect, c.issuer+"/callback", &a)
	to, q := a.Location(c.t)
	if to != c.redirect {
		return fmt.Errorf("the answer went to %s, not to %s", to, c.redirect)
	}
	code, err := c.strict.response(q, c.state, c.learned["issuer"], c.promised)
	c.learned["code"] = code
	return err
}

// redeem exchanges the code.
func (c *client) redeem() error {
	a, err := c.post(c.token)
	if err != nil {
		return err
	}
	return c.keep(a)
}

// keep stores the tokens of an answer. Whatever scope a client names that we do
// not know, it is of no use without those that the tools need.
func (c *client) keep(a coretest.Answer) error {
	r, err := c.strict.tokens(a)
	if err != nil {
		return err
	}
	if r.scope != c.learned["scope"] {
		return fmt.Errorf("granted %q, the challenge says that %q is needed", r.scope, c.learned["scope"])
	}
	c.learned["access_token"], c.learned["refresh_token"] = r.access, r.refresh
	return nil
}

// post sends a token request.
func (c *client) post(template string) (coretest.Answer, error) {
	if strings.Contains(template, "{assertion}") {
		c.learned["assertion"] = assertion(c.t, c.learned["client_id"], c.learned["issuer"])
	}
	return c.send(atTokens, http.MethodPost, c.endpoint("token_endpoint"), fill(c.t, template, c.learned, url.QueryEscape),
		map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"})
}

// call calls a tool, which has to reach the backend in the user's name.
func (c *client) call() error {
	a, err := c.message(atCall, toolCall, c.learned["access_token"])
	if err != nil {
		return err
	}
	var seen struct{ Header http.Header }
	if err := json.Unmarshal([]byte(a.Body), &seen); err != nil || a.Status != http.StatusOK {
		return fmt.Errorf("answered %d: %s", a.Status, a.Body)
	}
	if got, want := seen.Header.Get("Authorization"), "Bearer upstream-access-"+account+"-0"; got != want {
		return fmt.Errorf("the backend was handed %q, expected %q", got, want)
	}
	return nil
}

// signingKey is the key of every client that signs: making one takes long.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

const keyID = "2026-09"

// jwks is the key set to publish for it.
func jwks(t *testing.T) string {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: keyID, Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// assertion is a client assertion (RFC 7523 §2.2), good once.
func assertion(t *testing.T, id, audience string) string {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: keyID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: id, Subject: id, Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(5 * time.Minute)),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
