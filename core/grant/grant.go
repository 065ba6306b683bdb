// Package grant owns the one record a login leaves behind and every token that
// points to it. It decides what redeeming a code, refreshing, replaying and
// revoking do to the record, each as one compare-and-swap, and seals the
// upstream credential under a key whose other half is only in the tokens. It
// leaves the wire to the endpoint packages and renewing the credential to
// package credential.
//
//	            redeem                  refresh (current generation)
//	pending ──────────────► active ◄─────────────┐
//	   │                    │ │ └────────────────┘
//	   │                    │ │ the upstream refuses to renew
//	   │                    │ └───────────────► needs_login
//	   │ code again,        │ old refresh token,  │ the next login of this account
//	   ▼ expiry             ▼ code again,         ▼ with this client,
//	 gone                 gone revocation,      gone revocation, expiry
//	                           expiry
package grant

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// State is the stage of a grant's life. A grant that ended is deleted.
type State string

// The states.
const (
	Pending State = "pending" // the code is issued and not redeemed
	Active  State = "active"
	// NeedsLogin: the upstream refuses to renew the credential and only a new
	// login mends it. The tokens are refused; the record stays, with the reason,
	// for the user and the operator to see. A binary that does not know the state
	// refuses the tokens as those of a grant that is not active.
	NeedsLogin State = "needs_login"
)

// Record is the grant as it is stored, inside the envelope that any server key
// opens. Credential and Journal are sealed once more, under a key that needs
// the grant secret.
type Record struct {
	State    State     `json:"state"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"` // code redeemed or token refreshed
	Expires  time.Time `json:"expires"`

	ClientHash  string              `json:"client"` // HashClient of the client id: a sealed id is long
	ClientName  string              `json:"client_name,omitempty"`
	RedirectURI string              `json:"redirect_uri"`
	Challenge   oauth.CodeChallenge `json:"challenge,omitempty"` // pending only
	Resource    string              `json:"resource"`
	Scopes      []string            `json:"scopes"`

	Subject     string `json:"sub"` // the account's stable id at the upstream
	AccountName string `json:"account,omitempty"`
	// Mark says whose it is. Without one a release without identities wrote the
	// record; see tenant.Tenant.Owner.
	upstream.Mark

	Generation uint32    `json:"gen"`               // of the refresh token that counts now
	Rotated    time.Time `json:"rotated,omitzero"`  // when it became that
	CodeProof  string    `json:"proof,omitempty"`   // of the used code's challenge, until codeProof after the login
	Repeats    *Repeats  `json:"repeats,omitempty"` // of the refresh token before it
	Lease      *Lease    `json:"lease,omitempty"`   // who is renewing the credential
	Setback    *Setback  `json:"setback,omitempty"` // what came of renewals that failed
	Renewed    time.Time `json:"renewed"`           // when the upstream issued the credential
	// LoginReason says why the state is NeedsLogin, and is nil in every other.
	LoginReason *LoginReason `json:"login_reason,omitempty"`
	Credential  []byte       `json:"-"` // sealed upstream.Credential
	Journal     []byte       `json:"-"` // sealed answers of an unfinished renewal
}

// ends is when the grant is over at its tenant as it is now: an absolute
// lifetime that was made shorter counts for the grants of before, too.
func (r *Record) ends(t *tenant.Tenant) time.Time {
	if last := r.Created.Add(t.Lifetimes.Absolute); last.Before(r.Expires) {
		return last
	}
	return r.Expires
}

// Lease is the right to renew the credential. It has no end in time: clocks of
// two machines differ, and a clock may jump. Its holder counts Beat up for as
// long as it lives, and who has watched a lease stand still for long enough by
// its own measure may take it over.
type Lease struct {
	Holder string `json:"holder"`
	Since  int64  `json:"since"` // Unix time, by the holder's clock: for how long a token may have been spent
	Beat   uint32 `json:"beat,omitempty"`
}

