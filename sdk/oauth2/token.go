package oauth2

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Callback returns what the upstream said instead of sending a code, and
// refuses a callback of another issuer than the table's (RFC 9207 §2.4).
func (cfg *Config) Callback(in sdk.ExchangeInput) error {
	iss := in.Query.Get("iss")
	known := cfg.Issuer != "" && !strings.Contains(cfg.Issuer, "{")
	switch {
	case known && iss == "" && cfg.Query.Issuer:
		return sdk.Misconfigured("The answer does not say which upstream it came from.", "callback: it has no iss (RFC 9207), which the upstream's metadata promises or the setting require_iss demands")
	case known && iss != "" && iss != cfg.Issuer:
		return sdk.Unavailable("The answer came from another upstream than the one asked.", "callback: iss is not the issuer "+cfg.Issuer+"; "+sdk.UpstreamText(iss, ""))
	}
	if code := in.Query.Get("error"); code != "" {
		return cfg.refusal(code, in)
	}
	in.Query = sdk.Form{{"code", in.Query.Get(cfg.Query.Code)}}
	_, err := in.Code()
	return err
}

// RequestToken sends a form to the token endpoint, in the body that the table
// says, and returns the answer as a tree once it is known to be no error. The
// request is never repeated: what it carries may work only once.
func (cfg *Config) RequestToken(c *sdk.Conversation, url string, form sdk.Form) (tree.Value, error) {
	request := sdk.PostForm(url, form)
	if cfg.Body == BodyJSON {
		request = sdk.PostJSON(url, object(form))
	}
	resp, err := c.Do(cfg.decorate(request).AuthWith(cfg.clientAuth(cfg.ClientAuth)))
	if err != nil {
		return tree.Value{}, err
	}
	cfg.answered = resp
	answer, err := cfg.read(resp)
	var failure error
	if err == nil {
		failure = cfg.failed(answer)
	}
	what, busy := place("token endpoint", url), resp.Overload(c.Now())
	kind, told := cfg.Failure.Kinds[strconv.Itoa(resp.Status)]
	switch {
	case told && !resp.OK() && failure == nil: // the status stands for the code that is missing
		return tree.Value{}, later(sdk.Fail(kind, resp.Unreadable(what).Detail), resp)
	case busy != nil && !endsToken(failure): // some send invalid_grant with a 500
		return tree.Value{}, Placed(busy, what)
	case failure != nil:
		return tree.Value{}, later(failure, resp)
	case resp.Status/100 == 3:
		return tree.Value{}, moved(what, resp)
	case resp.Status == 401: // RFC 6749 §5.2: only ever invalid_client
		return tree.Value{}, sdk.OAuthError("invalid_client", "status 401")
	case !resp.OK():
		return tree.Value{}, resp.Unreadable(what)
	}
	return answer, err
}

// place names an endpoint and its URL for a detail, without a query.
func place(what, url string) string {
	url, _, _ = strings.Cut(url, "?")
	return what + " at " + url
}

// Placed puts before an error's detail where the answer came from.
func Placed(err error, what string) error {
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		named := *e
		named.Detail = what + ": " + e.Detail
		return &named
	}
	return err
}

// later adds to an error like slow_down (RFC 8628 §3.5) when to ask again, if the
// answer says it.
func later(err error, resp *sdk.Response) error {
	if e, ok := errors.AsType[*sdk.Error](err); ok && e.Kind == abi.KindRateLimited && e.RetryAfter == 0 {
		if seconds, ok := sdk.ParseSeconds(resp.Header("retry-after")); ok {
			e.RetryAfter = int(seconds)
		}
	}
	return err
}

// moved is the error for an endpoint that redirects: RFC 6749 §3.2 knows no such
// answer, and what is sent there is for that URL only.
func moved(what string, resp *sdk.Response) error {
	if resp.Status == 304 { // RFC 9110 §15.4.5: no redirect, and an answer to conditional requests only
		return sdk.Fail(abi.KindMisconfigured, what+": status 304 (Not Modified), although the request has no condition; check the URL and any cache or proxy in front of it")
	}
	return sdk.Fail(abi.KindMisconfigured, what+": status "+strconv.Itoa(resp.Status)+
		", a redirect, which is not followed; if the endpoint has moved set its new address; "+sdk.UpstreamText(resp.Header("location"), ""))
}

// endsToken reports whether the upstream says that a code or a refresh token has
// ended.
func endsToken(err error) bool {
	e, ok := errors.AsType[*sdk.Error](err)
	return ok && e.Kind == abi.KindInvalidGrant
}

