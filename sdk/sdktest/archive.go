package sdktest

import "strings"

// section is one file of a txtar archive.
type section struct {
	name string
	text string
}

// parseArchive reads the txtar format: a comment, then sections that each
// begin with a line "-- name --".
func parseArchive(text string) (comment string, sections []section) {
	for _, line := range strings.SplitAfter(text, "\n") {
		if name, ok := marker(line); ok {
			sections = append(sections, section{name: name})
		} else if n := len(sections); n > 0 {
			sections[n-1].text += line
		} else {
			comment += line
		}
	}
	return comment, sections
}

// formatArchive is the reverse of parseArchive.
func formatArchive(comment string, sections []section) string {
	var b strings.Builder
	b.WriteString(comment)
	for _, s := range sections {
		b.WriteString("-- " + s.name + " --\n" + s.text)
		if s.text != "" && !strings.HasSuffix(s.text, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func marker(line string) (string, bool) {
	line = strings.TrimRight(line, "\r\n")
	if len(line) < 7 || !strings.HasPrefix(line, "-- ") || !strings.HasSuffix(line, " --") {
		return "", false
	}
	return strings.TrimSpace(line[3 : len(line)-3]), true
}