// Setback is what renewals came to since the last that succeeded. It is in the
// record so that no process asks an upstream that has told another to wait, and
// none sends a token that another may have spent.
type Setback struct {
	Kind      upstream.Kind `json:"kind"`
	NotBefore time.Time     `json:"not_before"` // of the next attempt
	Failures  int           `json:"failures"`
	// Lost is since when the refresh token may be spent: it was sent, and what
	// came back is not known. Zero: it was not.
	Lost time.Time `json:"lost,omitzero"`
}

// Reason says why a token was refused. It goes to the audit log; clients learn
// less.
type Reason string

// The reasons.
const (
	BadToken      Reason = "bad_token"      // not ours, not for this tenant, not for this use, or changed
	Expired       Reason = "expired"        // the token's own time is over
	Gone          Reason = "gone"           // the grant ended
	NotActive     Reason = "not_active"     // a token of a grant whose code was never redeemed
	LoginRequired Reason = "needs_login"    // the upstream refuses to renew: only a new login mends it
	CodeReuse     Reason = "code_reuse"     // the code was redeemed before: the grant is deleted
	CodeUsed      Reason = "code_used"      // the same without proof that it was this client's: nothing ends
	RefreshReuse  Reason = "refresh_reuse"  // an old refresh token came back: the grant is deleted
	WrongClient   Reason = "wrong_client"   // issued to another client
	WrongRedirect Reason = "wrong_redirect" // redeemed with another redirect URI
	WrongResource Reason = "wrong_resource" // meant for another resource
	WrongScope    Reason = "wrong_scope"    // a refresh asked for more than was granted
	WrongVerifier Reason = "wrong_verifier" // PKCE failed
	NotBefore     Reason = "not_before"     // created before a time that the operator set for its scope, see RevokeBefore
	OtherUpstream Reason = "other_upstream" // the tenant's settings lead to another upstream than the login
)

// Refusal is the error for a token that does not count. Every other error of
// this package means that the store could not answer; it is never theft and
// never the client's fault.
type Refusal struct {
	Reason Reason
	Wire   *oauth.Error // what the client is told, if more than that the grant is invalid
}

// Error is for the log.
func (r *Refusal) Error() string { return fmt.Sprintf("grant: refused: %s", r.Reason) }

// Unwrap lets oauth.AsError find what the client is told.
func (r *Refusal) Unwrap() error {
	if r.Wire == nil {
		return nil
	}
	return r.Wire
}

// refuse returns a Refusal.
func refuse(reason Reason) error { return &Refusal{Reason: reason} }

// ReasonOf returns the reason in err's chain, or "".
func ReasonOf(err error) Reason {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	return ""
}

// checkCode compares what a token request presents with what the code was
// issued for. Nothing has been changed yet: a wrong client or verifier burns
// no code (RFC 9700 §4.5 attackers gain nothing, RFC 6749 §10.5 victims lose
// nothing).
func (r *Record) checkCode(p Presented) error {
	switch {
	case r.ClientHash != HashClient(p.ClientID):
		return refuse(WrongClient)
	case p.RedirectURI != "" && p.RedirectURI != r.RedirectURI:
		// OAuth 2.1 §4.1.3 no longer sends it, RFC 6749 §4.1.3 clients do: if
		// it is there it must match; PKCE binds the code in both cases.
		return refuse(WrongRedirect)
	}
	if err := r.Challenge.Verify(p.Verifier); err != nil {
		return &Refusal{Reason: WrongVerifier, Wire: oauth.AsError(err)}
	}
	return r.checkResource(p.Resources)
}

// checkResource holds a token request to what was authorized (RFC 8707 §2.2).
// Without resource the original stays.
func (r *Record) checkResource(resources []string) error {
	for _, resource := range resources {
		if !oauth.SameResource(resource, r.Resource) {
			return &Refusal{Reason: WrongResource, Wire: oauth.Errorf(oauth.InvalidTarget, "this grant is for another resource")}
		}
	}
	return nil
}

// checkScopes lets a refresh name the scopes again but not widen them (RFC
// 6749 §6).
func (r *Record) checkScopes(scopes []string) error {
	for _, s := range scopes {
		if !slices.Contains(r.Scopes, s) {
			return &Refusal{Reason: WrongScope, Wire: oauth.Errorf(oauth.InvalidScope, "a refresh cannot add scopes; authorize again for more")}
		}
	}
	return nil
}
