package core_test

import "strings"

// everywhere is, for every route that is mounted, requests that go all the way:
// to the store, the upstream, the backend.
func everywhere() map[string][]arrival {
	music := func(method, path, query, headers, body string) arrival {
		return arrival{method, "mcp.example", "/music" + path, query, headers, body}
	}
	const (
		exchange = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type=urn:ietf:params:oauth:token-type:access_token&subject_token="
		basic    = asForm + "\nAuthorization: Basic {apibasic}"
		call     = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"}}`
	)
	all := map[string][]arrival{
		"/register":             {music("POST", "/register", "", asJSON, `{"redirect_uris":["{callback}"]}`)},
		"/register/{client_id}": {music("GET", "/register/{web}", "", "Authorization: Bearer {manage}", ""), music("DELETE", "/register/{web}", "", "Authorization: Bearer {manage}", "")},
		"/authorize":            {music("GET", "/authorize", goodAuthorize, cookies, ""), music("GET", "/authorize", "client_id={client}&request_uri={pushed}", "", "")},
		"/par":                  {music("POST", "/par", "", asForm, strings.ReplaceAll(goodAuthorize, "{client}", "{web}")+"&client_secret={websecret}")},
		"/consent": {
			music("POST", "/consent", "", asForm+"\n"+cookies, "request={form}&decision=approve"), music("POST", "/consent", "", asForm+"\n"+cookies, "request={form}&decision=deny"),
			music("POST", "/consent", "", asForm+"\n"+cookies, "request={pushedform}&decision=approve"),
		},
		"/callback": {music("GET", "/callback", "code=ada&state={state}", cookies, ""), music("GET", "/callback", "error=access_denied&state={state}", cookies, "")},
		"/connections": {
			music("GET", "/connections", "", cookies, ""), music("POST", "/connections", "", asForm+"\n"+cookies, "request={visit}&do=end-all"),
			music("POST", "/connections", "", asForm+"\n"+cookies, "request={visit}&do=sign-in"), music("POST", "/connections", "", asForm+"\n"+cookies, "request={visit}&end={grant}"),
		},
		"/token": {
			music("POST", "/token", "", asForm, "grant_type=authorization_code&code={code}&client_id={client}&redirect_uri={callback}&code_verifier={verifier}"),
			music("POST", "/token", "", asForm, "grant_type=refresh_token&refresh_token={refresh}&client_id={client}"),
			music("POST", "/token", "", basic, exchange+"{access}"), music("POST", "/token", "", basic, exchange+"{due}"),
		},
		"/revoke":     {music("POST", "/revoke", "", asForm, "token={access}&client_id={client}"), music("POST", "/revoke", "", asForm, "token={code}&client_id={client}")},
		"/introspect": {music("POST", "/introspect", "", basic, "token={access}")},
	}
	for _, path := range []string{"/mcp", "/mcp/", "/mcp/{backend}", "/mcp/{backend}/"} {
		here := strings.Replace(path, "{backend}", "files", 1)
		for _, token := range []string{"{access}", "{due}"} {
			all[path] = append(
				all[path], music("POST", here, "", "Authorization: Bearer "+token+"\n"+asJSON, call), music("GET", here, "", "Authorization: Bearer "+token, ""),
				music("DELETE", here, "", "Authorization: Bearer "+token, ""),
			)
		}
		all[path] = append(all[path], music("POST", here, "", asJSON, `{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	}
	documents := []string{
		"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/jwks.json", "/.well-known/oauth-protected-resource",
	}
	for _, name := range []string{"oauth-authorization-server", "openid-configuration", "oauth-protected-resource"} {
		for _, mcp := range []string{"/mcp", "/mcp/{backend}"} {
			documents = append(documents, "/.well-known/"+name+mcp, mcp+"/.well-known/"+name)
		}
	}
	for _, document := range documents {
		here := strings.Replace(document, "{backend}", "files", 1)
		all[document] = []arrival{music("GET", here, "", "", ""), music("HEAD", here, "", "", "")}
	}
	all[onOperator] = []arrival{{"GET", operatorHost, "/forward-auth/octo/mcp", "", "Proxy-Authorization: Basic {edgebasic}\nAuthorization: Bearer {octodue}", ""}}
	return all
}

// onOperator is what the operator's listener answers beside health, which tells
// the operator what is wrong.
const onOperator = "forward auth"
