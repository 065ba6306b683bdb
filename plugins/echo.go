package plugins

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/core/fetch"
)

// eraser replaces the credentials that were added to a request where an answer
// repeats them, before the provider reads it. It is a second line behind
// secret_urls: it finds the value as it is, percent-encoded, with the escapes
// of JSON and HTML, and in base64, not a value that the upstream has changed
// in another way.
type eraser struct{ needles []string }

// add lets the eraser look for a secret of at least shortest bytes.
func (e *eraser) add(secret string) {
	if len(secret) < shortest || slices.Contains(e.needles, secret) {
		return
	}
	e.needles = append(e.needles, secret)
	// RFC 6749 §2.3.1 puts the encoded form into the Basic header.
	for _, plain := range slices.Compact([]string{secret, url.QueryEscape(secret)}) {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for offset := range 3 {
				core := alignedBase64(encoding, plain, offset)
				if !slices.Contains(e.needles, core) {
					e.needles = append(e.needles, core)
				}
			}
		}
	}
}

// alignedBase64 returns the characters that depend on text alone if offset
// bytes, modulo 3, stand before it.
func alignedBase64(encoding *base64.Encoding, text string, offset int) string {
	all := encoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + text))
	return all[(offset*8+5)/6 : (offset+len(text))*8/6]
}

// clean replaces the secrets in an answer.
func (e *eraser) clean(res *fetch.Response) {
	if len(e.needles) == 0 {
		return
	}
	res.Body = e.erase(res.Body)
	for name, values := range res.Header {
		for i, v := range values {
			res.Header[name][i] = string(e.erase([]byte(v)))
		}
	}
}

func (e *eraser) erase(text []byte) []byte {
	for _, needle := range e.needles {
		text = bytes.ReplaceAll(text, []byte(needle), []byte(redacted))
		text = replaceEscaped(text, needle)
	}
	return text
}

// replaceEscaped replaces needle where any of its bytes may be escaped.
func replaceEscaped(text []byte, needle string) []byte {
	var out []byte
	rest := text
	for at := 0; at < len(rest); {
		n := matchEscaped(rest[at:], needle)
		if n == 0 {
			at++
			continue
		}
		out = append(append(out, rest[:at]...), redacted...)
		rest, at = rest[at+n:], 0
	}
	if out == nil {
		return text
	}
	return append(out, rest...)
}

// matchEscaped returns the length of needle at the beginning of text, with
// whatever escapes, or 0.
func matchEscaped(text []byte, needle string) int {
	at := 0
	for i := range len(needle) {
		n := escapedByte(text[at:], needle[i])
		if n == 0 {
			return 0
		}
		at += n
	}
	return at
}

// escapedByte returns the length of b at the beginning of text, escaped or as
// it is, or 0.
func escapedByte(text []byte, b byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '%': // RFC 3986 §2.1, once or twice
		for _, lead := range []string{"%", "%25"} {
			if hexByte(text, lead, b) {
				return len(lead) + 2
			}
		}
		if b == ' ' && hexByte(text, "%", '+') { // a form in a form
			return len("%2B")
		}
	case '\\': // RFC 8259 §7
		if hexByte(text, `\u00`, b) {
			return len(`\u00`) + 2
		}
		if len(text) > 1 && text[1] == b && strings.IndexByte(`"\/`, b) >= 0 {
			return 2
		}
	case '&':
		if n := htmlByte(text, b); n > 0 {
			return n
		}
	case '+':
		if b == ' ' {
			return 1
		}
	}
	if text[0] == b {
		return 1
	}
	return 0
}

// hexByte reports whether text begins with lead and b in two hexadecimal
// digits.
func hexByte(text []byte, lead string, b byte) bool {
	if len(text) < len(lead)+2 || string(text[:len(lead)]) != lead {
		return false
	}
	var got [1]byte
	_, err := hex.Decode(got[:], text[len(lead):len(lead)+2])
	return err == nil && got[0] == b
}

// htmlByte returns the length of a character reference for b (HTML §13.2.5.72),
// or 0.
func htmlByte(text []byte, b byte) int {
	for _, ref := range []string{
		"&#" + strconv.Itoa(int(b)) + ";", fmt.Sprintf("&#x%x;", b), fmt.Sprintf("&#X%X;", b), fmt.Sprintf("&#x%X;", b), fmt.Sprintf("&#X%x;", b),
		map[byte]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\'': "&apos;"}[b],
	} {
		if ref != "" && bytes.HasPrefix(text, []byte(ref)) {
			return len(ref)
		}
	}
	return 0
}
