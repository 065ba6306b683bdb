package tokens

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// accessTokenType is the one type of token that is taken and given (RFC 8693
// §3).
const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

// swap gives a resource server the user's upstream access token for our access
// token (RFC 8693): ours comes from the client, so whoever presents it acts on
// the user's request. There is no refresh token: the resource server asks anew,
// as long as the client keeps coming with a token that counts.
func (e *Endpoint) swap(ctx context.Context, t *tenant.Tenant, _ caller, p oauth.Params) (*outcome, error) {
	if err := checkSwap(t, p); err != nil {
		return nil, err
	}
	live, err := e.Grants.Verify(ctx, t, p.Get("subject_token"))
	if err != nil {
		return nil, err
	}
	cred, err := e.Keeper.HandOut(ctx, t, live)
	if _, ok := errors.AsType[*upstream.Error](err); ok { // credential.ErrNeedsLogin too
		return nil, upstream.ToOAuth(upstream.StepExchange, err)
	}
	if err != nil {
		return nil, err
	}
	scopes := cred.Scopes
	if len(scopes) == 0 {
		scopes = live.Record.Scopes // an upstream that names none gave what it was asked for
	}
	for _, s := range oauth.ParseScope(p.Get("scope")) {
		if !slices.Contains(scopes, s) {
			return nil, oauth.Errorf(oauth.InvalidScope, "the upstream token does not have the scope asked for")
		}
	}
	a := answer{
		AccessToken:     cred.AccessToken.Reveal(),
		IssuedTokenType: accessTokenType,
		// RFC 8693 §2.2.1 asks how the token is used. The gateway sends every
		// upstream's as Bearer; the word the upstream has for its kind of token
		// (Slack: bot) is not always a way to use it.
		TokenType: "Bearer",
		// All that the token has, which may be more than was asked for: an
		// upstream token cannot be narrowed (RFC 8693 §2.2.1: required then).
		Scope: strings.Join(scopes, " "),
	}
	if !cred.ExpiresAt.IsZero() {
		a.ExpiresIn = max(1, int64(cred.ExpiresAt.Sub(e.Now())/time.Second))
	}
	return &outcome{answer: a, grant: live}, nil
}

// checkSwap checks everything in the request beside the token itself (RFC 8693
// §2.1).
func checkSwap(t *tenant.Tenant, p oauth.Params) error {
	switch {
	case p.Get("subject_token") == "":
		return oauth.Errorf(oauth.InvalidRequest, "subject_token is missing")
	case p.Get("subject_token_type") != accessTokenType:
		return oauth.Errorf(oauth.InvalidRequest, "subject_token_type must be %s", accessTokenType)
	case p.Get("requested_token_type") != "" && p.Get("requested_token_type") != accessTokenType:
		return oauth.Errorf(oauth.InvalidRequest, "requested_token_type must be %s", accessTokenType)
	case p.Get("actor_token") != "" || p.Get("actor_token_type") != "":
		return oauth.Errorf(oauth.InvalidRequest, "delegation by actor_token is not supported")
	case p.Get("audience") != "" && p.Get("audience") != t.Provider.Describe().Name:
		return oauth.Errorf(oauth.InvalidTarget, "audience must be %s or absent", t.Provider.Describe().Name)
	case len(p.All("resource")) > 0:
		// It is the URI of where the token will be used: somewhere at the
		// upstream, for which we cannot vouch.
		return oauth.Errorf(oauth.InvalidTarget, "name the upstream by audience or not at all; resource is not supported here")
	}
	return nil
}
