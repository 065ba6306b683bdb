package tenant

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/seal"
)

// Header is one that a backend gets with every call, made by the gateway. What
// a client sends under its name never arrives.
type Header struct {
	Name  string
	Value Template
}

// DefaultInject is what a backend gets unless the config says otherwise.
func DefaultInject() []Header {
	return []Header{
		{"Authorization", Template{[]part{{text: seal.NewSecret("Bearer ")}, {name: Token}}}},
		{"X-Sallyport-Assertion", Template{[]part{{name: Assertion}}}},
	}
}

// Placeholder is what a template has filled in, written {like_this}.
type Placeholder string

// The placeholders. All but TenantName need a user.
const (
	Token      Placeholder = "token"       // the upstream access token
	Assertion  Placeholder = "assertion"   // a JWT, see package assertion
	Subject    Placeholder = "subject"     // the account's stable id at the upstream
	AccountKey Placeholder = "account_key" // hash of the account's upstream and id: one account of one upstream
	Account    Placeholder = "account"     // the account's name for people
	ClientHash Placeholder = "client"      // as in audit lines
	Scope      Placeholder = "scope"       // what was granted, separated by spaces
	TenantName Placeholder = "tenant"
)

// Template makes the value of a header. Its text may hold secrets.
type Template struct{ parts []part }

// part is a placeholder or, without a name, text.
type part struct {
	name Placeholder
	text seal.Secret
}

var (
	headerForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")           // RFC 9110 §5.6.2
	valueForm  = regexp.MustCompile(`^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$`) // RFC 9110 §5.5, ASCII
)

// ParseHeader reads a header and its template. Its errors repeat neither.
func ParseHeader(name, value string) (Header, error) {
	h := Header{Name: name}
	if !headerForm.MatchString(name) || Reserved(name) {
		return h, errors.New("this header is the transport's or MCP's own")
	}
	if !valueForm.MatchString(value) {
		return h, errors.New("the value is not printable ASCII")
	}
	for value != "" {
		text, rest, found := strings.Cut(value, "{")
		if text != "" {
			h.Value.parts = append(h.Value.parts, part{text: seal.NewSecret(text)})
		}
		if !found {
			break
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains([]Placeholder{Token, Assertion, Subject, AccountKey, Account, ClientHash, Scope, TenantName}, Placeholder(inner)) {
			return h, errors.New("a { begins no placeholder")
		}
		h.Value.parts = append(h.Value.parts, part{name: Placeholder(inner)})
		value = after
	}
	return h, nil
}

// Reserved tells whether a header is the transport's or MCP's, and not for
// anybody to set: hop by hop (RFC 9110 §7.6.1), framing, what the body is, and
// where the request comes from.
func Reserved(name string) bool {
	return slices.ContainsFunc([]string{
		"content-", "mcp-", "proxy-", "sec-", "access-control-", "x-forwarded-",
	}, func(prefix string) bool { return HeaderBegins(name, prefix) }) || slices.ContainsFunc([]string{
		"accept", "accept-encoding", "connection", "date", "expect", "forwarded", "host", "keep-alive", "last-event-id",
		"origin", "te", "trailer", "transfer-encoding", "upgrade", "via",
	}, func(other string) bool { return SameHeader(name, other) })
}

// CanCross reports whether a header of a client's may reach a backend at all:
// its name is letters, digits and '-'. CGI (RFC 3875 §4.1.18), PHP and WSGI turn
// every other character of a name into '_' and so read two names as one.
func CanCross(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && foldHeader(c) == '-' {
			return false
		}
	}
	return name != ""
}

// SameHeader reports whether two names of a header are one for a reader that
// distinguishes letters and digits only, and no case (CGI, PHP, WSGI).
func SameHeader(a, b string) bool { return len(a) == len(b) && HeaderBegins(a, b) }

// HeaderBegins reports whether a header's name begins with prefix, for the same
// reader.
func HeaderBegins(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if foldHeader(name[i]) != foldHeader(prefix[i]) {
			return false
		}
	}
	return true
}

// foldHeader returns one character for all that such a reader takes as one.
func foldHeader(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// NeedsUser tells whether there is no value without a user.
func (t Template) NeedsUser() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.name != "" && p.name != TenantName })
}

// Expand fills the template in. It fails with the first error of value, and
// needs no value for what is not in it.
func (t Template) Expand(value func(Placeholder) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		text := p.text.Reveal()
		if p.name != "" {
			var err error
			if text, err = value(p.name); err != nil {
				return "", err
			}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
