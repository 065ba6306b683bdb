package sdk

import (
	"errors"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

// Form is a list of names and values in order, as in a query or in a body of
// type application/x-www-form-urlencoded.
type Form []abi.Header

// Get returns the first value of name, or "".
func (f Form) Get(name string) string {
	for _, pair := range f {
		if pair[0] == name {
			return pair[1]
		}
	}
	return ""
}

// Add appends a pair.
func (f *Form) Add(name, value string) { *f = append(*f, abi.Header{name, value}) }

// Set replaces every pair of that name by one, which stands where the first
// one stood, or at the end. RFC 6749 §3.1 allows no parameter twice.
func (f *Form) Set(name, value string) {
	out := make(Form, 0, len(*f)+1)
	done := false
	for _, pair := range *f {
		if pair[0] != name {
			out = append(out, pair)
		} else if !done {
			out, done = append(out, abi.Header{name, value}), true
		}
	}
	if !done {
		out = append(out, abi.Header{name, value})
	}
	*f = out
}

// Encode writes the pairs in order; a space becomes a plus sign.
func (f Form) Encode() string {
	var b []byte
	for i, pair := range f {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(b, pair[0], true)
		b = append(b, '=')
		b = appendEscaped(b, pair[1], true)
	}
	return string(b)
}

// ParseForm reads what Encode writes, and what others write like it.
func ParseForm(text string) (Form, error) {
	var f Form
	for _, pair := range strings.Split(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok1 := unescape(name)
		value, ok2 := unescape(value)
		if !ok1 || !ok2 {
			return nil, errors.New("sdk: broken percent escape")
		}
		f.Add(name, value)
	}
	return f, nil
}

// AddQuery appends f to the query that url may already have, as RFC 6749 §3.1
// asks of an authorization endpoint, and drops a fragment.
func AddQuery(url string, f Form) string {
	url, _, _ = strings.Cut(url, "#")
	if len(f) == 0 {
		return url
	}
	separator := "?"
	if strings.HasSuffix(url, "?") || strings.HasSuffix(url, "&") {
		separator = ""
	} else if strings.Contains(url, "?") {
		separator = "&"
	}
	return url + separator + f.Encode()
}

// PathEscape makes s safe as one segment of a URL's path.
func PathEscape(s string) string { return string(appendEscaped(nil, s, false)) }

// appendEscaped leaves the unreserved characters of RFC 3986 §2.3 alone.
func appendEscaped(b []byte, s string, plus bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b = append(b, c)
		case c == ' ' && plus:
			b = append(b, '+')
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] != '%':
			b = append(b, s[i])
		case i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0:
			return "", false
		default:
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		}
	}
	return string(b), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
