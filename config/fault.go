package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is one thing wrong with a configuration. None of its texts holds a
// value from the configuration, since any value may turn out to be a secret
// in the wrong place; keys and tenant names it does hold.
type Fault struct {
	Source  string // file as given; $NAME for an environment variable, --name for a flag; empty if nothing was read
	Line    int    // in the file, from 1; 0 if the fault is not at a line
	Path    string // of the key: tenants/octo/client_id; list items count from 0; empty for a fault of the whole file
	Problem string
	Remedy  string // what would be right; may be empty
}

// String returns the fault as one line: source:line: path: problem; remedy.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(printable(f.Source))
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	if f.Source != "" {
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Problem)
	if f.Remedy != "" {
		b.WriteString("; " + f.Remedy)
	}
	return b.String()
}

// Faults is everything found wrong with a configuration, by source in the
// order of the layers, then by line and path. It is the error Load returns.
type Faults []Fault

// Error returns the faults one per line.
func (f *Faults) Error() string {
	lines := make([]string, len(*f))
	for i, fault := range *f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// problem is a fault that does not know yet where it stands.
type problem struct{ what, remedy string }

// sortFaults puts faults in the order of the layers: those of no source, of
// the files, of the environment, of flags.
func sortFaults(faults Faults, files []string) {
	rank := func(source string) int {
		if i := slices.Index(files, source); i >= 0 || source == "" {
			return i
		}
		return len(files)
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(rank(a.Source), rank(b.Source)),
			cmp.Compare(a.Source, b.Source), // "$" sorts before "-"
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Path, b.Path),
		)
	})
}

// path names a key by the keys above it.
type path []string

// child returns the path of a key below p. It never shares p's array.
func (p path) child(key string) path {
	return append(p[:len(p):len(p)], key)
}

func (p path) item(i int) path { return p.child(strconv.Itoa(i)) }

// id is a map key for p.
func (p path) id() string { return strings.Join(p, "\x00") }

// String joins the keys with slashes and quotes those that could be misread.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, key := range p {
		if key == "" || strings.Contains(key, "/") {
			key = strconv.Quote(key)
		}
		parts[i] = printable(key)
	}
	return strings.Join(parts, "/")
}

// printable returns s, quoted if it holds what could break a line in two.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
