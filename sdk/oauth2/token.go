package oauth2

import (
	"bytes"
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Callback returns what the upstream said instead of sending a code.
func (cfg *Config) Callback(in sdk.ExchangeInput) error {
	if code := in.Query.Get("error"); code != "" {
		return cfg.failure(code, in.Query.Get("error_description"))
	}
	_, err := in.Code()
	return err
}

// RequestToken sends a form to the token endpoint and returns the answer as a
// tree once it is known to be no error. The request is never repeated: what
// it carries may work only once.
func (cfg *Config) RequestToken(c *sdk.Conversation, url string, form sdk.Form) (tree.Value, error) {
	resp, err := c.Do(cfg.decorate(sdk.PostForm(url, form)).Auth(cfg.ClientAuth))
	if err != nil {
		return tree.Value{}, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return tree.Value{}, err
	}
	answer, err := cfg.read(resp)
	if err == nil {
		if failure := cfg.failed(answer); failure != nil {
			return tree.Value{}, failure
		}
	}
	switch {
	case resp.Status == 401: // RFC 6749 §5.2: only ever invalid_client
		return tree.Value{}, sdk.OAuthError("invalid_client", "status 401")
	case !resp.OK():
		return tree.Value{}, resp.Unreadable("token endpoint")
	}
	return answer, err
}

// read parses an answer in the table's format, or by its content type.
func (cfg *Config) read(resp *sdk.Response) (tree.Value, error) {
	kind, _, _ := strings.Cut(resp.Header("content-type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	form := kind == "application/x-www-form-urlencoded" || kind == "text/plain" && !bytes.HasPrefix(resp.Body, []byte("{"))
	if cfg.Token.Format != "" {
		form = cfg.Token.Format == FormatForm
	}
	if !form {
		answer, err := resp.JSON()
		if err == nil && answer.Kind() != tree.KindObject {
			err = resp.Unreadable("no JSON object")
		}
		return answer, err
	}
	pairs, err := resp.Form()
	if err != nil {
		return tree.Value{}, err
	}
	var o tree.Object
	for _, pair := range pairs {
		o.Set(pair[0], tree.String(pair[1]))
	}
	return o.Value(), nil
}

// failed returns the error that an answer holds, whatever its status was.
func (cfg *Config) failed(answer tree.Value) error {
	code := answer.Pointer(cfg.Failure.Code)
	description := answer.Pointer(cfg.Failure.Description).Text()
	success := cfg.Failure.Success == "" || answer.Pointer(cfg.Failure.Success).Bool()
	switch {
	case code.Text() != "" && code.Text() != "false":
		return cfg.failure(code.Text(), description)
	case code.Kind() == tree.KindObject || !success:
		return cfg.failure("an error without a code", description)
	}
	return nil
}

// failure gives a code of the upstream its kind.
func (cfg *Config) failure(code, description string) error {
	if kind, ok := cfg.Failure.Kinds[code]; ok {
		return sdk.Fail(kind, sdk.UpstreamText(code, description))
	}
	return sdk.OAuthError(code, description)
}

// Credential reads a token answer. The account is not part of it.
func (cfg *Config) Credential(c *sdk.Conversation, answer tree.Value) (*sdk.Credential, error) {
	t := cfg.Token
	cred := &sdk.Credential{
		AccessToken:      answer.Pointer(t.AccessToken).Str(),
		TokenType:        answer.Pointer(t.TokenType).Str(),
		RefreshToken:     answer.Pointer(t.RefreshToken).Str(),
		ExpiresAt:        after(c.Now(), answer.Pointer(t.ExpiresIn)),
		RefreshExpiresAt: after(c.Now(), answer.Pointer(t.RefreshExpiresIn)),
		Scopes:           scopes(answer.Pointer(t.Scope), t.ScopeSeparators),
	}
	if t.ExpiresAt != "" {
		if at := instant(answer.Pointer(t.ExpiresAt)); at != 0 {
			cred.ExpiresAt = at
		}
	}
	if cred.AccessToken == "" {
		return nil, sdk.Unavailable("The upstream sent no token.", "no access token at "+t.AccessToken)
	}
	return cred, nil
}

// after returns the time v seconds from now in seconds since 1970, or 0 if v
// is no positive number. RFC 6749 §5.1 wants a number; some send text.
func after(now time.Time, v tree.Value) int64 {
	seconds := number(v)
	const century = 100 * 366 * 24 * 3600
	if seconds <= 0 || seconds > century {
		return 0
	}
	return now.Unix() + seconds
}

// instant returns v in seconds since 1970, or 0. Numbers too large for seconds
// in this millennium are milliseconds.
func instant(v tree.Value) int64 {
	if n := number(v); n > 0 {
		const year3000 = 32503680000
		if n > year3000 {
			n /= 1000
		}
		return n
	}
	if at, ok := sdk.ParseTime(v.Str()); ok {
		return at.Unix()
	}
	return 0
}

// number reads a whole number that may be written as text.
func number(v tree.Value) int64 {
	if n, ok := v.Int(); ok {
		return n
	}
	n, _ := sdk.ParseInt(v.Str())
	return n
}

// scopes reads a list, or text in which each of separators separates.
func scopes(v tree.Value, separators string) []string {
	if v.Kind() == tree.KindArray {
		return v.Strings()
	}
	return strings.FieldsFunc(v.Str(), func(r rune) bool { return strings.ContainsRune(separators, r) })
}
