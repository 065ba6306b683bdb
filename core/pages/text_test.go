package pages

import "testing"

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Claude Code", "Claude Code"},
		{"  a\t\n b\u00a0\u2003c\u2028d\u2800e ", "a b c d e"},
		{"a\x00\x1b\x7f\u0085b", "a b"},
		{"\u202eevil\u202c\u2066\u2069\u200e\u200f\u061c", "evil"},
		{"a\u200b\u2060\ufeff\u00ad\U000e0041b", "ab"},
		{"\u3164\u115f\uffa0\u034f", ""},
		{"می\u200cخواهم 👩\u200d💻 ❤\ufe0f", "می\u200cخواهم 👩\u200d💻 ❤\ufe0f"},
		{"e\u0301 שלום", "e\u0301 שלום"},
		{"a\xffb", "a\ufffdb"},
	}
	for _, test := range tests {
		if got := clean(test.in); got != test.want {
			t.Errorf("clean(%+q) = %+q, want %+q", test.in, got, test.want)
		}
	}
}

func TestASCII(t *testing.T) {
	tests := []struct{ in, want string }{
		{"claude.ai:443", "claude.ai:443"},
		{`a\b"c`, `a\b"c`},
		{"cl\u0430ude.ai", `cl\u0430ude.ai`},
		{"a b\n", `a b\n`},
		{"x\u202ey\xff", `x\u202ey\xff`},
	}
	for _, test := range tests {
		if got := ascii(test.in); got != test.want {
			t.Errorf("ascii(%+q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"try again shortly":            "Try again shortly.",
		"This page was open too long.": "This page was open too long.",
		"état":                         "État.",
	} {
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}
