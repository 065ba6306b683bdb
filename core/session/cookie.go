package session

import (
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/tenant"
)

// cookie is the name of a kind of cookie.
type cookie string

const (
	formCookie    cookie = "sp_form"  // one a browser
	browserCookie cookie = "sp_tx_"   // one a login: the start of its id follows
	visitorCookie cookie = "sp_user_" // one a tenant, whose name follows
)

// start is the part of a session's id that tells the cookies of logins apart.
func start(id string) string { return id[:min(len(id), 12)] }

// name of the cookie with what follows the kind. With the __Host- prefix no
// neighbouring host can plant one (RFC 6265bis §4.1.3.2); it needs https,
// which only a tenant on loopback may be without.
func (c cookie) name(t *tenant.Tenant, suffix string) string {
	name := string(c) + suffix
	if t.Secure() {
		return "__Host-" + name
	}
	return name
}

func (c cookie) read(r *http.Request, t *tenant.Tenant, suffix string) string {
	got, err := r.Cookie(c.name(t, suffix))
	if err != nil {
		return ""
	}
	return got.Value
}

// set sends the cookie for a lifetime of whole seconds.
func (c cookie) set(w http.ResponseWriter, t *tenant.Tenant, suffix, value string, life time.Duration) {
	c.send(w, t, suffix, value, max(int(life/time.Second), 1))
}

// remove tells the browser to forget the cookie.
func (c cookie) remove(w http.ResponseWriter, t *tenant.Tenant, suffix string) {
	c.send(w, t, suffix, "", -1) // net/http's spelling of Max-Age=0
}

// send writes the cookie. Lax lets it through on the way back from the
// upstream, which is a top-level navigation.
func (c cookie) send(w http.ResponseWriter, t *tenant.Tenant, suffix, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure wherever there is https; a tenant on loopback has none
		Name: c.name(t, suffix), Value: value, Path: "/",
		MaxAge: maxAge, HttpOnly: true, Secure: t.Secure(), SameSite: http.SameSiteLaxMode,
	})
}
