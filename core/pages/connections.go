package pages

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/sallyport/sallyport/core/tenant"
)

// Connections is where a user sees and ends what they connected.
type Connections struct {
	Tenant
	Notice  Notice
	Request string // the form's state
	// RequestID finds the log line of a sign-in that failed; may be empty.
	RequestID string

	// Action is the form's target, same origin. The form is posted with the
	// field request and one of: do, which is DoSignIn, DoSignOut or DoEndAll;
	// end, which is the ID of a connection.
	Action string

	SignedIn    bool
	AccountName string // who is signed in, in the upstream's words; may be empty
	Connections []Connection
	Partial     bool // there may be more than these
}

// What the field do says.
const (
	DoSignIn  = "sign-in"
	DoSignOut = "sign-out"
	DoEndAll  = "end-all"
)

// Connection is one application's access.
type Connection struct {
	ID         string
	ClientName string // what the client calls itself; chosen by anyone

	// RedirectHost, CustomScheme and Loopback are as in Consent.
	RedirectHost string
	CustomScheme bool
	Loopback     bool

	Scopes                     []Scope
	Created, LastUsed, Expires time.Time
	Pending                    bool // allowed, and not collected by the application yet
	NeedsLogin                 bool // the upstream ended it; the application has to ask the user again
}

// Notice is the outcome of what the user did before the page was shown. It
// travels in the address, so it is one of a few words and never a text.
type Notice string

// The notices.
const (
	NoNotice     Notice = ""
	Ended        Notice = "ended"
	AllEnded     Notice = "all-ended"
	SignedOut    Notice = "signed-out"
	SignInFailed Notice = "sign-in-failed"
	Stale        Notice = "stale" // the form was too old or from elsewhere: nothing was done
)

const (
	noticeParam  = "notice"
	requestParam = "id"
)

// requestForm is what core makes of 9 random bytes.
var requestForm = regexp.MustCompile(`^[A-Za-z0-9_-]{12}$`)

// NoticeOf returns the notice that a request for the page carries.
func NoticeOf(r *http.Request) Notice {
	switch n := Notice(r.URL.Query().Get(noticeParam)); n {
	case Ended, AllEnded, SignedOut, SignInFailed, Stale:
		return n
	}
	return NoNotice
}

// FailedRequestOf returns the id of the request of a sign-in that failed, which a
// request for the page carries, or the empty string. Anything else than an id is
// left out: the address is not only the server's to write.
func FailedRequestOf(r *http.Request) string {
	id := r.URL.Query().Get(requestParam)
	if NoticeOf(r) != SignInFailed || !requestForm.MatchString(id) {
		return ""
	}
	return id
}

// SeeSignInFailed sends the browser to t's connections page, which shows the id
// of the request that failed: the log has the reason under it.
func SeeSignInFailed(w http.ResponseWriter, t *tenant.Tenant, requestID string) {
	see(w, t, url.Values{noticeParam: {string(SignInFailed)}, requestParam: {requestID}})
}

// SeeConnections sends the browser to t's connections page, by GET whatever the
// method of this request (303), so that reloading repeats nothing. Nothing that
// came with a request has a part in the address.
func SeeConnections(w http.ResponseWriter, t *tenant.Tenant, n Notice) {
	var query url.Values
	if n != NoNotice {
		query = url.Values{noticeParam: {string(n)}}
	}
	see(w, t, query)
}

func see(w http.ResponseWriter, t *tenant.Tenant, query url.Values) {
	to := t.Issuer + tenant.ConnectionsPath
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// Connections answers 200 with the connections page.
func (p *Pages) Connections(w http.ResponseWriter, d Connections) {
	d.ConnectionsURL = "" // this is where it leads
	p.render(w, http.StatusOK, p.connections, d.Tenant, d)
}
