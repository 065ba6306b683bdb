package sdk

import (
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// encode writes the output document.
func (m move) encode() []byte {
	var head tree.Object
	var body []byte
	switch {
	case m.err != nil:
		head.Set("error", encodeError(m.err))
	case m.request != nil:
		head.Set("request", encodeRequest(m.request))
		body = m.request.body
	case m.waitMS > 0:
		head.Set("wait_ms", tree.Int(m.waitMS))
	default:
		head.Set("result", m.result)
	}
	text := head.Value().Bytes()
	n := len(text)
	doc := make([]byte, 0, 4+n+len(body))
	doc = append(doc, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	return append(append(doc, text...), body...)
}

func encodeError(e *Error) tree.Value {
	var o tree.Object
	o.Set("kind", tree.String(e.Kind))
	setText(&o, "message", e.Message)
	setText(&o, "detail", e.Detail)
	setNumber(&o, "retry_after", int64(e.RetryAfter))
	if e.Certain {
		o.Set("certain", tree.Bool(true))
	}
	return o.Value()
}

func encodeRequest(r *Request) tree.Value {
	var o tree.Object
	o.Set("method", tree.String(r.head.Method))
	o.Set("url", tree.String(r.head.URL))
	if len(r.head.Headers) > 0 {
		pairs := make([]tree.Value, len(r.head.Headers))
		for i, h := range r.head.Headers {
			pairs[i] = tree.Strings(h[:])
		}
		o.Set("headers", tree.Array(pairs...))
	}
	o.Set("body_len", tree.Int(int64(len(r.body))))
	if r.head.ClientAuth != nil {
		var auth tree.Object
		auth.Set("method", tree.String(r.head.ClientAuth.Method))
		setText(&auth, "id_param", r.head.ClientAuth.IDParam)
		setText(&auth, "secret_param", r.head.ClientAuth.SecretParam)
		setText(&auth, "audience", r.head.ClientAuth.Audience)
		o.Set("client_auth", auth.Value())
	}
	setFlag(&o, "idempotent", r.head.Idempotent)
	setNumber(&o, "max_age", int64(r.head.MaxAge))
	return o.Value()
}

func encodeCredential(c *Credential) (tree.Value, error) {
	var o tree.Object
	o.Set("access_token", tree.String(c.AccessToken))
	setText(&o, "token_type", c.TokenType)
	setText(&o, "refresh_token", c.RefreshToken)
	setNumber(&o, "expires_at", c.ExpiresAt)
	setNumber(&o, "refresh_expires_at", c.RefreshExpiresAt)
	if len(c.Scopes) > 0 {
		o.Set("scopes", tree.Strings(c.Scopes))
	}
	if c.Account != nil {
		var account tree.Object
		account.Set("id", tree.String(c.Account.ID))
		setText(&account, "name", c.Account.Name)
		setText(&account, "email", c.Account.Email)
		setText(&account, "picture", c.Account.Picture)
		setFlag(&account, "email_verified", c.Account.EmailVerified)
		if len(c.Account.Organizations) > 0 {
			account.Set("organizations", tree.Strings(c.Account.Organizations))
		}
		o.Set("account", account.Value())
	}
	if err := setRaw(&o, "extra", c.Extra); err != nil {
		return tree.Value{}, err
	}
	return o.Value(), nil
}

func encodeManifest(m Manifest) (tree.Value, error) {
	var o tree.Object
	o.Set("abi", tree.String(m.ABI))
	o.Set("name", tree.String(m.Name))
	o.Set("version", tree.String(m.Version))
	o.Set("display_name", tree.String(m.DisplayName))
	setText(&o, "home_page", m.HomePage)
	if err := setRaw(&o, "settings", m.Settings); err != nil {
		return tree.Value{}, err
	}
	o.Set("hosts", tree.Strings(m.Hosts))
	if len(m.SecretURLs) > 0 {
		o.Set("secret_urls", tree.Strings(m.SecretURLs))
	}
	setScopes(&o, m.Scopes)
	var can tree.Object
	can.Set("pkce", tree.Bool(m.Capabilities.PKCE))
	can.Set("refresh", tree.Bool(m.Capabilities.Refresh))
	can.Set("revoke", tree.Bool(m.Capabilities.Revoke))
	can.Set("identity", tree.Bool(m.Capabilities.Identity))
	o.Set("capabilities", can.Value())
	o.Set("refresh", encodeRefreshRules(m.Refresh))
	return o.Value(), nil
}

func encodeCheckResult(r *CheckResult) tree.Value {
	var o tree.Object
	setText(&o, "display_name", r.DisplayName)
	setText(&o, "home_page", r.HomePage)
	if len(r.Hosts) > 0 {
		o.Set("hosts", tree.Strings(r.Hosts))
	}
	setScopes(&o, r.Scopes)
	if r.Refresh != nil {
		o.Set("refresh", encodeRefreshRules(*r.Refresh))
	}
	setText(&o, "identity", r.Identity)
	if r.PKCE != nil {
		o.Set("pkce", tree.Bool(*r.PKCE))
	}
	setText(&o, "callback_issuer", r.CallbackIssuer)
	setText(&o, "issuer", r.Issuer)
	setFlag(&o, "many_organizations", r.ManyOrganizations)
	return o.Value()
}

func encodeRefreshRules(r RefreshRules) tree.Value {
	var o tree.Object
	setFlag(&o, "rotates", r.Rotates)
	setFlag(&o, "single_use", r.SingleUse)
	setNumber(&o, "grace_seconds", int64(r.GraceSeconds))
	setFlag(&o, "ends_access_token", r.EndsAccessToken)
	setFlag(&o, "none", r.None)
	return o.Value()
}

func setScopes(o *tree.Object, list []Scope) {
	if len(list) == 0 {
		return
	}
	scopes := make([]tree.Value, len(list))
	for i, s := range list {
		var scope tree.Object
		scope.Set("name", tree.String(s.Name))
		setText(&scope, "description", s.Description)
		setFlag(&scope, "default", s.Default)
		scopes[i] = scope.Value()
	}
	o.Set("scopes", tree.Array(scopes...))
}

// setRaw adds JSON text that an author wrote.
func setRaw(o *tree.Object, name string, raw Raw) error {
	if len(raw) == 0 {
		return nil
	}
	v, err := tree.Parse(raw)
	if err != nil || v.Kind() != tree.KindObject {
		return Fail(abi.KindBug, name+" is no JSON object")
	}
	o.Set(name, v)
	return nil
}

func setText(o *tree.Object, name, s string) {
	if s != "" {
		o.Set(name, tree.String(s))
	}
}

func setNumber(o *tree.Object, name string, n int64) {
	if n != 0 {
		o.Set(name, tree.Int(n))
	}
}

func setFlag(o *tree.Object, name string, b bool) {
	if b {
		o.Set(name, tree.Bool(b))
	}
}
