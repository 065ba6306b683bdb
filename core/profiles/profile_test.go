package profiles

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// profile is what is known of one client. Its requests are templates: a {name}
// stands for what the client has learned under that name, form-encoded where
// the request is; everything else is sent as it stands.
type profile struct {
	name    string
	agent   string // User-Agent; empty: nothing particular is known
	origin  string // of the page it runs in; empty: it is no script
	version string // MCP revision

	// Discovery. Addresses know {origin} and {path}, of the MCP server's URL for
	// probes and of the issuer for metadata.
	probes    []string // asked first; 404 is as good as 200
	wellKnown bool     // does not read resource_metadata in the challenge
	metadata  []string // forms of the metadata's address, asked until one answers

	// Who it is: as the operator wrote down, else by its document if the server
	// takes documents, else as it registers.
	preset     [2]string // id and secret
	document   string    // URL
	published  string    // what is there
	noDocument bool      // the tenant takes no documents
	register   string    // body of the registration

	redirect  string // where it wants the answer
	state     string // empty: it sends none
	authorize string // query of the authorization request
	reconnect string // the same when it connects again; empty: authorize
	token     string // body of the token request
	refresh   string // body of the refresh

	strict strictness
}

// specOrder is where SDKs look for the metadata of an authorization server.
func specOrder() []string {
	return []string{
		"{origin}/.well-known/oauth-authorization-server{path}",
		"{origin}/.well-known/openid-configuration{path}",
		"{origin}{path}/.well-known/openid-configuration",
	}
}

// Requests as the SDKs write them.
const (
	authorizeSDK = "response_type=code&client_id={client_id}&code_challenge={challenge}&code_challenge_method=S256" +
		"&redirect_uri={redirect_uri}&state={state}&scope={scope}&resource={resource}"
	tokenSDK   = "grant_type=authorization_code&code={code}&code_verifier={verifier}&redirect_uri={redirect_uri}&resource={resource}&client_id={client_id}"
	refreshSDK = "grant_type=refresh_token&refresh_token={refresh_token}&resource={resource}&client_id={client_id}"

	withSecret    = "&client_secret={client_secret}"
	withAssertion = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}"
)

// typescript fills in what a client on the TypeScript SDK, v1, leaves to it.
func typescript(p profile) profile {
	p.strict.nulls, p.strict.openid, p.strict.serverErrors = true, true, true // zod, and no second try
	if p.strict.resource == nil {
		p.strict.resource = below
	}
	return sdk(p)
}

// python does so for the Python SDK.
func python(p profile) profile {
	p.strict.issuer, p.strict.iss = exactly, true
	if p.strict.resource == nil {
		p.strict.resource = below
	}
	return sdk(p)
}

// rust does so for the Rust SDK.
func rust(p profile) profile {
	p.strict.issuer, p.strict.iss, p.strict.pkce = exactly, true, true
	return sdk(p)
}

// sdk fills in what all SDKs have in common.
func sdk(p profile) profile {
	if p.metadata == nil {
		p.metadata = specOrder()
	}
	p.version = cmp.Or(p.version, "2025-11-25")
	p.authorize = cmp.Or(p.authorize, authorizeSDK)
	p.token = cmp.Or(p.token, tokenSDK)
	p.refresh = cmp.Or(p.refresh, refreshSDK)
	return p
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// fill puts what is known into a template. A profile that names what its client
// cannot know yet is wrong itself.
func fill(t *testing.T, template string, known map[string]string, encode func(string) string) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(template, func(name string) string {
		value, ok := known[strings.Trim(name, "{}")]
		if !ok {
			t.Fatalf("%s is not known when it is sent in %s", name, template)
		}
		return encode(value)
	})
}

// address fills the template of an address for the server at base.
func address(t *testing.T, template, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return fill(t, template, map[string]string{"origin": u.Scheme + "://" + u.Host, "path": u.Path}, asIs)
}

func asIs(s string) string { return s }
