package seal

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestSecretCannotPrint(t *testing.T) {
	t.Parallel()
	const value = "tell-nobody"
	s := NewSecret(value)
	type open struct{ Token Secret }
	type hidden struct{ token Secret }
	values := map[string]any{
		"bare": s, "pointer": &s, "field": open{s}, "hidden field": hidden{s}, "pointer to hidden": &hidden{s},
		"slice": []Secret{s}, "map": map[string]Secret{"k": s}, "key": map[Secret]int{s: 1}, "nested": []any{hidden{s}, open{s}},
	}
	var texts []string
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t"} {
			texts = append(texts, name+" "+verb+" "+fmt.Sprintf(verb, v))
		}
		if b, err := json.Marshal(v); err == nil {
			texts = append(texts, name+" json "+string(b))
		}
		for _, asJSON := range []bool{true, false} {
			var out bytes.Buffer
			hclog.New(&hclog.LoggerOptions{Output: &out, JSONFormat: asJSON}).Error("m", "k", v)
			texts = append(texts, name+" hclog "+out.String())
		}
	}
	if b, err := xml.Marshal(open{s}); err == nil {
		texts = append(texts, "xml "+string(b))
	}
	for _, text := range texts {
		if strings.Contains(text, value) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", value)) {
			t.Errorf("printed: %s", text)
		}
	}
	if fmt.Sprint(s) != redacted {
		t.Errorf("placeholder %s", s)
	}
}

func TestSecretValue(t *testing.T) {
	t.Parallel()
	s := NewSecret("a")
	if s.Reveal() != "a" || s.IsZero() || !s.Equal("a") || s.Equal("b") || s.Equal("") || s.Equal("aa") {
		t.Error("a secret is not its value")
	}
	var zero Secret
	if !zero.IsZero() || !NewSecret("").IsZero() || zero.Reveal() != "" || !zero.Equal("") || zero.Equal("a") {
		t.Error("the zero secret is not empty")
	}
}
