package oauth2

import (
	"strconv"

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
	claims, why := payload(text)
	if why != "" {
		return tree.Value{}, badIDToken(why)
	}
	if iss := claims.Get("iss").Str(); iss != cfg.issuerOf(claims) { // item 2
		return tree.Value{}, badIDToken("iss is not the issuer " + cfg.issuerOf(claims) + "; " + sdk.UpstreamText(iss, "") + "; if that is the upstream, set issuer to it")
	}
	if why := wrongAudience(claims, c.Client().ID); why != "" {
		return tree.Value{}, badIDToken(why)
	}
	if why := expired(claims.Get("exp"), c.Now().Unix()); why != "" { // item 9
		return tree.Value{}, badIDToken(why)
	}
	if want := cfg.nonce(in.Nonce, in.Query.Get("state")); want != "" { // item 11
		switch claims.Get("nonce").Str() {
		case want:
		case "":
			return tree.Value{}, badIDToken("it has no nonce, and one was sent; if the upstream repeats none, use the provider oauth2 with its setting issuer")
		default: // of another login
			return tree.Value{}, sdk.Unavailable("The upstream did not prove who you are. Please try again.", "ID token: nonce is not the one sent")
		}
	}
	for _, want := range cfg.Claims {
		if claims.Get(want[0]).Text() != want[1] {
			return tree.Value{}, sdk.AccessDenied("This account does not belong to the organization that this server is for.", "ID token: "+want[0]+" is not "+want[1])
		}
	}
	return claims, nil
}

// expired returns what is wrong with the expiry of a JWT, a NumericDate, which
// may have a fraction (RFC 7519 §2). Some upstreams write it as a string.
func expired(exp tree.Value, now int64) string {
	const skew = 60 // seconds that two clocks may differ
	at, ok := exp.Floor()
	switch {
	case !exp.Exists():
		return "it has no exp"
	case !ok:
		return "exp cannot be read: it is not a number of seconds"
	case at <= now-skew:
		return "it has expired: exp is " + strconv.FormatInt(at, 10) + ", and the clock of this server says " + strconv.FormatInt(now, 10) + "; if that is wrong, set the clock"
	}
	return ""
}

const wrongAud = "aud does not name the client; compare client_id with the registration at the upstream"

// wrongAudience checks items 3 to 5.
func wrongAudience(claims tree.Value, client string) string {
	aud, azp := claims.Get("aud"), claims.Get("azp").Str()
	switch {
	case !names(aud, client):
		return wrongAud
	case azp != "" && azp != client, azp == "" && len(aud.Strings()) > 1:
		return "azp is not the client; compare client_id with the registration at the upstream"
	}
	return ""
}

func badIDToken(why string) error { return unusableJWT("ID token", why) }
