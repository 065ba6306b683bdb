// Package tree reads and writes JSON without reflection, encoding/json or fmt,
// so that a provider built on it stays small and fast inside the sandbox. It
// owns the text of a document and nothing about its meaning: package sdk turns
// trees into inputs and results.
//
// A Value is a view of text that was checked once, by Parse or by being built
// here. Looking something up scans the text and copies nothing but decoded
// strings. Numbers stay as they were written.
package tree

import "strings"

// Kind says what a Value is.
type Kind uint8

// The kinds. The zero Value is KindMissing: what a lookup answers when there
// is nothing.
const (
	KindMissing Kind = iota
	KindNull
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

// Value is one JSON value, or the absence of one. It is immutable, and no
// method of it panics: asking for the wrong type answers that type's zero.
type Value struct {
	text string // valid JSON without surrounding space; empty: missing
}

// Member is one name and value of an object.
type Member struct {
	Name  string
	Value Value
}

// Kind returns what v is.
func (v Value) Kind() Kind {
	if v.text == "" {
		return KindMissing
	}
	switch v.text[0] {
	case 'n':
		return KindNull
	case 't', 'f':
		return KindBool
	case '"':
		return KindString
	case '[':
		return KindArray
	case '{':
		return KindObject
	}
	return KindNumber
}

// Exists tells whether v is there and not null.
func (v Value) Exists() bool { return v.Kind() > KindNull }

// Str returns a string decoded, and "" for everything else. What is not UTF-8,
// and half a surrogate pair, becomes U+FFFD.
func (v Value) Str() string {
	if v.Kind() != KindString {
		return ""
	}
	return unquote(v.text)
}

// Text returns a string decoded, a number or a boolean as it was written, and
// "" for everything else. It is what to use for an identifier that some
// upstreams write as a number and some as a string.
func (v Value) Text() string {
	switch v.Kind() {
	case KindString:
		return unquote(v.text)
	case KindNumber, KindBool:
		return v.text
	}
	return ""
}

// Bool tells whether v is true.
func (v Value) Bool() bool { return v.text == "true" }

// Get returns the member of an object; of several with one name the last, as
// encoding/json has it.
func (v Value) Get(name string) Value {
	if v.Kind() != KindObject {
		return Value{}
	}
	var found Value
	v.each(func(quoted, text string) {
		if sameName(quoted, name) {
			found = Value{text}
		}
	})
	return found
}

// Array returns the elements of an array, and nil for everything else.
func (v Value) Array() []Value {
	if v.Kind() != KindArray {
		return nil
	}
	var items []Value
	v.each(func(_, text string) { items = append(items, Value{text}) })
	return items
}

// Members returns the members of an object in the order written, and nil for
// everything else.
func (v Value) Members() []Member {
	if v.Kind() != KindObject {
		return nil
	}
	var members []Member
	v.each(func(quoted, text string) {
		members = append(members, Member{unquote(quoted), Value{text}})
	})
	return members
}

// Strings returns the strings of an array, leaving out whatever is none.
func (v Value) Strings() []string {
	var out []string
	for _, item := range v.Array() {
		if item.Kind() == KindString {
			out = append(out, item.Str())
		}
	}
	return out
}

// Pointer returns what an RFC 6901 pointer leads to: "" is v itself,
// "/user/emails/0" a member, a member, an element.
func (v Value) Pointer(pointer string) Value {
	if pointer == "" {
		return v
	}
	if pointer[0] != '/' {
		return Value{}
	}
	for _, token := range strings.Split(pointer[1:], "/") {
		// RFC 6901 §4: ~1 first, so that ~01 means ~1.
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch v.Kind() {
		case KindObject:
			v = v.Get(token)
		case KindArray:
			v = v.index(token)
		default:
			return Value{}
		}
	}
	return v
}

// index returns the element a pointer token names; RFC 6901 §4 allows no
// leading zero.
func (v Value) index(token string) Value {
	if token == "" || len(token) > 1 && token[0] == '0' {
		return Value{}
	}
	items := v.Array()
	at := 0
	for _, c := range []byte(token) {
		if at = at*10 + int(c-'0'); c < '0' || c > '9' || at >= len(items) {
			return Value{}
		}
	}
	return items[at]
}

// each calls f with the quoted name (empty in an array) and the text of every
// child of v in order.
func (v Value) each(f func(quoted, text string)) {
	kind := v.Kind()
	if kind != KindObject && kind != KindArray {
		return
	}
	for i := skipSpace(v.text, 1); v.text[i] != '}' && v.text[i] != ']'; {
		quoted := ""
		if kind == KindObject {
			end := skip(v.text, i)
			quoted = v.text[i:end]
			i = skipSpace(v.text, skipSpace(v.text, end)+1) // past the colon
		}
		end := skip(v.text, i)
		f(quoted, v.text[i:end])
		if i = skipSpace(v.text, end); v.text[i] == ',' {
			i = skipSpace(v.text, i+1)
		}
	}
}

// sameName compares a quoted name with a plain one, decoding only if it must.
func sameName(quoted, name string) bool {
	inner := quoted[1 : len(quoted)-1]
	if inner == name && strings.IndexByte(inner, '\\') < 0 {
		return true
	}
	return unquote(quoted) == name
}
