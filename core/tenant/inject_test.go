package tenant

import (
	"errors"
	"fmt"
	"regexp"
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

// separators are the characters of a field name that are neither letters nor
// digits (RFC 9110 §5.6.2).
const separators = "!#$%&'*+-.^_`|~"

// asCGI is the variable that a CGI program finds a header in.
func asCGI(name string) string {
	return "HTTP_" + strings.ToUpper(regexp.MustCompile("[^A-Za-z0-9]").ReplaceAllString(name, "_"))
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
	for _, a := range separators {
		for _, b := range separators {
			name := "x" + string(a) + "API" + string(b) + "Key"
			if !SameHeader("X-Api-Key", name) || !HeaderBegins(name, "X-Api-") {
				t.Errorf("%q is not taken for X-Api-Key, as a CGI program does", name)
			}
			if CanCross(name) != (a == '-' && b == '-') {
				t.Errorf("%q may reach a backend: %v", name, CanCross(name))
			}
		}
	}
}

func FuzzHeaderNames(f *testing.F) {
	f.Add("X.Sallyport.Assertion", "X-Sallyport-Assertion")
	f.Add("x_user", "X.User")
	f.Add("X-User-", "X-User")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !headerForm.MatchString(a) || !headerForm.MatchString(b) {
			return // no server takes such a name
		}
		if same := asCGI(a) == asCGI(b); SameHeader(a, b) != same {
			t.Errorf("%q and %q: one for the gateway %v, for a CGI program %v", a, b, !same, same)
		}
		if begins := strings.HasPrefix(asCGI(a), asCGI(b)); HeaderBegins(a, b) != begins {
			t.Errorf("%q begins with %q: for the gateway %v, for a CGI program %v", a, b, !begins, begins)
		}
		if CanCross(a) && CanCross(b) && asCGI(a) == asCGI(b) && !strings.EqualFold(a, b) {
			t.Errorf("%q and %q both reach a backend that reads them as one", a, b)
		}
	})
}