// read parses an answer in the table's format, or by its content type.
func (cfg *Config) read(resp *sdk.Response) (tree.Value, error) {
	kind, _, _ := strings.Cut(resp.Header("content-type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	form := kind == "application/x-www-form-urlencoded" || kind == "text/plain" && !opensObject(resp.Body)
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
	return object(pairs), nil
}

// opensObject reports whether the first character of a text is that of a JSON
// object, after white space or a byte order mark.
func opensObject(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, "\ufeff \t\r\n"), []byte("{"))
}

// object turns pairs into an object of strings; of several with one name the
// last counts.
func object(pairs sdk.Form) tree.Value {
	var o tree.Object
	for _, pair := range pairs {
		o.Set(pair[0], tree.String(pair[1]))
	}
	return o.Value()
}

// failed returns the error that an answer holds, whatever its status was.
func (cfg *Config) failed(answer tree.Value) error {
	code := answer.Pointer(cfg.Failure.Code)
	description := answer.Pointer(cfg.Failure.Description).Text()
	success := answer.Pointer(cfg.Failure.Success).Text() == cfg.Failure.SuccessValue
	switch {
	case cfg.Failure.Success != "" && success:
		return nil // whatever is at Failure.Code, which may be the same place
	case code.Text() != "" && code.Text() != "false" && code.Text() != "0": // some servers send false or 0 where there is no error
		return cfg.failure(code.Text(), description)
	case code.Kind() == tree.KindObject || cfg.Failure.Success != "":
		return cfg.failure("an error without a code", description)
	}
	return nil
}

// refusal is the error of a callback with a code. One that is about scopes says
// which were asked for.
func (cfg *Config) refusal(code string, in sdk.ExchangeInput) error {
	err := cfg.failure(code, in.Query.Get("error_description"))
	if e, ok := errors.AsType[*sdk.Error](err); ok && e.Kind == abi.KindInvalidScope {
		scopes := in.Scopes
		if len(scopes) == 0 {
			scopes = cfg.DefaultScopes
		}
		if len(scopes) == 0 {
			e.Detail += "; the login asked for none"
			return err
		}
		e.Detail += "; the login asked for " + strings.Join(scopes, " ")
	}
	return err
}

// failure gives a code of the upstream its kind.
func (cfg *Config) failure(code, description string) error {
	if kind, ok := cfg.Failure.Kinds[code]; ok {
		e := sdk.Fail(kind, sdk.UpstreamText(code, description))
		e.Certain = true
		return e
	}
	status := 400 // of the callback, which has none
	if cfg.answered != nil {
		status = cfg.answered.Status
	}
	return sdk.OAuthAnswer(status, code, description)
}

// Credential reads a token answer. The account is not part of it.
func (cfg *Config) Credential(c *sdk.Conversation, answer tree.Value) (*sdk.Credential, error) {
	t := cfg.Token
	cred := &sdk.Credential{
		AccessToken:  answer.Pointer(t.AccessToken).Str(),
		TokenType:    answer.Pointer(t.TokenType).Str(),
		RefreshToken: refreshToken(answer.Pointer(t.RefreshToken)),
		ExpiresAt:    expiry(c.Now(), answer.Pointer(t.ExpiresIn), t.Lifetime),
		Scopes:       cfg.scopes(answer.Pointer(t.Scope)),
	}
	if t.ExpiresAt != "" {
		if at := instant(answer.Pointer(t.ExpiresAt)); at != 0 {
			cred.ExpiresAt = at
		}
	}
	if cfg.RefreshPolicy == RefreshNone {
		cred.RefreshToken = ""
	}
	life := t.RefreshLifetime
	if cred.RefreshToken == "" {
		life = 0
	}
	cred.RefreshExpiresAt = expiry(c.Now(), answer.Pointer(t.RefreshExpiresIn), life)
	if cred.AccessToken == "" {
		return nil, sdk.Unavailable("The upstream sent no token.", cfg.noToken(answer))
	}
	if what := cfg.unusable(cred); what != "" {
		return nil, sdk.Unavailable("The upstream sent a token that cannot be used.", what)
	}
	return cred, nil
}

// refreshToken reads a refresh token. RFC 6749 §5.1 defines a string; an upstream
// that sends a number expects its digits again. 0 and false mean no refresh token.
func refreshToken(v tree.Value) string {
	if v.Kind() == tree.KindBool || v.Kind() == tree.KindNumber && v.Text() == "0" {
		return ""
	}
	return v.Text()
}

