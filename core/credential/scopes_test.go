package credential

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// A renewal names the scopes that the login asked the upstream for, among them
// offline_access, which no client is granted.
func TestRenewalNamesTheScopesOfTheLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		w.tenant.Scopes = []string{"read", "offline_access"}
		var asked []string
		w.provider.refresh = func(_ context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
			asked = req.Scopes
			return credential("new", time.Hour), nil
		}
		live := w.live(t)
		live.Record.Scopes = []string{"read"}
		if _, err := w.keeper().Fresh(t.Context(), w.tenant, live); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(asked, " "); !strings.Contains(got, "offline_access") {
			t.Errorf("the upstream is asked for %q at the renewal", got)
		}
	})
}
