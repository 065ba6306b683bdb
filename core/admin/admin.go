// Package admin is how an operator's commands look at and change the state of
// a deployment. It owns the operations on stored records (Records), the unix
// socket at which a running server answers them (Listen, Handler), and the
// client of that socket (Client). What needs plugins or the configuration the
// caller supplies as functions; the commands themselves belong to cmd/sallyport.
//
// Every operation that changes or exports state is audited with the user id of
// the process that asked, which the kernel reports for a unix socket.
package admin

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Actor is who asks: a process of this machine.
type Actor struct{ UID int }

// String is for the audit log.
func (a Actor) String() string { return "uid " + strconv.Itoa(a.UID) }

// Grant is a grant as the commands print it. It contains no secret.
type Grant struct {
	Tenant      string    `json:"tenant"`
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Account     string    `json:"account"`
	AccountName string    `json:"account_name,omitempty"`
	Client      string    `json:"client"` // hash of the client id, as in the audit log
	ClientName  string    `json:"client_name,omitempty"`
	RedirectURI string    `json:"redirect_uri"`
	Scopes      []string  `json:"scopes"`
	Created     time.Time `json:"created"`
	LastUsed    time.Time `json:"last_used"`
	Expires     time.Time `json:"expires"`
	// Refused is why the state is refused, and empty in every other: not_before
	// (revoked by time), gone (its time is over) or other_upstream.
	Refused string `json:"refused,omitempty"`
	// LoginReason is why the state is needs_login, and nil in every other.
	LoginReason *LoginReason `json:"login_reason,omitempty"`
}

// LoginReason is what the upstream refused a renewal for.
type LoginReason struct {
	Kind   string    `json:"kind"`
	Detail string    `json:"detail,omitempty"`
	Since  time.Time `json:"since"`
}

// GrantFilter selects grants. Empty fields select all.
type GrantFilter struct {
	Tenant  string `json:"tenant,omitempty"`
	Account string `json:"account,omitempty"` // id at the upstream
}

// Revocation names what to end: one grant by its ID, or every grant of Account.
type Revocation struct {
	Tenant  string `json:"tenant"`
	ID      string `json:"id,omitempty"`
	Account string `json:"account,omitempty"`
}

// Ended is how many grants an operation ended.
type Ended struct {
	Grants int `json:"grants"`
}

// Client is a client that has grants or is blocked.
type Client struct {
	Tenant   string     `json:"tenant"`
	Client   string     `json:"client"` // hash of the client id
	Name     string     `json:"name,omitempty"`
	Grants   int        `json:"grants"`              // that have not ended
	LastUsed *time.Time `json:"last_used,omitempty"` // nil: no grant
	Blocked  *time.Time `json:"blocked,omitempty"`   // since when; nil: not blocked
}

// ClientRef names a client of a tenant: by its id, or by the hash of its id.
type ClientRef struct {
	Tenant string `json:"tenant"`
	Client string `json:"client"`
	Force  bool   `json:"force,omitempty"` // also a hash or an id that is not known
}

// Blocked is the outcome of blocking or unblocking a client.
type Blocked struct {
	Client  string `json:"client"` // hash of the client id
	Name    string `json:"name,omitempty"`
	Grants  int    `json:"grants"`  // ended
	Changed bool   `json:"changed"` // false: it was so before
}

// Server is what a running server says about itself.
type Server struct {
	Replica string `json:"replica"`
	Version string `json:"version"`
	Tenants int    `json:"tenants"`
}

// StoreState is the outcome of the start check of the server's store.
type StoreState struct {
	Place    string   `json:"place"` // file or addresses, without a secret
	Warnings []string `json:"warnings,omitempty"`
}

// Operations are what both a running server (Remote) and an opened store
// (Records) can do.
type Operations interface {
	// Grants calls f with each grant that the filter selects, one after the
	// other. It returns by tenant how many grants the server keys cannot open.
	Grants(ctx context.Context, only GrantFilter, f func(Grant) error) (unreadable map[string]int, err error)
	// Revoke ends grants. An id that names no grant is an error.
	Revoke(ctx context.Context, r Revocation) (Ended, error)
	// Clients returns the clients of a tenant that have grants or are blocked.
	Clients(ctx context.Context, tenantName string) ([]Client, error)
	// Block blocks a client and ends its grants.
	Block(ctx context.Context, c ClientRef) (Blocked, error)
	// Unblock ends a block. The client's grants stay ended.
	Unblock(ctx context.Context, c ClientRef) (Blocked, error)
}

// RequestError is an operation that cannot be done as it was asked for. The
// text is for the operator.
type RequestError struct{ Text string }

// Error implements error.
func (e *RequestError) Error() string { return e.Text }

// ErrNoServer reports that no server answers at the socket.
var ErrNoServer = errors.New("no server answers at the admin socket")
