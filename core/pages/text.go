package pages

import (
	"html/template"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	zeroWidthNonJoiner  = '\u200c'
	zeroWidthJoiner     = '\u200d'
	braillePatternBlank = '\u2800'

	// maxClientName is in characters. A longer name is a text that argues with
	// the page around it.
	maxClientName = 80
)

// clean returns s without the characters that a reader cannot see but that
// change what is seen: controls, bidirectional controls and other format
// characters, invisible fillers, line breaks. Runs of space become one space.
// The two joiners stay: Persian, Indic scripts and emoji are wrong without them.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == braillePatternBlank,
			unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case r == zeroWidthJoiner, r == zeroWidthNonJoiner:
			return r
		case unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point):
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// sentence makes one of an error's description, which is written to stand
// behind a colon in a log as well.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if last := s[len(s)-1]; last != '.' && last != '?' {
		s += "."
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// clientName is clean with a bound on the length and a stand-in for a name of
// which nothing can be seen.
func clientName(s string) string {
	s = clean(s)
	if !strings.ContainsFunc(s, visible) {
		return "An application without a name"
	}
	if r := []rune(s); len(r) > maxClientName {
		return strings.TrimSpace(string(r[:maxClientName-1])) + "…"
	}
	return s
}

func visible(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)
}

// ascii returns s with everything but printable ASCII escaped, so that a host
// or URI shows that it is not the one it looks like. It is never shortened: the
// end of a host is the part that tells who owns it.
func ascii(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return s
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

// onward is a Continue whose target has passed navigable.
type onward struct {
	Continue
	URL template.URL
}

// navigable tells whether a browser may be sent to target, and returns it in
// the type that html/template leaves alone: it would replace every scheme that
// it does not know. This is the second wall; the first is the caller's policy.
func navigable(target string) (template.URL, bool) {
	// RFC 3986 §2: a URI is printable ASCII. Browsers drop tabs and line breaks
	// from what they navigate to, so "java\nscript:" would be a way around.
	for i := range len(target) {
		if target[i] <= ' ' || target[i] > '~' {
			return "", false
		}
	}
	scheme, rest, ok := strings.Cut(target, ":")
	if !ok || rest == "" || !isScheme(scheme) {
		return "", false
	}
	switch strings.ToLower(scheme) {
	case "javascript", "data", "vbscript", // run code
		"blob", "filesystem", "file", "about", "view-source": // the browser's own
		return "", false
	}
	return template.URL(target), true
}

// isScheme implements the scheme rule of RFC 3986 §3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20 // lower case, if a letter
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= s[i] && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0):
		default:
			return false
		}
	}
	return s != ""
}
