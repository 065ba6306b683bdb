package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schema is what a manifest says of a tenant's settings: a JSON Schema
// (2020-12) of an object, formats asserted. Where it says nothing of further
// members of the settings there may be none, so that a slip of the pen is
// noticed.
type schema struct {
	text     map[string]any
	compiled *jsonschema.Schema
}

// noLoader keeps a schema from reaching for files and the network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, errors.New("a settings schema may refer to itself only")
}

func parseSchema(text []byte) (s *schema, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, errors.New("settings is not a usable JSON Schema")
		}
	}()
	if len(text) > maxSchema {
		return nil, fmt.Errorf("settings is longer than %d bytes; shorten it", maxSchema)
	}
	s = &schema{text: map[string]any{}}
	if len(text) > 0 && string(text) != "null" {
		decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		object, ok := decoded.(map[string]any)
		if err != nil || !ok {
			return nil, errors.New("settings is not a JSON Schema")
		}
		if err := checkSchemaCost(object); err != nil {
			return nil, err
		}
		s.text = object
	}
	if t, ok := s.text["type"]; ok && t != "object" {
		return nil, fmt.Errorf("settings is a schema of %q; use type object", t)
	}
	s.text["type"] = "object"
	open := []string{"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames"}
	if !slices.ContainsFunc(open, func(name string) bool { _, ok := s.text[name]; return ok }) {
		s.text["additionalProperties"] = false
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	const name = "settings.json"
	if err := c.AddResource(name, s.text); err != nil {
		return nil, fmt.Errorf("settings is not a JSON Schema: %w", err)
	}
	if s.compiled, err = c.Compile(name); err != nil {
		return nil, fmt.Errorf("settings is not a JSON Schema: %s", firstLine(err))
	}
	return s, nil
}

// fill returns given settings with the defaults filled in, as a value and as
// JSON, if they are what the schema wants. The error has one line for each
// fault.
func (s *schema) fill(given map[string]any) (settings map[string]any, text []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			settings, text, err = nil, nil, errors.New("settings: the schema cannot be applied to them")
		}
	}()
	raw, err := json.Marshal(given)
	if err != nil {
		return nil, nil, fmt.Errorf("settings: %w", err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, fmt.Errorf("settings: %w", err)
	}
	settings, _ = decoded.(map[string]any)
	if settings == nil {
		settings = map[string]any{}
	}
	addDefaults(s.text, settings)
	if err := s.compiled.Validate(settings); err != nil {
		return nil, nil, s.faults(err)
	}
	text, err = json.Marshal(settings)
	return settings, text, err
}

// addDefaults fills in the defaults of properties, those of nested objects too.
func addDefaults(schema, object map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		property, _ := p.(map[string]any)
		if value, ok := property["default"]; ok {
			if _, given := object[name]; !given {
				object[name] = clone(value)
			}
		}
		if inner, ok := object[name].(map[string]any); ok {
			addDefaults(property, inner)
		}
	}
}

// clone copies a JSON value as far as addDefaults may write to it.
func clone(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(object))
	for name, e := range object {
		out[name] = clone(e)
	}
	return out
}

// faults turns the validator's tree into lines, each with its path.
func (s *schema) faults(err error) error {
	var top *jsonschema.ValidationError
	if !errors.As(err, &top) {
		return fmt.Errorf("settings: %w", err)
	}
	var lines []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			lines = append(lines, s.lines(e)...)
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(top)
	slices.Sort(lines)
	var all []error
	for _, l := range slices.Compact(lines) {
		all = append(all, errors.New(l))
	}
	return errors.Join(all...)
}

// lines says what is wrong in one place and what would be right. It quotes
// names and types, no values: a secret may have strayed among them.
func (s *schema) lines(e *jsonschema.ValidationError) (lines []string) {
	path := strings.Join(append([]string{"settings"}, e.InstanceLocation...), ".")
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			lines = append(lines, path+"."+name+": missing")
		}
		return lines
	case *kind.AdditionalProperties:
		known := ""
		if properties, _ := s.text["properties"].(map[string]any); len(e.InstanceLocation) == 0 {
			known = "; known are: " + strings.Join(slices.Sorted(maps.Keys(properties)), ", ")
		}
		for _, name := range k.Properties {
			lines = append(lines, path+"."+name+": unknown"+known)
		}
		return lines
	case *kind.Type:
		return []string{fmt.Sprintf("%s: this is of type %s; use %s", path, k.Got, strings.Join(k.Want, " or "))}
	case *kind.Enum:
		return []string{fmt.Sprintf("%s: use one of %v", path, k.Want)}
	case *kind.Const:
		return []string{fmt.Sprintf("%s: use %v", path, k.Want)}
	case *kind.Format:
		return []string{fmt.Sprintf("%s: this is no %s", path, k.Want)}
	case *kind.Pattern:
		return []string{fmt.Sprintf("%s: this does not match %s", path, strconv.Quote(k.Want))}
	}
	return []string{path + ": " + e.ErrorKind.LocalizedString(message.NewPrinter(language.English))}
}
