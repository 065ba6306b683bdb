package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"go.yaml.in/yaml/v3"
)

const (
	envPrefix = "SALLYPORT_"
	envLevel  = "__" // between levels of a path
)

// serviceLink matches what Kubernetes sets in every pod next to a service
// whose name is sallyport or starts with sallyport-.
var serviceLink = regexp.MustCompile(`^SALLYPORT_([A-Z0-9]+_)*(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// variables are the variables read, by the paths they set.
type variables struct {
	at    map[string]string // path.id → variable
	above map[string]string // path.id of what holds such a path → the first of them by name
}

func (v *variables) add(p path, name string) {
	v.at[p.id()] = name
	for n := range p {
		if id := p[:n].id(); v.above[id] == "" || name < v.above[id] {
			v.above[id] = name
		}
	}
}

// covering returns the variable that sets the value at p or something it is
// part of.
func (v *variables) covering(p path) string {
	for n := range p {
		if name, ok := v.at[p[:n+1].id()]; ok {
			return name
		}
	}
	return ""
}

// addEnviron reads the SALLYPORT_* variables as the next layer.
func (l *loader) addEnviron() {
	vars := &variables{map[string]string{}, map[string]string{}}
	provider := env.Provider(delimiter, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: l.sortedEnviron,
		TransformFunc: func(name, text string) (string, any) {
			if serviceLink.MatchString(name) || name == SocketVariable {
				return "", nil
			}
			p := envPath(name)
			v, what := l.fromEnv(p, text)
			if other := cmp.Or(vars.covering(p), vars.above[p.id()]); what == nil && other != "" {
				what = &problem{"sets the same as $" + printable(other), "set one of them"}
			}
			if what != nil {
				l.report("$"+name, 0, p, *what)
				return "", nil
			}
			vars.add(p, name)
			return strings.Join(p, delimiter), v
		},
	})
	tree, _ := provider.Read() // never fails
	l.layers = append(l.layers, &layer{tree: tree, find: func(p path, above bool) (string, int, bool) {
		name := vars.covering(p)
		if name == "" && above {
			name = vars.above[p.id()]
		}
		return "$" + name, 0, name != ""
	}})
}

func (l *loader) sortedEnviron() []string {
	pairs := make([]string, 0, len(l.environ))
	for name, value := range l.environ {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return pairs
}

// envPath returns the path that a variable's name stands for. All is lower
// case but the names of tenants.
func envPath(name string) path {
	p := path(strings.Split(strings.TrimPrefix(name, envPrefix), envLevel))
	for i := range p {
		if i != 1 || p[0] != "tenants" {
			p[i] = strings.ToLower(p[i])
		}
	}
	return p
}

// envName returns the variable for a path.
func envName(p path) string {
	parts := slices.Clone(p)
	for i := range parts {
		if i != 1 || p[0] != "tenants" {
			parts[i] = strings.ToUpper(parts[i])
		}
	}
	return printable(envPrefix + strings.Join(parts, envLevel))
}

// fromEnv reads the text of a variable as what the key at p takes.
func (l *loader) fromEnv(p path, value string) (any, *problem) {
	s := l.schema.at(p)
	switch {
	case s == nil:
		return nil, l.unknownVariable(p)
	case s.kind == section || s.kind == named:
		return nil, &problem{"holds keys and takes no value", "set " + envName(p) + envLevel + " and a key's name"}
	case s.kind.isText():
		return value, checkEnvQuotes(value)
	case s.kind == list && s.elem.kind.isText():
		return splitList(value), nil
	}
	root, _, what := parseYAML([]byte(value))
	if what != nil {
		return nil, &problem{"is read as YAML, and is none", ""}
	}
	r := &yamlReader{report: func(_ *yaml.Node, _ path, found problem) { what = &found }}
	return r.value(p, root), what
}

// unknownVariable explains a variable that stands for no key.
func (l *loader) unknownVariable(p path) *problem {
	if len(p) == 1 {
		for _, f := range l.schema.fields { // SALLYPORT_SERVER_LISTEN
			key, ok := strings.CutPrefix(p[0], f.name+"_")
			if ok && (f.kind == named || f.field(key) != nil) {
				return &problem{"unknown key", "levels are separated by two underscores: " + envPrefix + strings.ToUpper(f.name) + envLevel + "…"}
			}
		}
	}
	for n := range p {
		if s := l.schema.at(p[:n]); s != nil && s.kind == section && s.field(p[n]) == nil {
			l.expect(s, p[:n], p[n])
			return &problem{"unknown key", s.suggestion(p[n])}
		}
	}
	return &problem{"unknown key", "set the whole of " + envName(p[:len(p)-1])}
}

// splitList splits a text at commas into a list of texts.
func splitList(value string) []any {
	items := []any{}
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
