package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// addFile reads one YAML file as the next layer. The file is turned into a
// tree here and not by a koanf parser: those drop the lines that faults need,
// keep only the first of several documents, and read an unquoted date as a
// time.
func (l *loader) addFile(file string) {
	text, err := l.readFile(file)
	if err != nil {
		l.report(file, 0, nil, problem{"cannot be read: " + reason(err), ""})
		return
	}
	root, line, what := parseYAML(text)
	if what != nil {
		l.report(file, line, nil, *what)
		return
	}
	r := &yamlReader{report: func(n *yaml.Node, p path, what problem) { l.report(file, n.Line, p, what) }}
	tree, ok := r.value(nil, root).(map[string]any)
	if !ok && root.ShortTag() != "!!null" {
		l.report(file, root.Line, nil, problem{"must hold keys, such as server and tenants", ""})
		return
	}
	l.layers = append(l.layers, &layer{tree: tree, file: file, find: func(p path, _ bool) (string, int, bool) {
		n := findNode(root, p)
		if n == nil {
			return file, 0, false
		}
		return file, n.Line, true
	}})
}

// reason returns what the system said, without the path, which the fault names
// anyway.
func reason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

var (
	// yamlLine finds the line in an error of the YAML parser.
	yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)
	// unknownAnchor is the one such error that repeats a value.
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// parseYAML returns the root of the only document in text, or what is wrong
// with it and in which line, if that is known.
func parseYAML(text []byte) (*yaml.Node, int, *problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc, next yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) || (err == nil && len(doc.Content) == 0) {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1}, 0, nil
	}
	if err == nil {
		err = decoder.Decode(&next)
		if err == nil {
			return nil, next.Line, &problem{"a second document begins here", "write one document per file"}
		}
	}
	if errors.Is(err, io.EOF) {
		return doc.Content[0], 0, nil
	}
	said := err.Error()
	match := yamlLine.FindStringSubmatch(said)
	line, _ := strconv.Atoi(match[1])
	said = said[len(match[0]):]
	if anchor := unknownAnchor.FindStringSubmatch(said); anchor != nil {
		// Its name may be a password that starts with *.
		before, _, _ := bytes.Cut(text, []byte("*"+anchor[1]))
		return nil, 1 + bytes.Count(before, []byte("\n")), &problem{"a * here refers to an anchor that does not exist", "put a text that starts with * in quotes"}
	}
	if open := openQuote(text); open > 0 {
		return nil, open, &problem{"a quote that is opened here is not closed in this line", "close it, and put a text that contains a quote in quotes of the other kind"}
	}
	return nil, line, &problem{"not valid YAML: " + said, yamlRemedy(said)}
}

// yamlRemedy says what helps against an error of the YAML parser.
func yamlRemedy(said string) string {
	switch {
	case strings.Contains(said, "tab character"), strings.Contains(said, "cannot start any token"):
		return "indent with spaces, not tabs, and put a text that starts with @, ` or % in quotes"
	case strings.Contains(said, "mapping values are not allowed"):
		return "put a text that contains a colon and a space in quotes, and check the indentation"
	case strings.Contains(said, "expected ':'"):
		return "write a space behind the colon of a key"
	}
	return ""
}

// maxAliased bounds how many values aliases may stand for, so that a small
// file cannot grow without bound.
const maxAliased = 1_000_000

// yamlReader turns nodes into maps, lists, texts, numbers, booleans and nil,
// and reports what a configuration does not allow in YAML.
type yamlReader struct {
	report  func(*yaml.Node, path, problem)
	within  []*yaml.Node // the aliases' targets being read
	aliased int          // values read there
	tooMany bool
}

func (r *yamlReader) value(p path, n *yaml.Node) any {
	if len(r.within) > 0 {
		r.aliased++
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.alias(p, n)
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		r.mapping(p, n, m)
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = r.value(p.item(i), item)
		}
		return list
	}
	return r.scalar(p, n)
}

func (r *yamlReader) alias(p path, n *yaml.Node) any {
	for _, target := range r.within {
		if target == n.Alias {
			r.report(n, p, problem{"this alias contains itself", ""})
			return nil
		}
	}
	if r.aliased > maxAliased {
		if !r.tooMany {
			r.report(n, p, problem{"aliases stand for too many values", ""})
		}
		r.tooMany = true
		return nil
	}
	r.within = append(r.within, n.Alias)
	defer func() { r.within = r.within[:len(r.within)-1] }()
	return r.value(p, n.Alias)
}

// mapping reads the keys of n into m. A key of n wins over the same key of
// what n merges (<<).
func (r *yamlReader) mapping(p path, n *yaml.Node, m map[string]any) {
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case isMerge(key):
			for _, from := range merged(value) {
				target, ok := r.value(p, from).(map[string]any)
				if !ok {
					r.report(key, p, problem{"<< merges mappings only", ""})
				}
				for name, value := range target {
					if _, ok := m[name]; !ok {
						m[name] = value
					}
				}
			}
		case key.Kind != yaml.ScalarNode:
			r.report(key, p, problem{"a key must be a plain word", ""})
		case lines[key.Value] > 0:
			r.report(key, p.child(key.Value), problem{"this key is here twice", "the first is in line " + strconv.Itoa(lines[key.Value])})
		default:
			lines[key.Value] = key.Line
			m[key.Value] = r.value(p.child(key.Value), value)
		}
	}
}

func (r *yamlReader) scalar(p path, n *yaml.Node) any {
	if what := checkPlain(n); what != nil {
		r.report(n, p, *what)
		return nil
	}
	var v any
	switch n.ShortTag() {
	case "!!str", "!!timestamp", "!!merge":
		return n.Value
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		if n.Decode(&v) != nil {
			r.report(n, p, problem{"this value does not fit its tag", ""})
			return nil
		}
	default:
		r.report(n, p, problem{"tags are not used here", "put a text that starts with ! in quotes"})
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		r.report(n, p, problem{"must be a finite number", ""})
		return nil
	}
	return v
}

func isMerge(key *yaml.Node) bool { return key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" }

// merged returns what the value of a << key names: one mapping or several.
func merged(value *yaml.Node) []*yaml.Node {
	if value.Kind == yaml.SequenceNode {
		return value.Content
	}
	return []*yaml.Node{value}
}

// findNode returns the key (or list item) at p below root, or nil.
func findNode(root *yaml.Node, p path) *yaml.Node {
	at, value := root, root
	for _, key := range p {
		if at, value = findKey(value, key, 0); at == nil {
			return nil
		}
	}
	return at
}

// findKey returns the node of a key in n and that of its value, nil if n has
// no such key. depth ends the search in a mapping that merges itself.
func findKey(n *yaml.Node, key string, depth int) (at, value *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key && !isMerge(k) {
				return k, n.Content[i+1]
			}
		}
		for i := 0; i+1 < len(n.Content) && depth < 100; i += 2 {
			if !isMerge(n.Content[i]) {
				continue
			}
			for _, from := range merged(n.Content[i+1]) {
				if at, value := findKey(from, key, depth+1); at != nil {
					return at, value
				}
			}
		}
	}
	return nil, nil
}
