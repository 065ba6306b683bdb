package pages

import (
	"net/http"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Of returns what a page shows of t, which is nil on a page of no tenant's.
func Of(t *tenant.Tenant) Tenant {
	if t == nil {
		return Tenant{}
	}
	return Tenant{
		Name: t.DisplayName, UpstreamName: t.Provider.Describe().DisplayName,
		ConnectionsURL: t.Issuer + tenant.ConnectionsPath, Look: t.Look,
	}
}

// ScopesOf puts scopes of t's upstream into words.
func ScopesOf(t *tenant.Tenant, names []string) []Scope {
	about := t.Provider.Describe()
	var scopes []Scope
	for _, name := range names {
		scopes = append(scopes, Scope{Name: name, Text: about.ScopeText[name]})
	}
	return scopes
}

// Fault answers a request of a person that failed. The page says what
// oauth.AsError lets a client know, and nothing of the cause.
func (p *Pages) Fault(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, err error) {
	fault := oauth.AsError(err)
	status := fault.StatusCode()
	if status == http.StatusUnauthorized {
		status = http.StatusBadRequest // a browser has nothing to authenticate with here
	}
	page := Error{
		Tenant: Of(t), Status: status,
		Title:     "This login cannot go on",
		Message:   sentence(fault.Description),
		Hint:      "Go back to your application. If it is not connected there, start again.",
		RequestID: middleware.GetReqID(r.Context()),
	}
	if fault.RetryAfter > 0 {
		fault.SetRetryAfter(w.Header())
		page.Title, page.Hint = "This has to wait", "Then load this page again."
	}
	p.Error(w, page)
}
