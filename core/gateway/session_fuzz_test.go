package gateway

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/seal"
)

// FuzzSessionID: whatever a client presents, what is taken for a bound id is one
// that was issued for that backend and account, byte for byte.
func FuzzSessionID(f *testing.F) {
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		f.Fatal(err)
	}
	p := seal.Purpose{Use: "mcp-session", Tenant: "t"}
	for _, presented := range []string{"", ".", "s-1", "s-1.", "a.b.c", "s-1.AAAAAAAAAAAAAAAAAAAAAAAAAAA", strings.Repeat("x", 2000) + "."} {
		f.Add(presented, "", "ada")
	}
	f.Add("s", "admin", "")
	f.Fuzz(func(t *testing.T, presented, backend, account string) {
		tag := keys.Tag(p, sessionMessage(backend, account, presented))
		id, got := splitSession(presented + "." + base64.RawURLEncoding.EncodeToString(tag))
		if presented != "" && (id != presented || !keys.CheckTag(p, sessionMessage(backend, account, id), got)) {
			t.Errorf("an id that was issued is not taken: %q", presented)
		}
		if keys.CheckTag(p, sessionMessage(backend+"x", account, id), got) || keys.CheckTag(p, sessionMessage(backend, account+"x", id), got) ||
			keys.CheckTag(p, sessionMessage(account, backend, id), got) && account != backend {
			t.Error("an id of another backend or account is taken")
		}
		if id, got := splitSession(presented); keys.CheckTag(p, sessionMessage(backend, account, id), got) {
			t.Errorf("%q is taken, and was not issued", presented)
		}
	})
}
