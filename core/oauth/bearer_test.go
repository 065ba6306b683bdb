package oauth_test

import (
	"errors"
	"testing"

	"github.com/sallyport/sallyport/core/oauth"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		header []string
		query  string
		token  string
		none   bool // ErrNoBearer
		wrong  bool // invalid_request
	}{
		"a token":               {header: []string{"Bearer sp_at_x"}, token: "sp_at_x"},
		"in lower case":         {header: []string{"bearer  sp_at_x "}, token: "sp_at_x"},
		"nothing":               {},
		"another scheme":        {header: []string{"Basic c3BfYXRfeA=="}, none: true},
		"a scheme alone":        {header: []string{"Bearer"}, none: true},
		"an empty header":       {header: []string{""}, none: true},
		"two headers":           {header: []string{"Bearer a", "Bearer b"}, wrong: true},
		"a token in the URL":    {query: "a=b&access_token=sp_at_x", wrong: true},
		"a token in both":       {header: []string{"Bearer a"}, query: "access_token=a", wrong: true},
		"another query is fine": {header: []string{"Bearer a"}, query: "cursor=b", token: "a"},
	} {
		token, err := oauth.Bearer(c.header, c.query)
		fault, isFault := errors.AsType[*oauth.Error](err)
		if token != c.token || errors.Is(err, oauth.ErrNoBearer) != c.none || isFault != c.wrong || isFault && fault.Code != oauth.InvalidRequest {
			t.Errorf("%s: %q, %v", what, token, err)
		}
	}
}
