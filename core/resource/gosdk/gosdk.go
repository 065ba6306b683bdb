// Package gosdk fits a resource.Gate to the middleware of the official Go MCP
// SDK. It owns the translation of users and refusals into the SDK's types and
// nothing else.
//
// Where there is a choice, Gate.Middleware is the better one: the SDK's answers
// 500 where ours answers 503 with Retry-After, and leaves the client's token in
// the request.
package gosdk

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/resource"
)

// extra is the key of the user in TokenInfo.Extra.
const extra = "sallyport.user"

// Verifier returns a verifier for auth.RequireBearerToken. Its options take
// Gate.MetadataURL.
func Verifier(g *resource.Gate) auth.TokenVerifier {
	return func(ctx context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		user, err := g.Verify(ctx, token)
		if err != nil {
			return nil, translate(err)
		}
		return &auth.TokenInfo{
			Scopes: user.Scopes, Expiration: user.Expires, UserID: user.Subject, Extra: map[string]any{extra: user},
		}, nil
	}
}

// User returns the user of a call, in a tool that of req.Extra.TokenInfo, or
// nil without one.
func User(info *auth.TokenInfo) *resource.User {
	if info == nil {
		return nil
	}
	user, _ := info.Extra[extra].(*resource.User)
	return user
}

// translate makes an error of which the SDK sends the text to the client.
func translate(err error) error {
	fault := oauth.AsError(err)
	if fault.Code == oauth.InvalidToken {
		return fmt.Errorf("%w: %s", auth.ErrInvalidToken, fault.Description)
	}
	return errors.New(fault.Description)
}
