// Package audit writes one JSON line for every decision: who was let in, who
// was not, and why. It owns the words for the decisions, the shape of the line,
// the queue between a request and the file, and how many lines of refusals one
// sender can cause; it leaves deciding to the endpoints and opening the file to
// the program. No secret has a place in an Event: tokens, codes and credentials
// are named by the id of their grant.
package audit

import "github.com/sallyport/sallyport/core/upstream"

// Action names a decision.
type Action string

// The actions.
const (
	Registered    Action = "client_registered"
	ClientDeleted Action = "client_deleted"    // by the client itself, RFC 7592
	Refused       Action = "authorize_refused" // an authorization request that was not valid
	Consented     Action = "consent_given"
	Denied        Action = "consent_denied"
	SignedIn      Action = "signed_in"    // to the connections page
	LoginFailed   Action = "login_failed" // the upstream login ended without a credential
	// AccountRefused: the login succeeded, with an account that the tenant does
	// not admit.
	AccountRefused Action = "account_refused"
	CodeIssued     Action = "code_issued"
	TokenIssued    Action = "token_issued"
	Refreshed      Action = "token_refreshed"
	Exchanged      Action = "token_exchanged" // a resource server got the upstream token
	TokenRefused   Action = "token_refused"   // at the token endpoint
	Revoked        Action = "token_revoked"
	// The acts of an operator; the line names the user id of the process.
	GrantsListed    Action = "grants_listed"
	ClientsListed   Action = "clients_listed"
	ClientBlocked   Action = "client_blocked"
	ClientUnblocked Action = "client_unblocked"
	TenantAccepted  Action = "tenant_accepted" // a change of its upstream identity
	BackedUp        Action = "store_backed_up"
	Restored        Action = "store_restored"

	Ended         Action = "grant_ended"        // by its user, on the connections page, or by an operator
	RevokeRefused Action = "revocation_refused" // nothing was revoked; unknown tokens get a good answer all the same
	Limited       Action = "rate_limited"       // requests one too many; at most a line a minute for each sender and tenant
	Rejected      Action = "access_rejected"
	Renewed       Action = "upstream_renewed"
	RenewFailed   Action = "upstream_renew_failed"
	UpstreamDead  Action = "upstream_dead"    // the upstream ended the credential, and the grant with it
	Egress        Action = "upstream_request" // a plugin had a request sent, or refused
	// UpstreamRevokeFailed: the grant ended here, its credential may live on at
	// the upstream.
	UpstreamRevokeFailed Action = "upstream_revoke_failed"
	// Dropped: Omitted lines are missing here, because the log took none while
	// they came.
	Dropped Action = "audit_dropped"
)

// Event is one decision.
type Event struct {
	Action   Action
	Tenant   string
	Client   string            // hash of the client id, as in the grant
	Server   string            // id of the resource server that asked
	Subject  string            // the account at the upstream
	Upstream upstream.Identity // whose account it is
	Grant    string
	Reason   string // for refusals
	Address  string // of the sender, where nothing else is known of it
	Provider string // of a request to an upstream
	Host     string // of the same
	Operator string // the process of an operator that asked, by its user id
	// Omitted is how many lines like this one were left out, see Log.Refuse.
	Omitted uint64
}
