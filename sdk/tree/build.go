package tree

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// String returns s as a JSON string. What is not UTF-8 becomes U+FFFD.
func String(s string) Value { return Value{string(appendQuoted(nil, s))} }

// Int returns n as a JSON number.
func Int(n int64) Value { return Value{strconv.FormatInt(n, 10)} }

// Bool returns b as a JSON boolean.
func Bool(b bool) Value { return Value{strconv.FormatBool(b)} }

// Array returns an array of items; a missing one becomes null.
func Array(items ...Value) Value {
	buf := []byte{'['}
	for i, item := range items {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = item.Append(buf)
	}
	return Value{string(append(buf, ']'))}
}

// Strings returns an array of strings.
func Strings(items []string) Value {
	values := make([]Value, len(items))
	for i, s := range items {
		values[i] = String(s)
	}
	return Array(values...)
}

// Object builds a JSON object, member after member. The zero Object is empty
// and ready. A name set twice is written twice: do not.
type Object struct {
	buf []byte
}

// Set adds a member; a missing value becomes null.
func (o *Object) Set(name string, v Value) {
	if len(o.buf) > 0 {
		o.buf = append(o.buf, ',')
	}
	o.buf = appendQuoted(o.buf, name)
	o.buf = append(o.buf, ':')
	o.buf = v.Append(o.buf)
}

// Value returns the object as it is now.
func (o *Object) Value() Value { return Value{"{" + string(o.buf) + "}"} }

// Append adds the text of v to dst; a missing value is written as null.
func (v Value) Append(dst []byte) []byte {
	if v.text == "" {
		return append(dst, "null"...)
	}
	return append(dst, v.text...)
}

// Bytes returns the text of v; a missing value is null.
func (v Value) Bytes() []byte { return v.Append(nil) }

// appendQuoted writes s as a JSON string, RFC 8259 §7.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}

// unquote decodes a checked JSON string with its quotes.
func unquote(quoted string) string {
	s := quoted[1 : len(quoted)-1]
	if strings.IndexByte(s, '\\') < 0 && utf8.ValidString(s) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			r, size := utf8.DecodeRuneInString(s[i:])
			out = utf8.AppendRune(out, r)
			i += size
			continue
		}
		switch c := s[i+1]; c {
		case 'u':
			r, size := unescapeRune(s[i:])
			out = utf8.AppendRune(out, r)
			i += size
			continue
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, c)
		}
		i += 2
	}
	return string(out)
}

// unescapeRune decodes \uXXXX, or two of them that are a surrogate pair, and
// says how many bytes that took. AppendRune turns half a pair into U+FFFD.
func unescapeRune(s string) (rune, int) {
	first, _ := hex4(s, 2)
	if utf16.IsSurrogate(first) && strings.HasPrefix(s[6:], `\u`) {
		second, _ := hex4(s, 8)
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 12
		}
	}
	return first, 6
}
