package profiles

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// TestClientsConnect has every client connect, refresh and find back, at a
// tenant of either layout.
func TestClientsConnect(t *testing.T) {
	t.Parallel()
	for _, p := range slices.Concat(websites(), apps()) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			n := p.internet(t)
			for _, l := range layouts {
				t.Run(l.name, func(t *testing.T) {
					c := newClient(t, n, p, l.issuer)
					must(t, "connect", c.connect())
					must(t, "refresh", c.refreshTwice())
					must(t, "ended grant", c.findBack(l.tenant))
					if c.reg != nil {
						must(t, "ended registration", c.registerAgain())
					}
				})
			}
		})
	}
}

// internet returns one in which the client can be met.
func (p profile) internet(t *testing.T) *internet {
	t.Helper()
	published := map[string]string{}
	if p.document != "" {
		published[strings.TrimPrefix(p.document, "https://")] = p.published
	}
	if strings.Contains(p.token, "{assertion}") {
		published["chatgpt.com/oauth/jwks.json"] = jwks(t)
	}
	return newInternet(t, published, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		for _, at := range tenants {
			at.ClientDocuments.Off = p.noDocument
			if p.preset[0] != "" {
				at.Clients = []tenant.Client{{ID: p.preset[0], Name: p.name, Secret: seal.NewSecret(p.preset[1]), RedirectURIs: []string{p.redirect}}}
			}
		}
	})
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// refreshTwice refreshes, and then with the token of before, as clients do that
// refresh from two processes or lose an answer. Both answers have to be good.
func (c *client) refreshTwice() error {
	before := c.learned["refresh_token"]
	for range 2 {
		c.learned["refresh_token"] = before
		a, err := c.post(c.refresh)
		if err == nil {
			err = c.keep(a)
		}
		if err != nil {
			return err
		}
		if c.learned["refresh_token"] == before {
			return errors.New("the refresh token was not rotated")
		}
		if err := c.call(); err != nil {
			return err
		}
	}
	return nil
}

// findBack ends the grant. The client is challenged, its refresh token is worth
// nothing any more, and it sends its user to log in again: as the client it is,
// without registering.
func (c *client) findBack(tenantName string) error {
	if _, err := c.Core.Grants().DeleteAll(c.t.Context(), tenantName); err != nil {
		return err
	}
	a, err := c.message(atCall, toolCall, c.learned["access_token"])
	if err == nil {
		err = c.readChallenge(a, "invalid_token")
	}
	if err != nil {
		return err
	}
	if err := c.refused(c.refresh, http.StatusBadRequest, "invalid_grant"); err != nil {
		return err
	}
	if err := c.logInWith(cmp.Or(c.reconnect, c.authorize)); err != nil {
		return err
	}
	if err := c.redeem(); err != nil {
		return err
	}
	return c.call()
}

// refused sends a token request that has to fail in this way: it is what the
// client decides by what to throw away.
func (c *client) refused(template string, status int, code string) error {
	a, err := c.post(template)
	if err != nil {
		return err
	}
	m, err := c.strict.object(a, status)
	if err != nil {
		return err
	}
	if m["error"] != code || a.Header.Get("Cache-Control") != "no-store" {
		return fmt.Errorf("refused with %v, %q, expected %s", m["error"], a.Header.Get("Cache-Control"), code)
	}
	return nil
}

// registerAgain ends the registration. The client is told that it is unknown,
// registers anew and logs in.
func (c *client) registerAgain() error {
	uri, _ := c.reg["registration_client_uri"].(string)
	token, _ := c.reg["registration_access_token"].(string)
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodDelete, uri, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if a := c.Do(c.t, c.program(), req); a.Status != http.StatusNoContent {
		return fmt.Errorf("the registration is not deleted: %d %s", a.Status, a.Body)
	}
	if err := c.refused(c.refresh, http.StatusUnauthorized, "invalid_client"); err != nil {
		return err
	}
	old := c.learned["client_id"]
	c.reg = nil
	if err := c.connect(); err != nil {
		return err
	}
	if c.learned["client_id"] == old {
		return errors.New("the client has its old id again")
	}
	return nil
}
