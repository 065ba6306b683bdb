package oauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		basic [2]string // as they stand in the header; none: no header
		body  url.Values
		want  string // readings of id and secret, or the code of the error
	}{
		"in the header":               {[2]string{"api", "s"}, nil, "[api] [s]"},
		"in the body":                 {[2]string{}, url.Values{"client_id": {"api"}, "client_secret": {"s+%"}}, "[api] [s+%]"},
		"no secret":                   {[2]string{"api", ""}, nil, "[api] []"},
		"encoded, or not":             {[2]string{"a%2Fb", "s+t"}, nil, "[a/b a%2Fb] [s t s+t]"},
		"no encoding":                 {[2]string{"api", "100%"}, nil, "[api] [100%]"},
		"id in both":                  {[2]string{"a%2Fb", "s"}, url.Values{"client_id": {"a/b"}}, "[a/b a%2Fb] [s]"},
		"secret in the body":          {[2]string{"api", ""}, url.Values{"client_secret": {"s"}}, "[api] [s]"},
		"two ids":                     {[2]string{"api", "s"}, url.Values{"client_id": {"other"}}, "invalid_request"},
		"two secrets":                 {[2]string{"api", "s"}, url.Values{"client_secret": {"s"}}, "invalid_request"},
		"nothing":                     {[2]string{}, nil, "invalid_client"},
		"a secret and no id":          {[2]string{}, url.Values{"client_secret": {"s"}}, "invalid_client"},
		"a secret and no id, by head": {[2]string{"", "s"}, nil, "invalid_client"},
		"another scheme":              {[2]string{"Bearer"}, url.Values{"client_id": {"api"}}, "invalid_client"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		switch {
		case c.basic[0] == "Bearer":
			r.Header.Set("Authorization", "Bearer x")
		case c.basic != [2]string{}:
			r.SetBasicAuth(c.basic[0], c.basic[1])
		}
		p, err := FormParams(r)
		if err != nil {
			t.Fatal(err)
		}
		ids, secrets, err := Credentials(r, p)
		got := fmt.Sprint(ids, " ", secrets)
		if err != nil {
			got = string(AsError(err).Code)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
