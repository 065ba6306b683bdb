package resource

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/oauth"
)

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	c, now := newCache[int](), time.Now()
	used := keyOf("used")
	c.put(used, -1, now.Add(time.Hour))
	for i := range 4 * cacheSize {
		c.put(keyOf(fmt.Sprint(i)), i, now.Add(time.Hour))
		if i%(cacheSize/4) == 0 {
			if v, ok := c.get(used, now); v != -1 || !ok {
				t.Fatalf("forgotten after %d others", i)
			}
		}
	}
	if n := len(c.young) + len(c.old); n > cacheSize {
		t.Errorf("%d entries", n)
	}
	if v, ok := c.get(used, now.Add(time.Hour)); ok {
		t.Errorf("beyond its time: %d", v)
	}
	c.drop(used)
	if _, ok := c.get(used, now); ok {
		t.Error("dropped and still there")
	}
}

// FuzzIntrospection: whatever an issuer says, a user has a name and an end.
func FuzzIntrospection(f *testing.F) {
	const own, iss = "https://tools.example.com/mcp", "https://sallyport.example.com/music"
	f.Add(`{"active":true,"sub":"ada","scope":"read  write","exp":4000000000,"aud":"` + own + `","iss":"` + iss + `"}`)
	f.Add(`{"active":true,"sub":"ada","exp":4e9,"aud":["x","` + own + `/"],"iss":"` + iss + `"}`)
	f.Add(`{"active":true,"aud":[]}`)
	f.Add(`{"active":"true","aud":null}`)
	f.Add(`[]`)
	i := newIssuer(Config{Issuer: iss, Resource: own, Log: hclog.NewNullLogger(), Now: time.Now})
	f.Fuzz(func(t *testing.T, text string) {
		u, err := i.read([]byte(text))
		if err != nil {
			if oauth.AsError(err).Code == oauth.ServerError { // not one of ours
				t.Errorf("%v", err)
			}
			return
		}
		if u.Subject == "" || u.Expires.Unix() <= 0 || strings.Contains(strings.Join(u.Scopes, ""), " ") {
			t.Errorf("%q makes %+v", text, u)
		}
	})
}
