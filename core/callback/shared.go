package callback

import (
	"net/http"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/tenant"
)

// Dispatch answers an address that is the redirect URI of several tenants, for
// upstreams whose apps have one. It decides nothing: it sends the browser on to
// the callback of the tenant that the state names, with the query as it came,
// because only there are the cookies that say whether the answer is this
// browser's. Whoever makes up a state gets to a tenant's callback, where one
// can go without it.
func Dispatch(w http.ResponseWriter, r *http.Request, sharing map[string]*tenant.Tenant) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return &oauth.Error{Code: oauth.InvalidRequest, Status: http.StatusMethodNotAllowed, Description: "Only a browser that comes back from a login is answered here."}
	}
	t := sharing[session.TenantOf(r.URL.Query().Get("state"))]
	if t == nil {
		return withAnswer(session.ErrGone, r.URL.Query())
	}
	h := w.Header()
	h.Set("Location", t.Callback()+"?"+r.URL.RawQuery) // with the code in it: neither to be kept nor told
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusFound)
	return nil
}
