package sdktest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
)

// shortest is the length in bytes below which a secret may be part of any
// text.
const shortest = 4

// secretNames are the members and parameters whose values are secrets.
var secretNames = []string{
	"access_token", "refresh_token", "id_token", "token", "client_secret", "code", "code_verifier", "device_code", "password", "secret",
}

// secret is a value and the name that gave it away.
type secret struct{ name, value string }

// secretsIn returns the secrets of a JSON text or a form, in a fixed order.
func secretsIn(text []byte) []secret {
	var v any
	if json.Unmarshal(text, &v) == nil {
		return walk(nil, v)
	}
	form, err := sdk.ParseForm(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		return nil
	}
	var found []secret
	for _, pair := range form {
		found = addSecret(found, pair[0], pair[1])
	}
	return found
}

func walk(found []secret, v any) []secret {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			found = walk(addSecret(found, name, v[name]), v[name])
		}
	case []any:
		if len(v) == 2 { // perhaps a parameter of a callback
			name, _ := v[0].(string)
			found = addSecret(found, name, v[1])
		}
		for _, item := range v {
			found = walk(found, item)
		}
	}
	return found
}

func addSecret(found []secret, name string, value any) []secret {
	if s, ok := value.(string); ok && s != "" && slices.Contains(secretNames, name) {
		found = append(found, secret{name, s})
	}
	return found
}

// redactor replaces secrets by names that say what they were.
type redactor struct {
	replace map[string]string // a value, as it may be written, to what stands for it
	counts  map[string]int
}

func newRedactor() *redactor {
	return &redactor{replace: map[string]string{}, counts: map[string]int{}}
}

// add makes names for secrets that have none yet.
func (r *redactor) add(secrets []secret) error {
	for _, s := range secrets {
		if _, known := r.replace[s.value]; known || s.value == "" {
			continue
		}
		if len(s.value) < shortest {
			return fmt.Errorf("a %s of %d bytes is too short to be told from other text", s.name, len(s.value))
		}
		r.counts[s.name]++
		alias := fmt.Sprintf("%s-%d", strings.ReplaceAll(s.name, "_", "-"), r.counts[s.name])
		if parts := strings.Split(s.value, "."); s.name == "id_token" && len(parts) == 3 {
			// The claims are what the transcript is about; without its
			// signature the token opens nothing.
			alias = parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
		}
		quoted, err := json.Marshal(s.value)
		if err != nil {
			return err
		}
		for _, spelling := range []string{
			s.value, url.QueryEscape(s.value), url.PathEscape(s.value), sdk.PathEscape(s.value), strings.Trim(string(quoted), `"`),
		} {
			r.replace[spelling] = alias
		}
	}
	return nil
}

// text returns text without the secrets; where one is part of another, the
// longer one is replaced.
func (r *redactor) text(text string) string {
	spellings := slices.SortedFunc(maps.Keys(r.replace), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var pairs []string
	for _, s := range spellings {
		pairs = append(pairs, s, r.replace[s])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
