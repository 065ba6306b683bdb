package oauth2

import (
	"encoding/base64"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// nonce returns the host's nonce if there is one, the table's, or "".
func (cfg *Config) nonce(given, state string) string {
	if cfg.Nonce == nil || given != "" {
		return given
	}
	return cfg.Nonce(state)
}

// idToken returns the claims of the ID token in a token answer, checked as
// OpenID Connect Core §3.1.3.7 says, or a missing value if the table names no
// issuer or no ID token came. Its signature is not checked: item 6 of that
// clause allows it because it came from the token endpoint over TLS.
func (cfg *Config) idToken(c *sdk.Conversation, in sdk.ExchangeInput, answer tree.Value) (tree.Value, error) {
	text := answer.Pointer(cfg.Token.IDToken).Str()
	if cfg.Issuer == "" || text == "" {
		return tree.Value{}, nil
	}
	claims, ok := payload(text)
	if !ok {
		return tree.Value{}, badIDToken("it is no JWT")
	}
	issuer, tenant := cfg.Issuer, claims.Get("tid").Str()
	if tenant != "" {
		issuer = strings.ReplaceAll(issuer, "{tenantid}", tenant)
	}
	if claims.Get("iss").Str() != issuer { // item 2
		return tree.Value{}, badIDToken("iss is not the issuer")
	}
	if why := wrongAudience(claims, c.Client().ID); why != "" {
		return tree.Value{}, badIDToken(why)
	}
	const skew = 60                                                            // seconds that two clocks may differ
	if exp, ok := claims.Get("exp").Int(); !ok || exp+skew <= c.Now().Unix() { // item 9
		return tree.Value{}, badIDToken("it has expired")
	}
	if want := cfg.nonce(in.Nonce, in.Query.Get("state")); want != "" && claims.Get("nonce").Str() != want { // item 11
		return tree.Value{}, badIDToken("nonce is not the one sent")
	}
	return claims, nil
}

// wrongAudience checks items 3 to 5.
func wrongAudience(claims tree.Value, client string) string {
	aud := claims.Get("aud")
	audiences := aud.Strings()
	if aud.Kind() == tree.KindString {
		audiences = []string{aud.Str()}
	}
	azp := claims.Get("azp").Str()
	ours := false
	for _, a := range audiences {
		ours = ours || a == client
	}
	switch {
	case !ours:
		return "aud does not name the client"
	case azp != "" && azp != client, azp == "" && len(audiences) > 1:
		return "azp is not the client"
	}
	return ""
}

// payload decodes the claims of a JWT, RFC 7519 §7.2, without its signature.
func payload(jwt string) (tree.Value, bool) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return tree.Value{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return tree.Value{}, false
	}
	claims, err := tree.Parse(text)
	return claims, err == nil && claims.Kind() == tree.KindObject
}

func badIDToken(why string) error {
	return sdk.Unavailable("The upstream did not prove who you are. Please try again.", "ID token: "+why)
}
