package oauth2

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// userClaims reads the answer of UserinfoURL: JSON, or a JWT (OpenID Connect
// Core §5.3.2), of which iss, aud and exp are checked if they are there. Its
// signature is not checked: the answer came from the endpoint itself over TLS,
// as an unsigned one does, which counts as much (see RATIONALE.md).
func (cfg *Config) userClaims(c *sdk.Conversation, resp *sdk.Response) (tree.Value, error) {
	kind, _, _ := strings.Cut(strings.ToLower(resp.Header("content-type")), ";")
	kind = strings.TrimSpace(kind)
	body := bytes.TrimSpace(resp.Body)
	if kind != "application/jwt" && !strings.HasSuffix(kind, "+jwt") && !bytes.HasPrefix(body, []byte("ey")) {
		return resp.JSON()
	}
	claims, why := payload(string(body))
	if why != "" {
		return tree.Value{}, unusableJWT("userinfo", why)
	}
	switch {
	case claims.Get("iss").Exists() && cfg.Issuer != "" && claims.Get("iss").Str() != cfg.issuerOf(claims):
		why = "iss is not the issuer " + cfg.issuerOf(claims) + "; " + sdk.UpstreamText(claims.Get("iss").Str(), "")
	case claims.Get("aud").Exists() && !names(claims.Get("aud"), c.Client().ID):
		why = wrongAud
	case claims.Get("exp").Exists():
		why = expired(claims.Get("exp"), c.Now().Unix())
	}
	if why != "" {
		return tree.Value{}, unusableJWT("userinfo", why)
	}
	return claims, nil
}

// issuerOf returns what iss must be in a token with these claims.
func (cfg *Config) issuerOf(claims tree.Value) string {
	if tenant := claims.Get("tid").Str(); tenant != "" {
		return strings.ReplaceAll(cfg.Issuer, "{tenantid}", tenant)
	}
	return cfg.Issuer
}

// names reports whether an aud, one string or several (RFC 7519 §4.1.3), names
// the client.
func names(aud tree.Value, client string) bool {
	if aud.Str() == client {
		return client != ""
	}
	for _, a := range aud.Strings() {
		if a == client {
			return client != ""
		}
	}
	return false
}

// The forms of a JWT that cannot be read.
const (
	notJWT    = "it is not a JWT"
	encrypted = "it is encrypted (JWE), which is not supported; have the upstream sign it only, or send JSON"
	nested    = "it is a JWT inside a JWT (cty JWT), which is not supported; have the upstream sign it once"
)

// payload decodes the claims of a JWT, RFC 7519 §7.2, without its signature,
// or returns what is wrong with it.
func payload(jwt string) (claims tree.Value, why string) {
	parts := strings.Split(jwt, ".")
	switch {
	case len(parts) == 5: // RFC 7516 §3.1
		return tree.Value{}, encrypted
	case len(parts) != 3:
		return tree.Value{}, notJWT
	}
	header, err := segment(parts[0])
	if err != nil {
		return tree.Value{}, notJWT
	}
	if strings.EqualFold(header.Get("cty").Str(), "JWT") { // RFC 7519 §5.2
		return tree.Value{}, nested
	}
	claims, err = segment(parts[1])
	if err != nil || claims.Kind() != tree.KindObject {
		return tree.Value{}, notJWT
	}
	return claims, ""
}

func segment(text string) (tree.Value, error) {
	// Some upstreams pad, which RFC 7515 §2 forbids.
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return tree.Value{}, err
	}
	return tree.Parse(data)
}

// unusableJWT is the error for a JWT that does not prove who the user is. It is
// Misconfigured: the next login would bring another one like it.
func unusableJWT(what, why string) error {
	return sdk.Misconfigured("", what+": "+why)
}

// members lists the names in an answer, of one level of nesting, for a detail:
// they tell an operator which pointer to set. No value is among them, and what
// does not look like a name is left out.
func members(answer tree.Value) string {
	var list []string
	for _, m := range answer.Members() {
		if !isName(m.Name) || m.Value.Text() == "" && m.Value.Kind() == tree.KindString {
			continue // a token that was taken for a form is a name without a value
		}
		list = append(list, m.Name)
		for _, inner := range m.Value.Members() {
			if isName(inner.Name) {
				list = append(list, m.Name+"/"+inner.Name)
			}
		}
	}
	const most = 20
	if len(list) > most {
		list = append(list[:most], "…")
	}
	if len(list) == 0 {
		return "it has no members"
	}
	return "its members: " + strings.Join(list, ", ")
}

// isName reports whether text looks like the name of a member.
func isName(text string) bool {
	if text == "" || len(text) > 32 {
		return false
	}
	return strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' && (r < '0' || r > '9')
	}) < 0
}
