package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// CodeChallenge is an S256 code challenge (RFC 7636 §4.2).
type CodeChallenge string

// ParseCodeChallenge checks the parameters of an authorization request. PKCE
// is required (OAuth 2.1 §4.1.1) and S256 is the only method: an absent method
// means plain (RFC 7636 §4.3), which protects nobody.
func ParseCodeChallenge(challenge, method string) (CodeChallenge, error) {
	switch {
	case challenge == "":
		return "", Errorf(InvalidRequest, "code_challenge is required (PKCE, RFC 7636)")
	case method != "S256":
		return "", Errorf(InvalidRequest, "code_challenge_method must be S256")
	case len(challenge) != base64.RawURLEncoding.EncodedLen(sha256.Size):
		return "", Errorf(InvalidRequest, "code_challenge must be the base64url SHA-256 of the verifier, 43 characters")
	}
	if _, err := base64.RawURLEncoding.DecodeString(challenge); err != nil {
		return "", Errorf(InvalidRequest, "code_challenge must be base64url without padding")
	}
	return CodeChallenge(challenge), nil
}

// ChallengeOf returns the challenge that verifier answers.
func ChallengeOf(verifier string) CodeChallenge {
	sum := sha256.Sum256([]byte(verifier))
	return CodeChallenge(base64.RawURLEncoding.EncodeToString(sum[:]))
}

// Verify compares a verifier with the challenge in constant time (RFC 7636
// §4.6). The verifier has 43 to 128 unreserved characters (§4.1).
func (c CodeChallenge) Verify(verifier string) error {
	if verifier == "" {
		return Errorf(InvalidRequest, "code_verifier is required (PKCE, RFC 7636)")
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return Errorf(InvalidGrant, "code_verifier must have 43 to 128 characters")
	}
	if subtle.ConstantTimeCompare([]byte(ChallengeOf(verifier)), []byte(c)) != 1 {
		return Errorf(InvalidGrant, "code_verifier does not match the code_challenge")
	}
	return nil
}
