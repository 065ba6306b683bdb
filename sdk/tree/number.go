package tree

import "strings"

// Int returns a number, and whether it is a whole one that an int64 holds.
// 3600.0 and 3.6e3 are 3600. Package strconv would cost a module 60 KB.
func (v Value) Int() (int64, bool) {
	if v.Kind() != KindNumber {
		return 0, false
	}
	text, negative := strings.CutPrefix(v.text, "-")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], parseExponent(text[i+1:])
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	short := strings.TrimRight(digits, "0")
	zeros := exponent - len(fraction) + len(digits) - len(short)
	switch {
	case short == "":
		return 0, true
	case zeros < 0 || len(short)+zeros > 19: // 19 digits fit an uint64
		return 0, false
	}
	var n uint64
	for _, c := range short + strings.Repeat("0", zeros) {
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
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
