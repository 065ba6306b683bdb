// Package redirecturi says which redirect URIs no client may have, wherever it is
// known from: dynamic registration, a metadata document or the configuration. It
// owns the form of one URI; it leaves where a tenant sends its users to the
// tenant's redirect policy.
package redirecturi

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// MaxLength is the length of the longest redirect URI, in bytes.
const MaxLength = 2048

// Check reports what is wrong with a redirect URI: it is not absolute, carries a
// fragment (RFC 6749 §3.1.2), user information, characters that a browser would
// change or a parameter of the authorization response, or its scheme runs code.
// The error continues a sentence whose subject is the URI, and does not repeat it.
func Check(uri string) error {
	if uri == "" || len(uri) > MaxLength {
		return errors.New("must have 1 to " + strconv.Itoa(MaxLength) + " characters")
	}
	for _, c := range []byte(uri) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return errors.New("must be ASCII without spaces, quotes or backslashes")
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs() || u.Opaque != "":
		return errors.New("must be absolute")
	case strings.Contains(uri, "#"):
		return errors.New("must have no fragment")
	case u.User != nil:
		return errors.New("must have no user information")
	case strings.ContainsFunc(u.Host, unusualInHost):
		return errors.New("must write its host in letters, digits, '.', '-' and '_', with the ASCII form (xn--) of other letters")
	case hasControl(uri):
		return errors.New("must not have an encoded control character, such as %0D or %0A")
	case strings.HasSuffix(u.Host, ":") || !validPort(u.Port()):
		return errors.New("must name a port from 1 to 65535, or none and no colon")
	case u.Path == "" && (u.RawQuery != "" || u.ForceQuery) && u.Host != "":
		return errors.New("must have a path before its query")
	case responseParameter(u.RawQuery) != "":
		return errors.New("must not have the parameter " + responseParameter(u.RawQuery) + " in its query: the authorization response sets it (RFC 6749 §4.1.2)")
	case u.Host == "" && (u.Scheme == "http" || u.Scheme == "https"):
		return errors.New("must name a host")
	case slices.Contains([]string{"javascript", "data", "vbscript", "file", "blob", "about", "view-source", "ws", "wss", "ftp"}, u.Scheme):
		return errors.New("must not use the scheme " + u.Scheme)
	}
	return nil
}

// unusualInHost reports whether a host with the character could be shown to a
// user as another one: net/url decodes an escape, and a browser does it too.
func unusualInHost(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:[]", r))
}

// maxDecoded is how often a reader may decode a text.
const maxDecoded = 3

// decoded calls f with a text and with what it is after each decoding that changes
// it, until f returns true, and reports whether f did.
func decoded(text string, f func(string) bool) bool {
	for range maxDecoded {
		if f(text) {
			return true
		}
		next := looselyDecoded(text)
		if next == text {
			return false
		}
		text = next
	}
	return false
}

// hasControl reports whether a percent-encoded control character is in a URI, also
// one that was encoded twice: a client that decodes once more would write it into
// a header.
func hasControl(uri string) bool {
	return decoded(uri, func(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) })
}

// looselyDecoded decodes the well-formed escapes of a text that has others too.
func looselyDecoded(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if i+3 <= len(text) && text[i] == '%' {
			if decoded, err := url.PathUnescape(text[i : i+3]); err == nil {
				b.WriteString(decoded)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// responseParameter returns a parameter of a query that authorization responses
// have (RFC 6749 §4.1.2, §4.2.2; RFC 9207 §2; OAuth 2.0 Multiple Response Types),
// or nothing. A client that reads the first of two would take a fixed one for the
// server's. Names are compared as lenient readers decode them.
func responseParameter(query string) (found string) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		if decoded(name, func(text string) bool {
			found = folded(text)
			return slices.Contains([]string{
				"code", "state", "iss", "error", "error_description", "error_uri", "access_token", "token_type", "expires_in",
				"refresh_token", "id_token", "session_state", "response",
			}, found)
		}) {
			return found
		}
	}
	return ""
}

// folded is the name of a parameter as the readers of queries in use see it: PHP
// takes ' ', '.' and '[' for '_' and reads code[] as code, qs reads [code] as code,
// ASP.NET makes no difference between capitals and small letters.
func folded(name string) string {
	name = strings.Trim(strings.ToLower(strings.ReplaceAll(name, "+", " ")), " \t[")
	name, _, _ = strings.Cut(strings.ReplaceAll(name, "]", "["), "[")
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" .\t", r) {
			return '_'
		}
		return r
	}, strings.TrimSpace(name))
}
