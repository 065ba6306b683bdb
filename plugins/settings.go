package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schema is the part of a settings schema (JSON Schema 2020-12) that is
// checked here: the top level's properties, their types, enumerations,
// defaults, and which are required.
type schema struct {
	Type       string              `json:"type"`
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
}

type property struct {
	Type    any   `json:"type"` // a name or a list of names
	Default any   `json:"default"`
	Enum    []any `json:"enum"`
}

func parseSchema(text []byte) (schema, error) {
	s := schema{Type: "object"}
	if len(text) == 0 || string(text) == "null" {
		return s, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("settings is not a JSON Schema: %w", err)
	}
	if s.Type != "object" {
		return s, fmt.Errorf("settings is a schema of %q; use type object", s.Type)
	}
	return s, nil
}

// fill checks given settings against the schema and returns them with the
// defaults filled in. The error names every fault.
func (s schema) fill(given map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for name, p := range s.Properties {
		if p.Default != nil {
			out[name] = p.Default
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p, ok := s.Properties[name]
		if !ok {
			faults = append(faults, fmt.Errorf("settings.%s: unknown; known are: %s", name, strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")))
			continue
		}
		if err := p.check(given[name]); err != nil {
			faults = append(faults, fmt.Errorf("settings.%s: %w", name, err))
		}
		out[name] = given[name]
	}
	for _, name := range s.Required {
		if _, ok := out[name]; !ok {
			faults = append(faults, fmt.Errorf("settings.%s: missing", name))
		}
	}
	return out, errors.Join(faults...)
}

func (p property) check(v any) error {
	var types []string
	switch t := p.Type.(type) {
	case string:
		types = []string{t}
	case []any:
		for _, e := range t {
			types = append(types, fmt.Sprint(e))
		}
	}
	is := typeOf(v)
	if len(types) > 0 && !slices.Contains(types, is) && !(is == "integer" && slices.Contains(types, "number")) {
		return fmt.Errorf("this is of type %s; use %s", is, strings.Join(types, " or "))
	}
	if len(p.Enum) > 0 && !slices.ContainsFunc(p.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		return fmt.Errorf("use one of %v", p.Enum)
	}
	return nil
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
	}
	return "number"
}

// normal brings settings from any source into the shapes encoding/json has.
func normal(settings map[string]any) (map[string]any, error) {
	text, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	var out map[string]any
	err = json.Unmarshal(text, &out)
	return out, err
}
