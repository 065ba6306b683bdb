package plugins

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// authenticate carries out a client_auth directive on a request about to be
// sent and returns its body. This is the one place where the client secret is
// revealed.
func (c *conversation) authenticate(a *abi.ClientAuth, method string, to *url.URL, header http.Header, body []byte) ([]byte, error) {
	id, secret := c.binding.ClientID, c.binding.ClientSecret
	if slices.Contains([]string{abi.AuthBasic, abi.AuthBasicSecret, abi.AuthPost, abi.AuthPrivateKeyJWT, abi.AuthClientSecretJWT}, a.Method) {
		if err := c.checkSecretPlace(a, method, to); err != nil {
			return nil, c.egressError(err)
		}
	}
	if secret.IsZero() && slices.Contains([]string{abi.AuthBasic, abi.AuthBasicSecret, abi.AuthPost, abi.AuthClientSecretJWT}, a.Method) {
		return nil, &upstream.Error{Kind: upstream.Misconfigured, Detail: "the upstream wants a client secret; set client_secret of tenant " + c.binding.Tenant}
	}
	idParam := cmp.Or(a.IDParam, "client_id")
	switch a.Method {
	case abi.AuthNone:
		return c.addParams(header, body, [][2]string{{idParam, id}})
	case abi.AuthPost:
		return c.addParams(header, body, [][2]string{{idParam, id}, {cmp.Or(a.SecretParam, "client_secret"), secret.Reveal()}})
	case abi.AuthBasic:
		// RFC 6749 §2.3.1: both parts are form-encoded first.
		return body, c.basic(header, url.QueryEscape(id), url.QueryEscape(secret.Reveal()))
	case abi.AuthBasicSecret:
		return body, c.basic(header, secret.Reveal(), "")
	case abi.AuthPrivateKeyJWT, abi.AuthClientSecretJWT:
		assertion, err := c.assertion(a, to)
		if err != nil {
			return nil, err
		}
		c.sent.add(assertion)
		return c.addParams(header, body, [][2]string{
			{idParam, id}, {"client_assertion_type", assertionType}, {"client_assertion", assertion},
		})
	}
	return nil, c.bug(fmt.Sprintf("it asks for the unknown client authentication %q", a.Method))
}

// basic sets the header of RFC 7617 §2.
func (c *conversation) basic(header http.Header, user, password string) error {
	if header.Get("Authorization") != "" {
		return c.bug("it sets the authorization header and asks for basic client authentication too")
	}
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	return nil
}

// addParams adds members to a form or a JSON object. A member that is there
// already with the same value stays; with another value it is the provider's
// mistake. A request without a body becomes a form.
func (c *conversation) addParams(header http.Header, body []byte, params [][2]string) ([]byte, error) {
	if len(body) == 0 && header.Get("Content-Type") == "" {
		header.Set("Content-Type", formType)
	}
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	switch mediaType {
	case formType:
		return c.addToForm(body, params)
	case jsonType:
		return c.addToJSON(body, params)
	}
	return nil, c.bug(fmt.Sprintf("client authentication in the body needs a form or a JSON object, not %q", mediaType))
}

func (c *conversation) addToForm(body []byte, params [][2]string) ([]byte, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, c.bug("its body is no form")
	}
	for _, p := range params {
		if form.Has(p[0]) {
			if form.Get(p[0]) != p[1] {
				return nil, c.bug("it sets " + p[0] + " itself; leave that to client_auth")
			}
			continue
		}
		if len(body) > 0 {
			body = append(body[:len(body):len(body)], '&')
		}
		body = append(body, url.QueryEscape(p[0])+"="+url.QueryEscape(p[1])...)
	}
	return body, nil
}

func (c *conversation) addToJSON(body []byte, params [][2]string) ([]byte, error) {
	object := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return nil, c.bug("its body is no JSON object")
	}
	for _, p := range params {
		value, err := json.Marshal(p[1])
		if err != nil {
			return nil, c.bug("its body is no JSON object")
		}
		if old, ok := object[p[0]]; ok && !sameJSON(old, value) {
			return nil, c.bug("it sets " + p[0] + " itself; leave that to client_auth")
		}
		object[p[0]] = value
	}
	return json.Marshal(object)
}