// unusable reports what keeps the tokens of an answer from being used, which is
// the upstream's mistake and not the module's: characters that no header takes
// (RFC 6750 §2.1), or more bytes than a host keeps (sdk/ABI.md).
func (cfg *Config) unusable(cred *sdk.Credential) string {
	const most = 32 << 10
	switch {
	case strings.ContainsFunc(cred.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "the access token at " + cfg.Token.AccessToken + " has characters that cannot be sent in a header, such as a space or a line's end"
	case len(cred.AccessToken) > most:
		return "the access token at " + cfg.Token.AccessToken + " has " + strconv.Itoa(len(cred.AccessToken)) + " bytes, and 32768 may be"
	case len(cred.RefreshToken) > most:
		return "the refresh token at " + cfg.Token.RefreshToken + " has " + strconv.Itoa(len(cred.RefreshToken)) + " bytes, and 32768 may be"
	}
	return ""
}

// noToken describes an answer without an access token: its status, its media
// type, the names in it, and no value.
func (cfg *Config) noToken(answer tree.Value) string {
	why := "no access token at " + cfg.Token.AccessToken
	if found := answer.Pointer(cfg.Token.AccessToken); found.Kind() != tree.KindMissing {
		why += " (" + kindName(found.Kind()) + ")"
	}
	why += "; " + members(answer)
	if cfg.answered == nil {
		return why
	}
	return cfg.answered.Unreadable(why).Detail
}

func kindName(kind tree.Kind) string {
	switch kind {
	case tree.KindNull:
		return "null is there"
	case tree.KindString:
		return "an empty string is there"
	case tree.KindNumber:
		return "a number is there"
	case tree.KindBool:
		return "a boolean is there"
	case tree.KindArray:
		return "an array is there"
	}
	return "an object is there"
}

// expiry returns the time v seconds from now in seconds since 1970; if v says
// nothing, life seconds from now, and 0 if that is 0. RFC 6749 §5.1 wants a
// number; some send text.
func expiry(now time.Time, v tree.Value, life int64) int64 {
	seconds := number(v)
	const century = 100 * 366 * 24 * 3600
	if seconds <= 0 || seconds > century {
		seconds = life
	}
	if seconds <= 0 {
		return 0
	}
	return now.Unix() + seconds
}

// sooner returns the earlier of two times, where 0 is unknown.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// instant returns v in seconds since 1970, or 0. Numbers beyond the year 9999 are
// not seconds: they are milliseconds, microseconds or nanoseconds. The last second
// of that year means that there is no end.
func instant(v tree.Value) int64 {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	n := number(v)
	if at, ok := sdk.ParseTime(v.Str()); ok {
		n = min(at.Unix(), last)
	}
	for n > last {
		n /= 1000
	}
	if n < 0 || n == last {
		return 0
	}
	return n
}

// number reads a number of seconds, which may have a fraction or be written as
// text, or returns 0. A part of a second counts as a whole one: 0 is unknown.
func number(v tree.Value) int64 {
	n, ok := v.Floor()
	if mantissa, _, _ := strings.Cut(strings.ToLower(v.Text()), "e"); ok && n == 0 && strings.ContainsAny(mantissa, "123456789") {
		return 1
	}
	return n
}

// scopes reads a list, or text.
func (cfg *Config) scopes(v tree.Value) []string {
	if v.Kind() == tree.KindArray {
		return v.Strings()
	}
	return cfg.split(v.Str())
}

// split reads text in which each of the table's separators separates.
func (cfg *Config) split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(cfg.Token.ScopeSeparators, r) })
}

// keptOf returns the values of the callback that the table keeps.
func (cfg *Config) keptOf(query sdk.Form) sdk.Form {
	var kept sdk.Form
	for _, name := range cfg.Query.Keep {
		if value := query.Get(name); value != "" {
			kept.Add(name, value)
		}
	}
	return kept
}

// keptIn returns the values of the token answer that the table keeps.
func (cfg *Config) keptIn(answer tree.Value) sdk.Form {
	var kept sdk.Form
	for _, pair := range cfg.Token.Keep {
		if value := answer.Pointer(pair[1]).Text(); value != "" {
			kept.Add(pair[0], value)
		}
	}
	return kept
}

// extra lays values over an Extra that is known.
func extra(known sdk.Raw, values sdk.Form) sdk.Raw {
	if len(values) == 0 {
		return known
	}
	old, _ := tree.Parse(known) // our own; what is none holds nothing
	var all sdk.Form
	var o tree.Object
	for _, pair := range values {
		all.Set(pair[0], pair[1])
	}
	for _, m := range old.Members() {
		if all.Get(m.Name) == "" {
			o.Set(m.Name, m.Value)
		}
	}
	for _, pair := range all {
		o.Set(pair[0], tree.String(pair[1]))
	}
	return o.Value().Bytes()
}
