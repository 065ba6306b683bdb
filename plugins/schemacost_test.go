package plugins

import (
	"fmt"
	"strings"
	"testing"
)

// doubling is a schema of less than 1.5 KB whose validation applies 2^n
// subschemas.
func doubling(n int, end string) string {
	defs := fmt.Sprintf(`"d%d":%s`, n, end)
	for i := range n {
		defs += fmt.Sprintf(`,"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/%%24defs/d%d"}]}`, i, i+1, i+1)
	}
	return `{"$ref":"#/$defs/d0","$defs":{` + defs + `}}`
}

func TestSettingsSchemaCostIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ schema, want string }{
		"references that double": {doubling(20, "{}"), "more than 4000 values"},
		"a reference to itself":  {`{"properties":{"a":{"$ref":"#"}}}`, "leads to itself"},
		"two references to each other": {
			`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`, "leads to itself",
		},
		"nested":                    {`{"not":` + strings.Repeat(`{"not":`, 70) + `{}` + strings.Repeat(`}`, 71), "nested deeper"},
		"long":                      {`{"title":"` + strings.Repeat("x", 16<<10) + `"}`, "longer than 16384 bytes"},
		"a pattern with counts":     {`{"properties":{"a":{"pattern":"` + strings.Repeat("(ab){500}", 20) + `"}}}`, "patterns are compiled"},
		"a pattern of names":        {`{"patternProperties":{"` + strings.Repeat("a{1000}", 20) + `":{}}}`, "patterns are compiled"},
		"patterns behind doubling":  {doubling(7, `{"pattern":"(abc){30}"}`), "more than 4000 values"},
		"a long pattern":            {`{"properties":{"a":{"pattern":"` + strings.Repeat("a", 600) + `"}}}`, "pattern longer than 512"},
		"a number of many digits":   {`{"properties":{"a":{"multipleOf":1e-1000000}}}`, "exponent"},
		"enum":                      {`{"properties":{"a":{"enum":[` + strings.Repeat("1,", 5000) + `1]}}}`, "more than 4000 values"},
		"a dynamic reference":       {`{"$dynamicRef":"#x"}`, "uses $dynamicRef"},
		"a reference to an anchor":  {`{"$ref":"#x","$defs":{"x":{"$anchor":"x"}}}`, "refer to a place"},
		"another base of names":     {`{"$id":"https://a.example/s"}`, "uses $id"},
		"an older draft":            {`{"$schema":"http://json-schema.org/draft-04/schema#"}`, "$schema"},
		"the format regex":          {`{"properties":{"a":{"format":"regex"}}}`, "format regex"},
		"a reference with no place": {`{"$ref":"#/$defs/x"}`, "without a target"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parseSchema([]byte(tt.schema)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOrdinarySettingsSchemasPass(t *testing.T) {
	t.Parallel()
	s, err := parseSchema([]byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
		"properties":{"a":{"$ref":"#/$defs/site"},"b":{"$ref":"#/$defs/site"},"tags":{"uniqueItems":true,"items":{"enum":["x","y"]}},
		"pattern":{"type":"string","pattern":"^[a-z0-9-]{1,63}$"},"$ref":{"type":"number","maximum":1e100}},
		"$defs":{"site":{"type":"string","format":"uri"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.fill(map[string]any{"a": "https://a.example", "tags": []any{"x", "y"}, "pattern": "a-1", "$ref": 3}); err != nil {
		t.Error(err)
	}
	if _, _, err := s.fill(map[string]any{"b": "no url"}); err == nil {
		t.Error("a setting that is not a URI passes")
	}
}
