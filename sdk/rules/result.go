package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

// MaxAuthorizeURL is the length in bytes of the longest authorize URL: what
// every browser and most servers bear.
const MaxAuthorizeURL = 8 << 10

var errShape = errors.New("its result has another shape than sdk/ABI.md says")

// CheckResult reports what is wrong with the result of an operation, given its
// input. Where an authorize URL leads is for CheckURL to say.
func CheckResult(op string, input, result abi.Raw) error {
	switch op {
	case abi.OpAuthorize:
		var in abi.AuthorizeInput
		var out abi.AuthorizeResult
		if json.Unmarshal(input, &in) != nil || json.Unmarshal(result, &out) != nil {
			return errShape
		}
		return CheckAuthorize(out.URL, in.State, in.CodeChallenge)
	case abi.OpExchange:
		var out abi.Credential
		if json.Unmarshal(result, &out) != nil {
			return errShape
		}
		return CheckExchange(out)
	case abi.OpRefresh:
		var in abi.RefreshInput
		var out abi.Credential
		if json.Unmarshal(input, &in) != nil || json.Unmarshal(result, &out) != nil {
			return errShape
		}
		known := ""
		if in.Credential.Account != nil {
			known = in.Credential.Account.ID
		}
		return CheckRefresh(out, known)
	}
	return nil
}

// CheckAuthorize reports what is wrong with an authorize URL: it must carry what
// ties the answer to this browser.
func CheckAuthorize(address, state, challenge string) error {
	u, err := url.Parse(address)
	if err != nil || u.Fragment != "" || len(address) > MaxAuthorizeURL { // RFC 6749 §3.1
		return errors.New("the authorize URL is not a usable URL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("the authorize URL is not a usable URL")
	}
	if !slices.Equal(query["state"], []string{state}) {
		return errors.New("the authorize URL does not carry the given state unchanged, once")
	}
	if challenge != "" && !slices.Equal(query["code_challenge"], []string{challenge}) {
		return errors.New("the authorize URL does not carry the given code_challenge unchanged, once")
	}
	return nil
}

// CheckExchange reports what is wrong with the credential of an exchange.
func CheckExchange(c abi.Credential) error {
	if c.Account == nil || c.Account.ID == "" {
		return errors.New("its credential has no account id")
	}
	return checkToken(c)
}

// CheckRefresh reports what is wrong with the credential of a refresh. known is
// the id of the account before; empty: unknown.
func CheckRefresh(c abi.Credential, known string) error {
	if c.Account != nil && known != "" && c.Account.ID != known {
		return errors.New("its credential belongs to another account than before")
	}
	return checkToken(c)
}

func checkToken(c abi.Credential) error {
	switch {
	case c.AccessToken == "":
		return errors.New("its credential has no access token")
	case strings.ContainsFunc(c.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }): // RFC 6750 §2.1
		return errors.New("its access token cannot be sent in a header")
	}
	if err := checkSize(c); err != nil {
		return err
	}
	if c.Account == nil {
		return nil
	}
	return checkAccount(c.Account)
}

// checkSize reports what of a credential is larger than the server keeps with a
// login and sends with each call.
func checkSize(c abi.Credential) error {
	const most = 1000 // scopes
	if len(c.Scopes) > most {
		return fmt.Errorf("its credential has more than %d scopes", most)
	}
	for _, f := range []struct {
		what string
		size int
		most int
	}{
		{"access token", len(c.AccessToken), 32 << 10}, {"refresh token", len(c.RefreshToken), 32 << 10},
		{"token type", len(c.TokenType), 64}, {"extra", len(c.Extra), 64 << 10}, {"list of scopes", len(strings.Join(c.Scopes, " ")), 16 << 10},
	} {
		if f.size > f.most {
			return fmt.Errorf("its %s is longer than %d bytes", f.what, f.most)
		}
	}
	return nil
}

// checkAccount reports what of an account is longer than audit lines, tokens and
// indexes take. An id is compared byte for byte, so it cannot be cut.
func checkAccount(a *abi.Account) error {
	const most = 200 // organizations; who has more is asked for by name
	if len(a.Organizations) > most {
		return fmt.Errorf("it has more than %d organizations", most)
	}
	type field struct {
		what, text string
		most       int
	}
	fields := []field{
		{"account id", a.ID, 512}, {"account name", a.Name, 1024}, {"e-mail address", a.Email, 320}, // RFC 3696, erratum 1690
		{"picture", a.Picture, 2048},
	}
	for _, id := range a.Organizations {
		fields = append(fields, field{"organization", id, 512})
	}
	for _, f := range fields {
		if len(f.text) > f.most {
			return fmt.Errorf("its %s is longer than %d bytes", f.what, f.most)
		}
	}
	return nil
}

// LooksLikeEmail reports whether an account id has the form of an e-mail
// address. Addresses change hands and are not unique, so an id must not be one.
func LooksLikeEmail(id string) bool {
	local, domain, at := strings.Cut(id, "@")
	return at && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(domain, "@/ ")
}
