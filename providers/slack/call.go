package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// call makes a call of the Web API. Its answer is {"ok": false, "error": code}
// with status 200 if it failed; then the answer is returned beside the error.
func call(c *sdk.Conversation, r *sdk.Request) (tree.Value, error) {
	resp, err := c.Do(r.Header("accept", "application/json"))
	if err != nil {
		return tree.Value{}, err
	}
	if err := resp.Overload(c.Now()); err != nil { // a spent limit may come as 429
		return tree.Value{}, err
	}
	answer, err := resp.JSON()
	if err != nil {
		return tree.Value{}, err
	}
	if answer.Get("ok").Bool() {
		return answer, nil
	}
	code := answer.Get("error").Str()
	if code == "" {
		return answer, resp.Unreadable("neither ok nor an error")
	}
	kind, known := kinds()[code]
	if !known {
		failure := sdk.OAuthAnswer(resp.Status, code, answer.Get("error_description").Str())
		return answer, withTime(failure, resp)
	}
	failure := sdk.Fail(kind, sdk.UpstreamText(code, answer.Get("needed").Str()))
	failure.Certain = true
	return answer, withTime(failure, resp)
}

// withTime adds to RateLimited when to ask again, if the answer says it.
func withTime(failure *sdk.Error, resp *sdk.Response) *sdk.Error {
	if after, ok := sdk.ParseSeconds(resp.Header("retry-after")); ok && failure.Kind == abi.KindRateLimited {
		failure.RetryAfter = int(after)
	}
	return failure
}

// kinds says what Slack's codes mean. What is not here and no code of OAuth's is
// Unavailable, but not certainly so: the host ends a connection where it goes on
// for long and other connections are renewed.
func kinds() map[string]string {
	return map[string]string{
		"invalid_code":          abi.KindInvalidGrant,
		"code_already_used":     abi.KindInvalidGrant,
		"invalid_refresh_token": abi.KindInvalidGrant,
		"token_revoked":         abi.KindInvalidGrant,
		"token_expired":         abi.KindInvalidGrant,
		"account_inactive":      abi.KindInvalidGrant, // the user or the workspace was deleted
		"invalid_auth":          abi.KindInvalidGrant,

		"missing_scope":  abi.KindInvalidScope, // needed says which
		"no_scopes":      abi.KindInvalidScope,
		"no_user_scopes": abi.KindInvalidScope,

		"org_login_required":        abi.KindInteractionRequired,
		"two_factor_setup_required": abi.KindInteractionRequired,
		"ekm_access_denied":         abi.KindAccessDenied, // an administrator's policy

		"ratelimited": abi.KindRateLimited,

		"internal_error":      abi.KindUnavailable,
		"fatal_error":         abi.KindUnavailable,
		"service_unavailable": abi.KindUnavailable,
		"request_timeout":     abi.KindUnavailable,
		"team_added_to_org":   abi.KindUnavailable, // the workspace is being moved

		"invalid_client_id":                    abi.KindMisconfigured,
		"bad_client_secret":                    abi.KindMisconfigured,
		"bad_redirect_uri":                     abi.KindMisconfigured,
		"oauth_authorization_url_mismatch":     abi.KindMisconfigured,
		"invalid_team_for_non_distributed_app": abi.KindMisconfigured,
		"cannot_install_an_org_installed_app":  abi.KindMisconfigured,
		"no_bot_scopes_requested":              abi.KindMisconfigured,
		"not_allowed_token_type":               abi.KindMisconfigured,
		// No bug of ours: of a bug the host keeps the answers for another version
		// of the module, and every renewal would fail by them.
		"invalid_grant_type": abi.KindMisconfigured,
		"not_authed":         abi.KindMisconfigured,
	}
}
