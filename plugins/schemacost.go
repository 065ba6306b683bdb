package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// The limits of a settings schema. Validation applies every value of the schema
// at most once for each value of the settings after references are followed, so
// they bound what a plugin can make the server spend on its manifest.
const (
	maxSchema      = 16 << 10 // bytes of JSON
	maxSchemaCost  = 4000     // values, with references followed, and instructions of patterns
	maxSchemaDepth = 64       // of values, with references followed
	maxPattern     = 512      // bytes
	maxNumber      = 32       // bytes, and an exponent of 3 digits
)

const draft2020 = "https://json-schema.org/draft/2020-12/schema"

// schemaCost counts what a schema costs. It treats every value of the schema as
// a subschema, data such as enum too: that counts too much and never too little.
type schemaCost struct {
	root any
	cost int
}

func checkSchemaCost(root any) error {
	s := &schemaCost{root: root}
	return s.value(root, 0)
}

func (s *schemaCost) add(n int) error {
	if s.cost += n; s.cost > maxSchemaCost {
		return fmt.Errorf("settings has more than %d values once its references are followed and its patterns are compiled; use fewer references, shorter lists and smaller counts in patterns", maxSchemaCost)
	}
	return nil
}

func (s *schemaCost) value(v any, depth int) error {
	if depth > maxSchemaDepth {
		return fmt.Errorf("settings is nested deeper than %d values, or a $ref in it leads to itself; write it without", maxSchemaDepth)
	}
	if err := s.add(1); err != nil {
		return err
	}
	switch v := v.(type) {
	case json.Number:
		return checkNumber(v.String())
	case []any:
		for _, e := range v {
			if err := s.value(e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := s.member(name, v[name], depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *schemaCost) member(name string, v any, depth int) error {
	if text, ok := v.(string); ok {
		if err := s.keyword(name, text, depth); err != nil {
			return err
		}
	}
	if object, ok := v.(map[string]any); ok && name == "patternProperties" {
		for pattern := range object {
			if err := s.pattern(pattern); err != nil {
				return err
			}
		}
	}
	return s.value(v, depth+1)
}

// keyword checks a keyword with a string for a value.
func (s *schemaCost) keyword(name, text string, depth int) error {
	switch name {
	case "$ref":
		to, err := s.resolve(text)
		if err != nil {
			return err
		}
		return s.value(to, depth+1)
	case "pattern":
		return s.pattern(text)
	case "$schema":
		if strings.TrimSuffix(text, "#") != draft2020 {
			return fmt.Errorf("settings has $schema %q; use %s", text, draft2020)
		}
	case "$id", "$dynamicRef":
		return fmt.Errorf("settings uses %s; refer with $ref to a place such as #/$defs/name", name)
	case "format":
		if text == "regex" { // to compile a setting may cost more than to match it
			return errors.New("settings uses the format regex; use pattern or have the provider check the value")
		}
	}
	return nil
}

func (s *schemaCost) pattern(text string) error {
	if len(text) > maxPattern {
		return fmt.Errorf("settings has a pattern longer than %d bytes; shorten it", maxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return fmt.Errorf("settings has an unusable pattern: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return fmt.Errorf("settings has an unusable pattern: %w", err)
	}
	return s.add(len(program.Inst))
}

// resolve returns the value that a reference leads to, a JSON Pointer in the
// fragment (RFC 6901 §6). Other kinds are refused: they could not be counted.
func (s *schemaCost) resolve(ref string) (any, error) {
	pointer, ok := strings.CutPrefix(ref, "#")
	pointer, err := url.PathUnescape(pointer)
	if !ok || err != nil || pointer != "" && pointer[0] != '/' {
		return nil, fmt.Errorf("settings is not a JSON Schema for a plugin: $ref %q; refer to a place such as #/$defs/name", ref)
	}
	at := s.root
	for _, part := range strings.Split(pointer, "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch v := at.(type) {
		case map[string]any:
			at, ok = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if ok = err == nil && i >= 0 && i < len(v); ok {
				at = v[i]
			}
		default:
			ok = false
		}
		if !ok {
			return nil, fmt.Errorf("settings has a $ref %q without a target; correct it or add the target", ref)
		}
	}
	return at, nil
}

// checkNumber refuses numbers that the validator would write out with a million
// digits.
func checkNumber(text string) error {
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if len(text) > maxNumber || len(strings.TrimLeft(exponent, "+-")) > 3 {
		return fmt.Errorf("settings has a number longer than %d bytes or with an exponent of more than 3 digits; use a smaller one", maxNumber)
	}
	return nil
}
