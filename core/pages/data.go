package pages

import (
	"net/http"

	"github.com/sallyport/sallyport/core/tenant"
)

// Tenant is what every page shows of its tenant.
type Tenant struct {
	Name         string // display name; may be empty on an Error about no tenant
	UpstreamName string // display name of the service the user logs in at
	// ConnectionsURL is where the user sees and ends what is connected.
	ConnectionsURL string
	Look           tenant.Look
}

// Scope is one permission that is asked for.
type Scope struct {
	Name string // as in the protocol
	Text string // in words; if empty the name stands alone
}

// Consent is the question put to the user before the upstream is contacted.
type Consent struct {
	Tenant

	ClientName string // what the client calls itself; chosen by anyone
	ClientHost string // host of the client id metadata document, else empty
	Verified   bool   // the operator registered this client

	// RedirectHost is the host that receives the answer, with its port if it has
	// one and in its ASCII form (RFC 5890 A-labels): other characters are shown
	// escaped, since look-alike letters deceive. For a custom scheme it is the
	// scheme without its colon, and CustomScheme is set.
	RedirectHost string
	CustomScheme bool   // RedirectHost is a scheme that an installed application claims
	Loopback     bool   // RedirectHost is this computer: adds a warning
	RedirectURI  string // the whole redirect URI, shown on request

	Scopes []Scope // granted on approval; may be empty

	// Action is the form's target, same origin. The form is posted with the
	// fields request and decision, which is "approve" or "deny".
	Action  string
	Request string // value of the hidden field request
}

// Continue is the page that answers the consent form and takes the browser
// onward, to the upstream's login or back to the client.
type Continue struct {
	Tenant

	// Target is an absolute URI that the caller has validated. Its scheme may be
	// a client's own.
	Target     string
	TargetName string // what the user knows it by: a service, a host, a scheme
	Denied     bool   // the user denied, and Target tells the client so
}

// Error is a fault told to a person. It never holds the cause.
type Error struct {
	Tenant
	Status    int    // HTTP status, 400-599; anything else is answered as 500
	Title     string // what happened, a few words
	Message   string // what happened, a sentence or two
	Hint      string // what the reader can do; may be empty
	RequestID string // finds the log line; may be empty
}

// Consent answers 200 with the consent page. It shows what the MCP security
// best practices ask for before a proxy with one upstream client id may send
// anybody upstream: who asks, for what, and where the answer goes.
func (p *Pages) Consent(w http.ResponseWriter, d Consent) {
	p.render(w, http.StatusOK, p.consent, d.Tenant, d)
}

// Continue answers 200 with a page that navigates to d.Target by itself and has
// a link for browsers that do not. It is no redirect because Chromium applies
// the consent page's form-action to redirects that follow the form's POST.
//
// A target that is not a URI, or whose scheme runs code, is answered with the
// error page, status 500: the caller let through what it should have refused.
func (p *Pages) Continue(w http.ResponseWriter, d Continue) {
	target, ok := navigable(d.Target)
	if !ok {
		p.Error(w, Error{
			Tenant:  d.Tenant,
			Status:  http.StatusInternalServerError,
			Title:   "This login cannot go on",
			Message: "The address to go to next is not one that is safe to open.",
			Hint:    "Close this page and start again from your application.",
		})
		return
	}
	p.render(w, http.StatusOK, p.cont, d.Tenant, onward{Continue: d, URL: target})
}

// Error answers d.Status with the error page.
func (p *Pages) Error(w http.ResponseWriter, d Error) {
	if d.Status < 400 || d.Status > 599 {
		d.Status = http.StatusInternalServerError
	}
	p.render(w, d.Status, p.fault, d.Tenant, d)
}
