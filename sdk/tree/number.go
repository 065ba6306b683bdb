package tree

import "strings"

// Int returns a number, and whether it is a whole one that an int64 holds.
// 3600.0 and 3.6e3 are 3600. Package strconv would cost a module 60 KB.
func (v Value) Int() (int64, bool) {
	if v.Kind() != KindNumber {
		return 0, false
	}
	n, whole, ok := integer(v.text)
	if !ok || !whole {
		return 0, false
	}
	return n, true
}

// Floor returns a number rounded down to a whole one, and whether an int64
// holds it. A string that holds a number, with or without space around it,
// counts as that number. It is for times and durations: a NumericDate may have
// a fraction (RFC 7519 §2), and some upstreams write numbers as strings.
func (v Value) Floor() (int64, bool) {
	if v.Kind() == KindString {
		number, err := Parse([]byte(strings.TrimSpace(v.Str())))
		if err != nil {
			return 0, false
		}
		v = number
	}
	if v.Kind() != KindNumber {
		return 0, false
	}
	n, _, ok := integer(v.text)
	return n, ok
}

// integer returns the number that JSON text holds, rounded down, and reports
// whether it is whole and whether an int64 holds it.
func integer(text string) (n int64, whole, ok bool) {
	text, negative := strings.CutPrefix(text, "-")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], parseExponent(text[i+1:])
	}
	before, after, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(before+after, "0")
	point := len(digits) - len(after) + exponent // digits in front of the decimal point
	switch {
	case digits == "":
		return 0, true, true
	case point > 19: // an uint64 holds every number of 19 digits
		return 0, false, false
	case point > len(digits):
		digits += strings.Repeat("0", point-len(digits))
	}
	point = max(point, 0)
	whole = strings.Trim(digits[point:], "0") == ""
	var u uint64
	for _, c := range digits[:point] {
		u = u*10 + uint64(c-'0')
	}
	if !negative {
		return int64(u), whole, u < 1<<63
	}
	if !whole {
		u++
	}
	return -int64(u), whole, u <= 1<<63
}

// parseExponent reads what follows the e; beyond ±9999 it makes no difference.
func parseExponent(text string) int {
	text, negative := strings.CutPrefix(text, "-")
	n := 0
	for _, c := range strings.TrimPrefix(text, "+") {
		n = min(n*10+int(c-'0'), 9999)
	}
	if negative {
		return -n
	}
	return n
}
