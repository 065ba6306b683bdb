package config

import (
	"regexp"
	"slices"
	"strings"
)

// Origins is what a configuration was read from, beside environment and flags.
type Origins struct {
	Files []Origin // in the order they were read
	given map[string]bool
}

// Origin is a file that a configuration was read from.
type Origin struct {
	Path string // as given, or as ${file:…} names it
	// Secret reports that a secret stands in the file: written into a
	// configuration file, or as the content that a secret key refers to.
	Secret bool
}

// Set reports whether a key, such as server/operator_listen, was given by any
// layer above the defaults.
func (o *Origins) Set(key string) bool { return o.given[key] }

// note remembers a file, and that a secret stands in it.
func (o *Origins) note(path string, isSecret bool) {
	if i := slices.IndexFunc(o.Files, func(f Origin) bool { return f.Path == path }); i >= 0 {
		o.Files[i].Secret = o.Files[i].Secret || isSecret
		return
	}
	o.Files = append(o.Files, Origin{path, isSecret})
}

// add remembers the keys that a layer gives, but for those of tenants.
func (o *Origins) add(above string, tree map[string]any) {
	for key, value := range tree {
		if below, ok := value.(map[string]any); ok && key != "tenants" {
			o.add(above+key+"/", below)
		} else {
			o.given[above+key] = true
		}
	}
}

// written matches what is not itself a secret in the text of a secret key:
// references and the placeholders of inject.
var written = regexp.MustCompile(`\$\{[^}]*\}|\{[a-z_]+\}`)

// literalSecret reports whether the text of the secret key at p has a secret
// written out in it.
func literalSecret(p path, text string) bool {
	rest := strings.TrimSpace(written.ReplaceAllString(text, ""))
	switch {
	case p[0] == "store": // of an address, the password is
		_, rest, _ = strings.Cut(rest, "://")
		login, _, found := strings.Cut(rest, "@")
		_, password, _ := strings.Cut(login, ":")
		return found && password != ""
	case len(p) > 2 && p[2] == "inject":
		return len(rest) > len("Bearer ")
	}
	return rest != ""
}

// noteSecret remembers the file in which the secret at p is written out.
func (l *loader) noteSecret(p path, text string) {
	if !literalSecret(p, text) {
		return
	}
	for _, ly := range slices.Backward(l.layers) {
		if _, _, found := ly.find(p, false); found {
			if ly.file != "" {
				l.origins.note(ly.file, true)
			}
			return
		}
	}
}
