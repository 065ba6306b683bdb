package tenant

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"Authorization", "token {token}", "token <token>"},
		{"X", "{token}{assertion}", "<token><assertion>"},
		{"X", "a{tenant}b{subject} {account}/{client}?{scope}", "a<tenant>b<subject> <account>/<client>?<scope>"},
		{"X-Api-Key", "plain", "plain"},
		{"Cookie", "session={token}", "session=<token>"},

		{"X", "", ""}, {"X", " a", ""}, {"X", "a ", ""}, {"X", "a\r\nb", ""}, {"X", "ä", ""}, {"X", "a\x00", ""},
		{"X", "{", ""}, {"X", "{token", ""}, {"X", "{Token}", ""}, {"X", "{ token }", ""}, {"X", "{}", ""}, {"X", "{{token}}", ""},
		{"", "a", ""}, {"a b", "a", ""}, {"a:b", "a", ""}, {"Host", "a", ""}, {"content-length", "1", ""}, {"Transfer_Encoding", "a", ""},
		{"Mcp-Session-Id", "a", ""}, {"Connection", "a", ""}, {"X-Forwarded-For", "{subject}", ""}, {"Origin", "a", ""},
	} {
		h, err := ParseHeader(c.name, c.value)
		if err != nil {
			if c.want != "" {
				t.Errorf("%s: %q: %v", c.name, c.value, err)
			}
			if c.value != "" && strings.Contains(err.Error(), c.value) && len(c.value) > 4 {
				t.Errorf("the error repeats the value: %v", err)
			}
			continue
		}
		got, err := h.Value.Expand(func(p Placeholder) (string, error) { return "<" + string(p) + ">", nil })
		if got != c.want || err != nil {
			t.Errorf("%s: %q: %q, %v", c.name, c.value, got, err)
		}
	}
}

func TestTemplateNeedsAUserForAllButTheTenant(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"plain": false, "{tenant}": false, "{token}": true, "{tenant}{assertion}": true, "{subject}": true, "{account}": true, "{client}": true, "{scope}": true,
	} {
		if h, err := ParseHeader("X", value); err != nil || h.Value.NeedsUser() != want {
			t.Errorf("%s: %v", value, !want)
		}
	}
	failure := errors.New("no")
	h, _ := ParseHeader("X", "{token}")
	if _, err := h.Value.Expand(func(Placeholder) (string, error) { return "", failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}

func TestTemplatesTextDoesNotPrint(t *testing.T) {
	t.Parallel()
	h, err := ParseHeader("X-Api-Key", "hush {token}")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, h); strings.Contains(s, "hush") {
			t.Errorf("%s: %s", verb, s)
		}
	}
}

func TestNamesOfHeadersFold(t *testing.T) {
	t.Parallel()
	for name, same := range map[string]bool{
		"X-Api-Key": true, "x_api_key": true, "X-API_Key": true, "X-Api-Keys": false, "X-Api": false, "XxApi-Key": false, "": false,
	} {
		if SameHeader("X-Api-Key", name) != same {
			t.Errorf("%q: %v", name, !same)
		}
	}
}
