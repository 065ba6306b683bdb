package plugins

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	assertionLife = time.Minute
	minRSABits    = 2048 // RFC 7518 §3.3
)

// clientKey is a tenant's private key for assertions.
type clientKey struct{ signer jose.Signer }

var errClientKey = errors.New("use an RSA key of at least 2,048 bits or an EC key on P-256, as PEM or JWK")

// parseClientKey reads a private key: a PEM block or a JWK, whose kid goes into
// the assertions. The error says nothing of the key.
func parseClientKey(text seal.Secret) (*clientKey, error) {
	key, id, err := privateKey([]byte(text.Reveal()))
	if err != nil {
		return nil, err
	}
	var alg jose.SignatureAlgorithm
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSABits {
			return nil, errClientKey
		}
		alg = jose.RS256
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, errClientKey
		}
		alg = jose.ES256
	default:
		return nil, errClientKey
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if id != "" {
		options = options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		return nil, errClientKey
	}
	return &clientKey{signer}, nil
}

func privateKey(text []byte) (key any, id string, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		var jwk jose.JSONWebKey
		if json.Unmarshal(text, &jwk) != nil || !jwk.Valid() || jwk.IsPublic() {
			return nil, "", errClientKey
		}
		return jwk.Key, jwk.KeyID, nil
	}
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
	} {
		if key, err := parse(block.Bytes); err == nil {
			return key, "", nil
		}
	}
	return nil, "", errClientKey
}

// assertion makes the client assertion of a request (RFC 7523 §3). Its audience
// is the request's URL or the issuer: the host that gets an assertion for
// another server could log in there.
func (c *conversation) assertion(a *abi.ClientAuth, to *url.URL) (string, error) {
	signer, err := c.assertionSigner(a)
	if err != nil {
		return "", err
	}
	audience := to.String()
	if a.Audience != "" {
		if !c.checkAudience(a.Audience, to) {
			return "", c.egressError(fmt.Errorf("%w: the audience %q is not the URL asked and not an issuer that secret_urls of the manifest names; if it is right, add %s%s there (sdk/ABI.md)",
				errSecretPlace, a.Audience, abi.SecretIssuer, a.Audience))
		}
		audience = a.Audience
	}
	id := make([]byte, 16)
	if _, err := io.ReadFull(c.module.cfg.Random, id); err != nil {
		return "", &upstream.Error{Kind: upstream.Unavailable, Detail: "no randomness for an assertion", Err: err}
	}
	now := c.module.cfg.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": c.binding.ClientID, "sub": c.binding.ClientID, "aud": audience,
		"jti": base64.RawURLEncoding.EncodeToString(id),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", c.bug("the assertion cannot be written as JSON")
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", &upstream.Error{Kind: upstream.Misconfigured, Detail: "the client key or client secret of tenant " + c.binding.Tenant + " cannot sign"}
	}
	return signed.CompactSerialize()
}

// assertionSigner returns what signs the assertion: the tenant's key, or its
// client secret as the key of a MAC (OpenID Connect Core §9).
func (c *conversation) assertionSigner(a *abi.ClientAuth) (jose.Signer, error) {
	if a.Method == abi.AuthClientSecretJWT {
		secret := []byte(c.binding.ClientSecret.Reveal())
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil || len(secret) < sha256.Size { // RFC 7518 §3.2; the signer looks at the length when it signs
			return nil, &upstream.Error{Kind: upstream.Misconfigured, Detail: "the client secret of tenant " + c.binding.Tenant + " cannot be the key of a MAC; client_secret_jwt needs one of 32 characters or more (RFC 7518 §3.2)"}
		}
		return signer, nil
	}
	if c.key == nil {
		return nil, &upstream.Error{Kind: upstream.Misconfigured, Detail: "the upstream wants assertions signed with a key; set client_key of tenant " + c.binding.Tenant}
	}
	return c.key.signer, nil
}
