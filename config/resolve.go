package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// resolve interpolates v, the merged value at p, and checks what the shape's
// tags say of it. It returns the value to decode, which is empty where a fault
// was found. Maps and lists are changed in place.
func (l *loader) resolve(p path, s *shape, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = l.resolve(p.child(key), s.below(key), value)
		}
		for _, f := range s.fields {
			if missing(v[f.name]) && f.required {
				l.fault(p.child(f.name), problem{"is missing", f.hint()})
			}
		}
	case []any:
		for i, item := range v {
			v[i] = l.resolve(p.item(i), s.below(""), item)
		}
	case string:
		if l.secret = s.kind == secret; l.secret {
			l.noteSecret(p, v)
		}
		text, what := l.interpolate(v)
		if what == nil && !l.known(p) {
			var value any
			if value, what = s.parse(text); what == nil {
				return value
			}
		}
		if what != nil {
			l.fault(p, *what)
		}
		return s.zero()
	}
	return v
}

// zero is the value to decode where a fault was found.
func (s *shape) zero() any {
	switch s.kind {
	case duration:
		return time.Duration(0)
	case rate:
		return Rate{}
	}
	return ""
}

// missing tells whether a required key has no value.
func missing(v any) bool {
	items, isList := v.([]any)
	return v == nil || v == "" || isList && len(items) == 0
}

// below returns the shape of what is inside s under key.
func (s *shape) below(key string) *shape {
	switch s.kind {
	case section:
		return s.field(key)
	case free:
		return s
	}
	return s.elem
}

// parse checks a text against the shape's tags and returns the value to
// decode.
func (s *shape) parse(text string) (any, *problem) {
	if len(s.oneOf) > 0 {
		if !slices.Contains(s.oneOf, text) {
			return nil, &problem{"must be one of " + strings.Join(s.oneOf, ", "), ""}
		}
		return text, nil
	}
	switch s.kind {
	case duration:
		return s.parseDuration(text)
	case rate:
		r, what := parseRate(text)
		return r, what
	}
	return text, nil
}

func (s *shape) parseDuration(text string) (any, *problem) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, &problem{"must be a duration with its unit", "such as " + s.def}
	}
	if d < s.min || d > s.max {
		return nil, &problem{"must be between " + short(s.min) + " and " + short(s.max), ""}
	}
	return d, nil
}

// short writes a duration without the zeros that String puts behind it.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// interpolate replaces ${env:NAME} and ${file:/path} in text, and $${ by ${.
func (l *loader) interpolate(text string) (string, *problem) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		reference, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return "", &problem{"a ${ here has no }", "write $${ for a plain ${"}
		}
		value, what := l.lookUp(reference)
		if what != nil {
			return "", what
		}
		b.WriteString(text[:i] + value)
		text = rest
	}
}

// lookUp returns the value of what stands between ${ and }.
func (l *loader) lookUp(reference string) (string, *problem) {
	if name, ok := strings.CutPrefix(reference, "env:"); ok && isVariable(name) {
		value, set := l.environ[name]
		if !set {
			return "", &problem{"the environment variable " + name + " is not set", ""}
		}
		if value == "" {
			return "", &problem{"the environment variable " + name + " is empty", ""}
		}
		return value, nil
	}
	if file, ok := strings.CutPrefix(reference, "file:"); ok && filepath.IsAbs(file) {
		content, err := l.readFile(file)
		l.origins.note(file, l.secret)
		value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
		switch {
		case err != nil:
			return "", &problem{"the file " + printable(file) + " cannot be read: " + reason(err), ""}
		case value == "":
			return "", &problem{"the file " + printable(file) + " is empty", ""}
		}
		return value, nil
	}
	return "", &problem{"this ${…} is neither ${env:NAME} nor ${file:/absolute/path}", "write $${ for a plain ${"}
}

// isVariable tells whether name can be the name of an environment variable.
func isVariable(name string) bool {
	for i, c := range name {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
