package config

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// curly are quotes of word processors, which mean nothing in YAML.
const curly = "“”„‟‘’‚‛«»"

// checkQuotes refuses a text that begins or ends with what its writer took for
// a delimiter: curly quotes, and spaces that do not look like ones.
func checkQuotes(text string) *problem {
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	switch {
	case text == "":
	case strings.ContainsRune(curly, first) || strings.ContainsRune(curly, last):
		return &problem{"has a curly quote at its beginning or end", `use straight quotes, " or ', or none`}
	case strings.ContainsRune(invisible, first) || strings.ContainsRune(invisible, last):
		return &problem{"has an invisible character at its beginning or end", "take it out"}
	}
	return nil
}

// invisible are characters that come with copied text and are not seen.
const invisible = "\u00a0\u00ad\u200b\u200c\u200d\u2007\u202f\u2060\ufeff"

// checkPlain finds what YAML made of a text without quotes that its writer did
// not mean.
func checkPlain(n *yaml.Node) *problem {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return nil
	}
	if comment := strings.TrimPrefix(n.LineComment, "#"); comment != n.LineComment && comment != "" && !strings.ContainsAny(comment[:1], " \t#!-") && n.ShortTag() == "!!str" {
		return &problem{"a # begins a comment here, and the value ends before it", `put a text that contains " #" in quotes, or a space behind the #`}
	}
	if n.ShortTag() == "!!null" && n.Anchor != "" {
		return &problem{"a & here begins the name of an anchor", "put a text that starts with & in quotes"}
	}
	return checkQuotes(n.Value)
}

// checkEnvQuotes finds quotes that a shell would have taken off, around the
// value of a variable: files of variables are often read without one.
func checkEnvQuotes(text string) *problem {
	if len(text) > 1 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
		return &problem{"has quotes around it that belong to the value", "leave the quotes out"}
	}
	return checkQuotes(text)
}

// openQuote returns the first line of text in which a quoted value begins and
// does not end, or 0.
func openQuote(text []byte) int {
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if quote, rest, ok := quotedValue(line); ok && !closes(rest, quote) {
			return number
		}
	}
	return 0
}

// quotedValue returns what follows the quote with which the value of a line
// begins.
func quotedValue(line string) (quote byte, rest string, ok bool) {
	value := strings.TrimSpace(line)
	for strings.HasPrefix(value, "- ") {
		value = strings.TrimSpace(value[2:])
	}
	if i := strings.Index(value, ": "); i >= 0 && !strings.ContainsAny(value[:i], `"'#`) {
		value = strings.TrimSpace(value[i+2:])
	}
	value = strings.TrimLeft(value, "[{ ")
	if value == "" || value[0] != '"' && value[0] != '\'' {
		return 0, "", false
	}
	return value[0], value[1:], true
}

// closes reports whether a quoted text ends in the rest of its line.
func closes(rest string, quote byte) bool {
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && quote == '"':
			i++
		case rest[i] == quote:
			return true
		}
	}
	return false
}
