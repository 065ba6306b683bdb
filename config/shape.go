package config

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"
)

// kind is what a key takes.
type kind int

const (
	section  kind = iota // keys we know
	named                // keys of the operator's choosing, each a section
	free                 // anything below keys of anybody's choosing
	list                 // a list of elem
	plain                // text
	secret               // text that is not printed
	duration             // text with a unit
	rate                 // text, a number by a unit of time
	boolean
)

// isText tells whether a value of the kind is written as one text.
func (k kind) isText() bool { return k == plain || k == secret || k == duration || k == rate }

// shape describes what a key takes. It is read off Config's types and tags.
type shape struct {
	name     string // the key
	kind     kind
	fields   []*shape // of a section
	elem     *shape   // of named and list
	def      string   // default
	example  string
	required bool
	oneOf    []string
	min, max time.Duration
}

func newSchema() *shape { return shapeOf(reflect.TypeFor[Config]()) }

func shapeOf(t reflect.Type) *shape {
	switch {
	case t == reflect.TypeFor[Secret]():
		return &shape{kind: secret}
	case t == reflect.TypeFor[time.Duration]():
		return &shape{kind: duration}
	case t == reflect.TypeFor[Rate]():
		return &shape{kind: rate}
	case t == reflect.TypeFor[map[string]any]():
		return &shape{kind: free}
	}
	switch t.Kind() {
	case reflect.String:
		return &shape{kind: plain}
	case reflect.Bool:
		return &shape{kind: boolean}
	case reflect.Slice:
		return &shape{kind: list, elem: shapeOf(t.Elem())}
	case reflect.Map:
		return &shape{kind: named, elem: shapeOf(t.Elem())}
	case reflect.Struct:
		s := &shape{kind: section}
		for i := range t.NumField() {
			s.fields = append(s.fields, fieldShape(t.Field(i)))
		}
		return s
	}
	panic(fmt.Sprintf("config: no key takes a %v", t))
}

func fieldShape(f reflect.StructField) *shape {
	s := shapeOf(f.Type)
	s.name, s.def, s.example = f.Tag.Get("koanf"), f.Tag.Get("default"), f.Tag.Get("example")
	s.required = f.Tag.Get("required") != ""
	s.oneOf = strings.Fields(f.Tag.Get("oneof"))
	if s.kind == duration {
		s.min, s.max = mustDuration(f.Tag.Get("min")), mustDuration(f.Tag.Get("max"))
	}
	return s
}

func mustDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic("config: " + err.Error())
	}
	return d
}

// field returns the shape of a section's key, or nil.
func (s *shape) field(name string) *shape {
	for _, f := range s.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// at returns the shape of the key at p, or nil. Items of lists are not keys.
func (s *shape) at(p path) *shape {
	for _, key := range p {
		switch s.kind {
		case section:
			s = s.field(key)
		case named:
			s = s.elem
		case free:
		default:
			return nil
		}
		if s == nil {
			return nil
		}
	}
	return s
}

// defaults returns the tree of default values, with those of every tenant
// that one of the trees names.
func (s *shape) defaults(trees []map[string]any) map[string]any {
	m := map[string]any{}
	for _, f := range s.fields {
		switch {
		case f.kind == section:
			m[f.name] = f.defaults(nil)
		case f.kind == named:
			elems := map[string]any{}
			for _, tree := range trees {
				below, _ := tree[f.name].(map[string]any)
				for key := range below {
					if elems[key] == nil {
						elems[key] = f.elem.defaults(nil)
					}
				}
			}
			m[f.name] = elems
		case f.kind.isText() && f.def != "":
			m[f.name] = f.def
		}
	}
	return m
}

// shape checks that v, at p in ly, has the form that s asks for. It returns v
// without what was wrong or absent; nil means that nothing remains. Items of
// lists keep their places.
func (l *loader) shape(ly *layer, p path, s *shape, v any) any {
	if v == nil {
		if s.kind == section || s.kind == named {
			return map[string]any{}
		}
		return nil
	}
	switch s.kind {
	case section, named, free:
		m, ok := v.(map[string]any)
		if !ok {
			l.faultIn(ly, p, problem{"must hold keys", s.hint()})
			return nil
		}
		if s.kind != free {
			l.shapeKeys(ly, p, s, m)
		}
		return m
	case list:
		items, ok := v.([]any)
		if !ok {
			l.faultIn(ly, p, problem{"must be a list", s.hint()})
			return nil
		}
		for i, item := range items {
			items[i] = l.shapeItem(ly, p.item(i), s.elem, item)
		}
		return items
	case boolean:
		if _, ok := v.(bool); !ok {
			l.faultIn(ly, p, problem{"must be true or false", ""})
			return nil
		}
		return v
	}
	if _, ok := v.(string); ok {
		return v
	}
	l.faultIn(ly, p, notText(s, v))
	return nil
}

// shapeItem is shape for an item of a list, which cannot be absent.
func (l *loader) shapeItem(ly *layer, p path, s *shape, item any) any {
	if item == nil {
		l.faultIn(ly, p, problem{"this item is empty", "give it a value or take it out"})
	} else if item = l.shape(ly, p, s, item); item != nil {
		return item
	}
	if s.kind == section {
		return map[string]any{}
	}
	return ""
}

// shapeKeys checks the keys of m, in order so that faults are the same each
// time, and takes out what does not belong there.
func (l *loader) shapeKeys(ly *layer, p path, s *shape, m map[string]any) {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		elem := s.elem
		if s.kind == section {
			elem = s.field(key)
		}
		if elem == nil {
			l.expect(s, p, key)
			l.faultIn(ly, p.child(key), problem{"unknown key", s.suggestion(key)})
			delete(m, key)
		} else if v := l.shape(ly, p.child(key), elem, m[key]); v == nil {
			delete(m, key)
		} else {
			m[key] = v
		}
	}
}

// expect keeps the key that an unknown one seems to mean from being reported as
// missing: it is there, only misspelt.
func (l *loader) expect(s *shape, p path, unknown string) {
	if near := s.nearest(unknown); near != "" {
		l.bad[p.child(near).id()] = true
	}
}

func notText(s *shape, v any) problem {
	switch v.(type) {
	case map[string]any, []any:
		return problem{"must be text", s.hint()}
	}
	switch s.kind {
	case duration:
		return problem{"must be a duration with its unit", "such as " + s.def}
	case rate:
		return notRate()
	}
	return problem{"must be text", "put it in quotes"}
}

// hint shows how a value may look.
func (s *shape) hint() string {
	switch {
	case s.kind == section:
		return "such as " + s.fields[0].name
	case s.example != "":
		return "for example " + s.example
	case s.def != "":
		return "for example " + s.def
	}
	return ""
}

// suggestion says what may have been meant by a key that a section does not
// have.
func (s *shape) suggestion(key string) string {
	if near := s.nearest(key); near != "" {
		return "did you mean " + near + "?"
	}
	var names []string
	for _, f := range s.fields {
		if f.kind == section && f.field(key) != nil {
			return "did you mean " + f.name + "/" + key + "?"
		}
		names = append(names, f.name)
	}
	return "the keys here are " + strings.Join(names, ", ")
}

// nearest returns the section's key that looks most like key, or nothing if
// none does.
func (s *shape) nearest(key string) string {
	best, least := "", min(3, 1+len(key)/3)
	for _, f := range s.fields {
		if d := distance(strings.ToLower(key), f.name); d < least {
			best, least = f.name, d
		}
	}
	return best
}

// distance is the least number of letters to insert, drop or change that turns
// a into b (Levenshtein's). Keys are short; longer ones are not compared.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(previous[j]+cost, previous[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
