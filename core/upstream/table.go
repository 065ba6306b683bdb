package upstream

import (
	"slices"

	"github.com/sallyport/sallyport/core/oauth"
)

// Step is what the server was doing when a conversation with the upstream
// failed.
type Step string

// The steps.
const (
	StepAuthorize  Step = "authorize"      // after the consent: building the URL of the upstream's login
	StepLogin      Step = "login"          // at the callback: exchanging the code for a client's login
	StepSignIn     Step = "sign_in"        // the same two for the connections page
	StepRenewAhead Step = "renew_ahead"    // renewing a token that is still valid
	StepCall       Step = "call"           // renewing one that is not, for a call or forward auth
	StepExchange   Step = "token_exchange" // the same for a resource server
	StepRevoke     Step = "revoke"         // revoking at the upstream
)

// Level is how loud the operator is told.
type Level string

// The levels.
const (
	Info  Level = "INFO"  // nothing is wrong
	Warn  Level = "WARN"  // a user could not go on, or a renewal has to be repeated
	Alarm Level = "ERROR" // only the operator can mend it
)

// Effect is what becomes of the grant.
type Effect string

// The effects.
const (
	NoGrant    Effect = "none yet"
	Kept       Effect = "kept"        // a client's refresh goes on as before
	NeedsLogin Effect = "needs_login" // a client's refresh is answered invalid_grant
	Deleted    Effect = "deleted"     // by the revocation, whatever the upstream says
)

// Mender is who or what makes it work again.
type Mender string

// The menders.
const (
	ByUser     Mender = "the user, by logging in"
	ByTime     Mender = "time: the server asks again"
	ByOperator Mender = "the operator"
)

// Outcome is what a failure means for everybody concerned.
type Outcome struct {
	// Status and Code are what the client is answered; at a login the code goes
	// to its redirect URI. A zero Status: the client is answered as if nothing
	// had failed.
	Status int
	Code   oauth.Code
	User   string // what client and user read, unless the provider has a message
	Log    Level
	Audit  string // the action
	Grant  Effect
	Mends  Mender
}

// Rule gives steps and kinds their outcome.
type Rule struct {
	Steps []Step
	Kinds []Kind
	Outcome
}

// Steps returns all steps.
func Steps() []Step {
	return []Step{StepAuthorize, StepLogin, StepSignIn, StepRenewAhead, StepCall, StepExchange, StepRevoke}
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{AccessDenied, InvalidGrant, InvalidScope, InteractionRequired, RateLimited, Unavailable, Misconfigured, Bug}
}

// Rules is the table of what failures mean: each step and kind is in one rule.
// Its one principle: where only a login mends it, calls get 401 and the client's
// refresh invalid_grant; in every other case both go on, so that no client logs
// out for what time or the operator mends.
func Rules() []Rule {
	login := []Step{StepAuthorize, StepLogin}
	renewals := []Step{StepCall, StepExchange}
	onlyLogin := []Kind{AccessDenied, InvalidGrant, InvalidScope, InteractionRequired}
	later, ours := []Kind{RateLimited, Unavailable}, []Kind{Misconfigured, Bug}
	const (
		failed, renewFailed, ended = "login_failed", "upstream_renew_failed", "upstream_dead"
		signIn                     = "The sign-in at the upstream service did not succeed."
		loginAgain                 = "the upstream service ended the connection; log in again"
		wait                       = "the upstream service does not answer as it should; try again shortly"
		limited                    = "the upstream service receives too many requests; try again later"
		setUp                      = "the server's connection to the upstream service does not work; its operator has to mend it"
	)
	return []Rule{
		{login, []Kind{AccessDenied}, Outcome{302, oauth.AccessDenied, "the user denied the request at the upstream service", Info, failed, NoGrant, ByUser}},
		{login, []Kind{InvalidScope}, Outcome{302, oauth.InvalidScope, "the upstream service refuses the scopes", Warn, failed, NoGrant, ByOperator}},
		{login, []Kind{InvalidGrant, InteractionRequired}, Outcome{302, oauth.AccessDenied, "the upstream login did not succeed; start again", Warn, failed, NoGrant, ByUser}},
		{login, later, Outcome{302, oauth.TemporarilyUnavailable, wait, Warn, failed, NoGrant, ByTime}},
		{login, ours, Outcome{302, oauth.ServerError, setUp, Warn, failed, NoGrant, ByOperator}},

		{[]Step{StepSignIn}, []Kind{AccessDenied}, Outcome{303, "", signIn, Info, failed, NoGrant, ByUser}},
		{[]Step{StepSignIn}, []Kind{InvalidGrant, InteractionRequired}, Outcome{303, "", signIn, Warn, failed, NoGrant, ByUser}},
		{[]Step{StepSignIn}, later, Outcome{303, "", signIn, Warn, failed, NoGrant, ByTime}},
		{[]Step{StepSignIn}, []Kind{InvalidScope, Misconfigured, Bug}, Outcome{303, "", signIn, Warn, failed, NoGrant, ByOperator}},

		{[]Step{StepRenewAhead}, later, Outcome{0, "", "", Warn, renewFailed, Kept, ByTime}},
		{[]Step{StepRenewAhead}, ours, Outcome{0, "", "", Alarm, renewFailed, Kept, ByOperator}},
		{[]Step{StepRenewAhead, StepCall}, onlyLogin, Outcome{401, oauth.InvalidToken, loginAgain, Info, ended, NeedsLogin, ByUser}},
		// RFC 8693 §2.2.2: a subject token that does not count is invalid_request.
		{[]Step{StepExchange}, onlyLogin, Outcome{400, oauth.InvalidRequest, loginAgain, Info, ended, NeedsLogin, ByUser}},
		{renewals, []Kind{RateLimited}, Outcome{503, oauth.TemporarilyUnavailable, limited, Warn, renewFailed, Kept, ByTime}},
		{renewals, []Kind{Unavailable}, Outcome{503, oauth.TemporarilyUnavailable, wait, Warn, renewFailed, Kept, ByTime}},
		{renewals, ours, Outcome{502, oauth.ServerError, setUp, Alarm, renewFailed, Kept, ByOperator}},

		{[]Step{StepRevoke}, slices.Concat(onlyLogin, later), Outcome{0, "", "", Info, "upstream_revoke_failed", Deleted, ByTime}},
		{[]Step{StepRevoke}, ours, Outcome{0, "", "", Alarm, "upstream_revoke_failed", Deleted, ByOperator}},
	}
}

// OutcomeOf returns what err means at a step. An error without a kind counts as
// Unavailable.
func OutcomeOf(step Step, err error) Outcome {
	kind := KindOf(err)
	for _, rule := range Rules() {
		if slices.Contains(rule.Steps, step) && slices.Contains(rule.Kinds, kind) {
			return rule.Outcome
		}
	}
	return Outcome{502, oauth.ServerError, "the server's connection to the upstream service does not work", Alarm, "upstream_renew_failed", Kept, ByOperator}
}
