package plugins

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

// redactor takes the secrets of one conversation out of what a provider wants
// to have logged: the client secret, what core passed in, and the tokens it
// learned from answers.
type redactor struct{ known []string }

// shortest is the length below which a value is taken for an ordinary word.
const shortest = 8

func newRedactor(b Binding, input abi.Raw) *redactor {
	r := &redactor{}
	r.add(b.ClientSecret.Reveal())
	r.learn(input)
	return r
}

func (r *redactor) add(s string) {
	if len(s) >= shortest {
		r.known = append(r.known, s, url.QueryEscape(s))
	}
}

// learn collects the secrets of a JSON value or a form.
func (r *redactor) learn(body []byte) {
	var v any
	if json.Unmarshal(body, &v) == nil {
		r.walk("", v)
	} else if form, err := url.ParseQuery(string(body)); err == nil {
		for name, values := range form {
			for _, s := range values {
				r.walk(name, s)
			}
		}
	}
}

func (r *redactor) walk(name string, v any) {
	switch v := v.(type) {
	case string:
		if secretName(name) {
			r.add(v)
		}
	case map[string]any:
		for k, e := range v {
			r.walk(k, e)
		}
	case []any:
		pairName, isName := "", len(v) == 2
		if isName { // a pair of the callback's query
			pairName, isName = v[0].(string)
		}
		if isName {
			r.walk(pairName, v[1])
			return
		}
		for _, e := range v {
			r.walk(name, e)
		}
	}
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	switch {
	case name == "token_type", name == "secret_urls":
		return false
	case name == "code", name == "code_verifier", name == "assertion", name == "nonce":
		return true
	}
	return strings.Contains(name, "token") || strings.Contains(name, "secret") || strings.Contains(name, "password")
}

func (r *redactor) clean(s string) string {
	for _, k := range r.known {
		s = strings.ReplaceAll(s, k, "[redacted]")
	}
	return s
}
