package oauth2

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// account finds out whose token it is: from the ID token, if the table names an
// issuer and one came, and otherwise as Account does.
func (cfg *Config) account(c *sdk.Conversation, in sdk.ExchangeInput, accessToken string, answer tree.Value) (*sdk.Account, error) {
	claims, err := cfg.idToken(c, in, answer)
	switch {
	case err != nil:
		return nil, err
	case !claims.Exists() && cfg.Issuer != "" && cfg.UserinfoURL == "":
		return nil, sdk.Unavailable("The upstream did not say who you are.", "no ID token at "+cfg.Token.IDToken+" and no userinfo endpoint")
	case !claims.Exists():
		return cfg.Account(c, accessToken, answer)
	}
	account, err := cfg.readAccount(claims)
	if err != nil || cfg.UserinfoURL == "" || !cfg.Identity.Userinfo {
		return account, err
	}
	more, err := cfg.Account(c, accessToken, answer)
	if err != nil {
		return nil, err
	}
	if more.ID != account.ID { // OpenID Connect Core §5.3.2
		return nil, sdk.Unavailable("The upstream contradicts itself about who you are.", "userinfo and ID token name different accounts")
	}
	return more, nil
}

// Account looks up whose token it is, or reads it from the token answer if the
// table names no UserinfoURL.
func (cfg *Config) Account(c *sdk.Conversation, accessToken string, answer tree.Value) (*sdk.Account, error) {
	if cfg.UserinfoURL == "" {
		return cfg.ReadAccount(answer)
	}
	user, err := cfg.ask(c, cfg.userinfo(accessToken), "userinfo")
	if err != nil {
		return nil, err
	}
	return cfg.ReadAccount(user)
}

// userinfo returns the request that asks who the account is.
func (cfg *Config) userinfo(accessToken string) *sdk.Request {
	id := cfg.Identity
	method := id.Method
	if method == "" {
		method = "GET"
		if id.Body != "" || id.Introspect {
			method = "POST"
		}
	}
	url := strings.ReplaceAll(cfg.UserinfoURL, "{access_token}", sdk.PathEscape(accessToken))
	r := sdk.NewRequest(method, url).Idempotent() // a question, whatever its method
	switch {
	case id.Introspect:
		r.Form(sdk.Form{{"token", accessToken}}).AuthWith(cfg.clientAuth(cfg.ClientAuth))
	case url == cfg.UserinfoURL:
		r.Bearer(accessToken)
	}
	if id.Body != "" {
		body, _ := tree.Parse([]byte(id.Body)) // Resolve has refused what is no JSON
		r.JSON(body)
	}
	cfg.decorate(r)
	for _, h := range id.Headers {
		r.Header(h[0], h[1])
	}
	return r
}

// ask performs a request that carries the access token and returns its answer.
func (cfg *Config) ask(c *sdk.Conversation, r *sdk.Request, what string) (tree.Value, error) {
	resp, err := c.Do(r)
	if err != nil {
		return tree.Value{}, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return tree.Value{}, err
	}
	switch {
	case resp.Status == 401: // RFC 6750 §3.1 invalid_token
		return tree.Value{}, sdk.InvalidGrant("The upstream did not accept its own token. Please connect again.", what+": status 401")
	case resp.Status == 403: // RFC 6750 §3.1 insufficient_scope
		return tree.Value{}, sdk.InvalidScope("The permissions granted do not allow to see who you are.", what+": status 403")
	case !resp.OK():
		return tree.Value{}, resp.Unreadable(what)
	}
	return resp.JSON()
}

// ReadAccount finds the account in an answer.
func (cfg *Config) ReadAccount(answer tree.Value) (*sdk.Account, error) {
	if err := cfg.failed(answer); err != nil {
		return nil, err
	}
	return cfg.readAccount(answer)
}

func (cfg *Config) readAccount(v tree.Value) (*sdk.Account, error) {
	id := cfg.Identity
	account := &sdk.Account{
		ID:      v.Pointer(id.ID).Text(),
		Name:    v.Pointer(id.Name).Text(),
		Email:   v.Pointer(id.Email).Str(),
		Picture: v.Pointer(id.Picture).Str(),
	}
	// Some write the boolean as text.
	account.EmailVerified = account.Email != "" && v.Pointer(id.EmailVerified).Text() == "true"
	if account.ID == "" {
		return nil, sdk.Unavailable("The upstream did not say who you are.", "no account identifier at "+id.ID)
	}
	if id.Tenant != "" {
		tenant := v.Pointer(id.Tenant).Text()
		if tenant == "" {
			return nil, sdk.Unavailable("The upstream did not say who you are.", "no tenant at "+id.Tenant)
		}
		account.ID = tenant + "/" + account.ID
		account.Organizations = append(account.Organizations, tenant)
	}
	if id.Organizations != "" {
		account.Organizations = append(account.Organizations, identifiers(v.Pointer(id.Organizations))...)
	}
	return account, nil
}

// identifiers reads one identifier or a list of them.
func identifiers(v tree.Value) []string {
	var all []string
	for _, item := range append(v.Array(), v) {
		if text := item.Text(); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// lookUp makes the one request after consent and returns what it found as a
// name and value for Extra.
func (cfg *Config) lookUp(c *sdk.Conversation, accessToken string) (sdk.Form, error) {
	l := cfg.Lookup
	if l.URL == "" {
		return nil, nil
	}
	answer, err := cfg.ask(c, cfg.decorate(sdk.Get(l.URL).Bearer(accessToken)), "lookup")
	if err != nil {
		return nil, err
	}
	list := answer.Pointer(l.List)
	if list.Kind() != tree.KindArray {
		return nil, sdk.Unavailable("The upstream does not answer as expected. Please try again later.", "lookup: no list at "+l.List)
	}
	var found []tree.Value
	for _, item := range list.Array() {
		chosen := func(pointer string) bool { return item.Pointer(pointer).Text() == l.Choice }
		if l.Choice == "" || slices.ContainsFunc(l.Match, chosen) {
			found = append(found, item)
		}
	}
	switch {
	case len(found) == 0:
		return nil, sdk.InteractionRequired("You have no access there to what this server works with.", "lookup: nothing to choose from, or not the choice set")
	case len(found) > 1:
		return nil, sdk.Misconfigured("You have access to several, and this server is not set up to choose one.", "lookup: several to choose from; make the choice a setting")
	}
	value := found[0].Pointer(l.Value).Text()
	if value == "" {
		return nil, sdk.Unavailable("The upstream does not answer as expected. Please try again later.", "lookup: nothing at "+l.Value)
	}
	return sdk.Form{{l.Keep, value}}, nil
}
