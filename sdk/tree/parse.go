package tree

import "strconv"

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 512

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int // bytes from the start
	Reason string
}

// Error names the place but quotes nothing: the text may hold secrets.
func (e *SyntaxError) Error() string {
	return "tree: byte " + strconv.Itoa(e.Offset) + ": " + e.Reason
}

// Parse checks that data is one JSON value (RFC 8259) nested no deeper than
// MaxDepth and returns it. It keeps a copy. The error is a *SyntaxError.
func Parse(data []byte) (Value, error) {
	s := scanner{text: string(data)}
	s.space()
	start := s.pos
	s.value(0)
	end := s.pos
	s.space()
	if s.err == nil && s.pos != len(s.text) {
		s.fail("text after the value")
	}
	if s.err != nil {
		return Value{}, s.err
	}
	return Value{s.text[start:end]}, nil
}

// scanner checks text from pos on; after the first error it only unwinds.
type scanner struct {
	text string
	pos  int
	err  *SyntaxError
}

func (s *scanner) fail(reason string) {
	if s.err == nil {
		s.err = &SyntaxError{s.pos, reason}
	}
}

func (s *scanner) space() { s.pos = skipSpace(s.text, s.pos) }

// peek returns the next byte, or 0 at the end; 0 is no token of JSON.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) value(depth int) {
	switch c := s.peek(); {
	case c == '{':
		s.nested(depth+1, '}')
	case c == '[':
		s.nested(depth+1, ']')
	case c == '"':
		s.str()
	case c == '-' || '0' <= c && c <= '9':
		s.number()
	case c == 't':
		s.word("true")
	case c == 'f':
		s.word("false")
	case c == 'n':
		s.word("null")
	default:
		s.fail("no value")
	}
}

// nested checks an object or an array, whichever ends with closing.
func (s *scanner) nested(depth int, closing byte) {
	if depth > MaxDepth {
		s.fail("nested too deep")
		return
	}
	s.pos++
	s.space()
	if s.peek() == closing {
		s.pos++
		return
	}
	for s.err == nil {
		if closing == '}' {
			s.name()
		}
		if s.err == nil {
			s.value(depth)
		}
		s.space()
		switch {
		case s.err != nil:
		case s.peek() == closing:
			s.pos++
			return
		case s.peek() == ',':
			s.pos++
			s.space()
		default:
			s.fail("no comma and no end")
		}
	}
}

// name checks a member's name and colon, and the space after it.
func (s *scanner) name() {
	if s.peek() != '"' {
		s.fail("no member name")
		return
	}
	s.str()
	s.space()
	if s.err == nil && s.peek() != ':' {
		s.fail("no colon")
		return
	}
	s.pos++
	s.space()
}

func (s *scanner) word(word string) {
	if len(s.text)-s.pos < len(word) || s.text[s.pos:s.pos+len(word)] != word {
		s.fail("unknown word")
		return
	}
	s.pos += len(word)
}

// str checks a string. Bytes above 0x7f are not looked at: what is not UTF-8
// is replaced when it is decoded.
func (s *scanner) str() {
	s.pos++
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case c == '"':
			s.pos++
			return
		case c < ' ':
			s.fail("control character in a string")
			return
		case c == '\\':
			s.pos++
			if !s.escape() {
				s.fail("unknown escape")
				return
			}
		}
		s.pos++
	}
	s.fail("string without an end")
}

// escape checks what follows a backslash and stops at its last byte.
func (s *scanner) escape() bool {
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if _, ok := hex4(s.text, s.pos+1); ok {
			s.pos += 4
			return true
		}
	}
	return false
}

func (s *scanner) number() {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else {
		s.digits()
	}
	if s.peek() == '.' {
		s.pos++
		s.digits()
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		s.digits()
	}
}

// digits checks for one digit or more.
func (s *scanner) digits() {
	start := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	if s.pos == start {
		s.fail("no digit")
	}
}

// hex4 reads four hexadecimal digits.
func hex4(text string, at int) (rune, bool) {
	if len(text)-at < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(text[at : at+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skipSpace returns the first place from i on that is no white space.
func skipSpace(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t') {
		i++
	}
	return i
}

// skip returns where the value that starts at i ends; text has been checked.
func skip(text string, i int) int {
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // a number or a word ended just before
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			if i = skipString(text, i); depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// skipString returns the place of the closing quote of the string at i.
func skipString(text string, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}
