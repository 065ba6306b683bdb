package profiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/coretest"
)

// strictness is what a client gives up on and others let pass.
type strictness struct {
	nulls        bool  // null members: a schema's "optional" is not "nullable"
	serverErrors bool  // 5xx at one form of the metadata's address; others try the next
	openid       bool  // an OpenID document without what OpenID requires
	pkce         bool  // metadata that does not promise S256
	resource     match // the protected resource metadata is of another resource than the URL pasted
	issuer       match // the metadata is of another issuer than the one it was looked for
	iss          bool  // RFC 9207: iss promised and missing, or another
	promise      bool  // iss not promised: it would use another redirect URI, or refuse the iss
	secret       bool  // a registration that comes without a secret
}

// match compares what a document says with what the client expects; nil does
// not look.
type match func(said, expected string) bool

func exactly(said, expected string) bool { return said == expected }

// normal compares as a browser's URL class writes both.
func normal(said, expected string) bool {
	a, errA := url.Parse(said)
	b, errB := url.Parse(expected)
	if errA != nil || errB != nil {
		return false
	}
	for _, u := range []*url.URL{a, b} {
		if u.Host = strings.ToLower(u.Host); u.Path == "" {
			u.Path = "/"
		}
	}
	return a.String() == b.String()
}

// below wants the expected URL to be the one said, or below it.
func below(said, expected string) bool {
	return strings.HasPrefix(strings.TrimSuffix(expected, "/")+"/", strings.TrimSuffix(said, "/")+"/")
}

func (m match) fails(said, expected string) bool { return m != nil && !m(said, expected) }

// object reads a JSON answer.
func (s strictness) object(a coretest.Answer, statuses ...int) (map[string]any, error) {
	if !slices.Contains(statuses, a.Status) {
		return nil, fmt.Errorf("answered %d: %s", a.Status, a.Body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil || m == nil {
		return nil, fmt.Errorf("no JSON object: %s", a.Body)
	}
	for name, value := range m {
		if value == nil && s.nulls {
			return nil, fmt.Errorf("%s is null", name)
		}
	}
	return m, nil
}

// text is a member that has to be a string with something in it.
func text(m map[string]any, name string) (string, error) {
	if s, ok := m[name].(string); ok && s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s is %v, expected a string", name, m[name])
}

// list is a member that has to be a list of strings if it is there.
func list(m map[string]any, name string) ([]string, error) {
	if m[name] == nil {
		return nil, nil
	}
	all, ok := m[name].([]any)
	if !ok {
		return nil, fmt.Errorf("%s is %v, expected a list", name, m[name])
	}
	var texts []string
	for _, v := range all {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("%s holds %v, expected strings", name, v)
		}
		texts = append(texts, s)
	}
	return texts, nil
}

// lists tells whether a member is a list with a value in it.
func lists(m map[string]any, name, value string) error {
	all, err := list(m, name)
	if err == nil && !slices.Contains(all, value) {
		err = fmt.Errorf("%s: %v lacks %s", name, all, value)
	}
	return err
}

// protectedResource checks RFC 9728 metadata and returns the issuer; every
// client takes the first.
func (s strictness) protectedResource(m map[string]any, pasted string) (issuer string, err error) {
	resource, err := text(m, "resource")
	if err != nil {
		return "", err
	}
	if s.resource.fails(resource, pasted) {
		return "", fmt.Errorf("the metadata is of %s, not of %s", resource, pasted)
	}
	servers, err := list(m, "authorization_servers")
	if err == nil && len(servers) == 0 {
		err = errors.New("no authorization_servers")
	}
	if err != nil {
		return "", err
	}
	return servers[0], nil
}

// authorizationServer checks the metadata found at an address.
func (s strictness) authorizationServer(m map[string]any, issuer, address string) error {
	said, err := text(m, "issuer")
	if err != nil {
		return err
	}
	if s.issuer.fails(said, issuer) {
		return fmt.Errorf("the metadata is of the issuer %s, not of %s", said, issuer)
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint"} {
		endpoint, err := text(m, name)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(endpoint, "https://") {
			return fmt.Errorf("%s is %s", name, endpoint)
		}
	}
	if err := lists(m, "response_types_supported", "code"); err != nil {
		return err
	}
	if err := lists(m, "code_challenge_methods_supported", "S256"); s.pkce && err != nil {
		return err
	}
	if s.promise && m["authorization_response_iss_parameter_supported"] != true {
		return errors.New("iss is not promised")
	}
	if s.openid && strings.Contains(address, "openid-configuration") {
		for _, name := range []string{"jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported"} {
			if m[name] == nil {
				return fmt.Errorf("the OpenID document has no %s", name)
			}
		}
	}
	return nil
}

// registration checks the answer to a registration.
func (s strictness) registration(m map[string]any) error {
	if _, err := text(m, "client_id"); err != nil {
		return err
	}
	if uris, err := list(m, "redirect_uris"); err != nil || len(uris) == 0 {
		return fmt.Errorf("redirect_uris is %v", m["redirect_uris"])
	}
	if _, err := text(m, "client_secret"); s.secret && err != nil {
		return err
	}
	if m["client_secret"] != nil && m["client_secret_expires_at"] == nil { // RFC 7591 §3.2.1
		return errors.New("a secret without client_secret_expires_at")
	}
	return nil
}

// response checks the authorization response and returns the code.
func (s strictness) response(q url.Values, sent, issuer string, promised bool) (string, error) {
	if q.Has("error") {
		return "", fmt.Errorf("refused: %s: %s", q.Get("error"), q.Get("error_description"))
	}
	for name, values := range q {
		if len(values) != 1 {
			return "", fmt.Errorf("%s stands %d times", name, len(values))
		}
	}
	if q.Get("state") != sent {
		return "", fmt.Errorf("state is %q, sent %q", q.Get("state"), sent)
	}
	if s.iss && (promised && !q.Has("iss") || q.Has("iss") && q.Get("iss") != issuer) { // RFC 9207 §2.4
		return "", fmt.Errorf("iss is %q, expected %s", q.Get("iss"), issuer)
	}
	if q.Get("code") == "" {
		return "", errors.New("no code")
	}
	return q.Get("code"), nil
}

// tokens checks a token response (RFC 6749 §5.1).
func (s strictness) tokens(a coretest.Answer) (tokenResponse, error) {
	m, err := s.object(a, http.StatusOK)
	if err != nil {
		return tokenResponse{}, err
	}
	if kind, _ := m["token_type"].(string); !strings.EqualFold(kind, "Bearer") {
		return tokenResponse{}, fmt.Errorf("token_type is %v", m["token_type"])
	}
	if seconds, ok := m["expires_in"].(float64); !ok || seconds <= 0 {
		return tokenResponse{}, fmt.Errorf("expires_in is %v", m["expires_in"])
	}
	var r tokenResponse
	for name, member := range map[string]*string{"access_token": &r.access, "refresh_token": &r.refresh, "scope": &r.scope} {
		if *member, err = text(m, name); err != nil {
			return tokenResponse{}, err
		}
	}
	return r, nil
}

type tokenResponse struct{ access, refresh, scope string }
