package oauth2

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// account returns whose token it is: from the ID token if the table names an
// issuer and one came, and from userinfo for what the ID token leaves out of
// what is needed (OpenID Connect Core §5.4 puts a user's claims there), or for
// everything if there is no ID token.
func (cfg *Config) account(c *sdk.Conversation, in sdk.ExchangeInput, accessToken string, answer tree.Value) (*sdk.Account, error) {
	claims, err := cfg.idToken(c, in, answer)
	switch {
	case err != nil:
		return nil, err
	case !claims.Exists() && cfg.Issuer != "" && (cfg.UserinfoURL == "" || len(cfg.Claims) > 0):
		return nil, sdk.Unavailable("The upstream did not say who you are.", "no ID token at "+cfg.Token.IDToken+" and no userinfo endpoint; "+members(answer))
	case !claims.Exists():
		return cfg.Account(c, accessToken, answer)
	}
	missing := cfg.missing(claims, in.Needs)
	if cfg.UserinfoURL == "" || cfg.Identity.NoUserinfo || missing == "" && !cfg.Identity.Userinfo {
		return cfg.readAccount(claims)
	}
	user, err := cfg.askUserinfo(c, accessToken)
	switch {
	case err != nil && (cfg.Identity.Userinfo || missing != "name"):
		return nil, err
	case err != nil: // a name is not worth a login
		return cfg.readAccount(claims)
	case !cfg.sameSubject(claims, user): // OpenID Connect Core §5.3.2
		return nil, sdk.Unavailable("The upstream contradicts itself about who you are.", "userinfo and ID token name different accounts: their sub must be the same")
	case cfg.Identity.Userinfo:
		return cfg.readAccount(user, claims)
	}
	return cfg.readAccount(claims, user)
}

// missing returns the first of the account's members needed that the claims do
// not tell, a name last, or "" if they tell all of them.
func (cfg *Config) missing(claims tree.Value, needs []string) string {
	id := cfg.Identity
	lacks := func(pointer string) bool { return pointer != "" && !claims.Pointer(pointer).Exists() }
	if lacks(id.ID) && !lacks("/sub") { // without sub nothing says that userinfo is about the same user
		return "id"
	}
	for _, need := range []struct {
		name  string
		lacks bool
	}{
		{"organizations", lacks(id.Organizations)},
		{"email_verified", lacks(id.Email) || lacks(id.EmailVerified)},
		{"email", lacks(id.Email)},
		{"name", lacks(id.Name)},
	} {
		if need.lacks && slices.Contains(needs, need.name) {
			return need.name
		}
	}
	return ""
}

// sameSubject reports whether userinfo is about the subject of the ID token. An
// answer without a sub, which OpenID Connect does not allow, is compared by
// the account's identifier.
func (cfg *Config) sameSubject(claims, user tree.Value) bool {
	at := "/sub"
	if !user.Pointer(at).Exists() {
		at = cfg.Identity.ID
	}
	subject := user.Pointer(at).Text()
	return subject != "" && subject == claims.Pointer(at).Text()
}

// Account looks up whose token it is, or reads it from the token answer if the
// table names no UserinfoURL.
func (cfg *Config) Account(c *sdk.Conversation, accessToken string, answer tree.Value) (*sdk.Account, error) {
	if cfg.UserinfoURL == "" {
		return cfg.ReadAccount(answer)
	}
	user, err := cfg.askUserinfo(c, accessToken)
	if err != nil {
		return nil, err
	}
	return cfg.readAccount(user)
}

// askUserinfo returns the claims that UserinfoURL answers with.
func (cfg *Config) askUserinfo(c *sdk.Conversation, accessToken string) (tree.Value, error) {
	resp, err := cfg.ask(c, cfg.userinfo(accessToken), place("userinfo", cfg.UserinfoURL))
	if err != nil {
		return tree.Value{}, err
	}
	user, err := cfg.userClaims(c, resp)
	if err != nil {
		return tree.Value{}, err
	}
	return user, cfg.failed(user)
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

// ask performs a request that carries the access token and returns its answer,
// whose status is then 2xx.
func (cfg *Config) ask(c *sdk.Conversation, r *sdk.Request, what string) (*sdk.Response, error) {
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return nil, Placed(err, what)
	}
	switch {
	case resp.Status == 401: // RFC 6750 §3.1 invalid_token
		return nil, sdk.InvalidGrant("The upstream did not accept its own token. Please connect again.", what+": status 401")
	case resp.Status == 403: // RFC 6750 §3.1 insufficient_scope
		return nil, sdk.InvalidScope("The permissions granted do not allow to see who you are.", what+": status 403")
	case !resp.OK():
		return nil, resp.Unreadable(what)
	}
	return resp, nil
}

// ReadAccount finds the account in an answer.
func (cfg *Config) ReadAccount(answer tree.Value) (*sdk.Account, error) {
	if err := cfg.failed(answer); err != nil {
		return nil, err
	}
	return cfg.readAccount(answer)
}

// readAccount finds the account in documents about one subject: each member is
// that of the first document which has it.
func (cfg *Config) readAccount(docs ...tree.Value) (*sdk.Account, error) {
	id := cfg.Identity
	first := func(pointer string) tree.Value {
		for _, doc := range docs {
			if v := doc.Pointer(pointer); pointer != "" && v.Exists() {
				return v
			}
		}
		return tree.Value{}
	}
	account := &sdk.Account{ID: first(id.ID).Text(), Name: first(id.Name).Text(), Picture: first(id.Picture).Str()}
	account.Email, account.EmailVerified = cfg.email(docs)
	if account.ID == "" {
		return nil, sdk.Unavailable("The upstream did not say who you are.", "no account identifier at "+id.ID+"; "+members(docs[0]))
	}
	if id.Tenant != "" {
		tenant := first(id.Tenant).Text()
		if tenant == "" {
			return nil, sdk.Unavailable("The upstream did not say who you are.", "no tenant at "+id.Tenant+"; "+members(docs[0]))
		}
		account.ID = tenant + "/" + account.ID
		account.Organizations = append(account.Organizations, tenant)
	}
	account.Organizations = append(account.Organizations, identifiers(first(id.Organizations))...)
	return account, nil
}

// email returns the e-mail address and whether it is verified, both from one
// document: the first that tells both, or else the first with an address.
func (cfg *Config) email(docs []tree.Value) (address string, verified bool) {
	for _, doc := range docs {
		found := doc.Pointer(cfg.Identity.Email).Str()
		flag := doc.Pointer(cfg.Identity.EmailVerified)
		switch {
		case found == "":
		case flag.Exists():
			return found, flag.Text() == "true" // some write the boolean as text
		case address == "":
			address = found
		}
	}
	return address, false
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
	resp, err := cfg.ask(c, cfg.decorate(sdk.Get(l.URL).Bearer(accessToken)), place("lookup", l.URL))
	if err != nil {
		return nil, err
	}
	answer, err := resp.JSON()
	if err != nil {
		return nil, err
	}
	list := answer.Pointer(l.List)
	if list.Kind() != tree.KindArray {
		return nil, sdk.Unavailable("The upstream does not answer as expected. Please try again later.", "lookup: no list at "+l.List+"; "+members(answer))
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
