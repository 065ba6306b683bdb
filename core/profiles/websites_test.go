package profiles

import (
	"cmp"
	"strings"
)

// The clients that run on a website of their own: its servers ask, and its
// address takes the answer.

// websites returns their profiles. Comments say where the facts are from.
func websites() []profile {
	return []profile{
		// Its document as of 2026-09-29; the User-Agent and the odd scopes (one of
		// its own where it read none, one with a space before it) from servers' logs.
		claude(profile{name: "Claude by document", document: claudeDocument, published: claudeDocumentText}),
		claude(profile{
			name: "Claude by registration", noDocument: true,
			register: `{"client_name":"Claude","redirect_uris":["{redirect_uri}"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],
				"token_endpoint_auth_method":"client_secret_post","scope":"claudeai"}`,
			authorize: authorizeClaude + "&scope=claudeai", token: tokenSDK + withSecret, refresh: refreshSDK + withSecret,
			strict: strictness{secret: true},
		}),
		claude(profile{
			name: "Claude at its other address", noDocument: true, redirect: "https://claude.com/api/mcp/auth_callback",
			register: `{"client_name":"Claude","redirect_uris":["{redirect_uri}"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"client_secret_post"}`,
			token: tokenSDK + withSecret, refresh: refreshSDK + withSecret,
			strict: strictness{secret: true},
		}),

		// Its documents as of 2026-09-08, its rules for iss and issuer from its
		// documentation. The one redirect URI for all connectors is used where iss is
		// promised, else one for each. It connects again without a scope.
		chatGPT(profile{
			name: "ChatGPT by document", document: "https://chatgpt.com/oauth/client.json",
			published: `{"client_id":"https://chatgpt.com/oauth/client.json","client_uri":"https://chatgpt.com/","client_name":"ChatGPT",
				"redirect_uris":["https://chatgpt.com/connector_platform_oauth_redirect"],
				"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_methods_supported":["none","private_key_jwt"],
				"token_endpoint_auth_signing_alg":"RS256","jwks_uri":"https://chatgpt.com/oauth/jwks.json",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],
				"logo_uri":"https://persistent.oaistatic.com/sonic/misc/openai-logo.png"}`,
			redirect: "https://chatgpt.com/connector_platform_oauth_redirect",
			token:    tokenSDK + withAssertion, refresh: refreshSDK + withAssertion,
			strict: strictness{promise: true},
		}),
		chatGPT(profile{
			name: "ChatGPT by a connector's document", document: "https://chatgpt.com/oauth/OUbdUMlL15Ct/client.json",
			published: `{"client_id":"https://chatgpt.com/oauth/OUbdUMlL15Ct/client.json","client_name":"ChatGPT",
				"redirect_uris":["https://chatgpt.com/connector/oauth/OUbdUMlL15Ct"],
				"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"RS256",
				"jwks_uri":"https://chatgpt.com/oauth/jwks.json",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`,
			redirect: "https://chatgpt.com/connector/oauth/OUbdUMlL15Ct",
			token:    tokenSDK + withAssertion, refresh: refreshSDK + withAssertion,
		}),
		chatGPT(profile{
			name: "ChatGPT by registration", noDocument: true, redirect: "https://chatgpt.com/connector/oauth/OUbdUMlL15Ct",
			register: `{"client_name":"ChatGPT","redirect_uris":["{redirect_uri}"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		}),

		// Its document as of September 2026; both redirect URIs end in a slash.
		sdk(profile{
			name: "Grok by document", document: "https://grok.com/oauth/mcp-client.json", state: "5c2f6d1e",
			published: `{"client_id":"https://grok.com/oauth/mcp-client.json","client_name":"Grok",
				"redirect_uris":["https://grok.com/connectors-oauth-exchange-code/","https://console.x.ai/connectors-oauth-exchange-code/"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			redirect: "https://grok.com/connectors-oauth-exchange-code/",
		}),
		sdk(profile{
			name: "Grok by registration", noDocument: true, state: "5c2f6d1e", redirect: "https://grok.com/connectors-oauth-exchange-code/",
			register: `{"client_name":"Grok","redirect_uris":["{redirect_uri}"],"token_endpoint_auth_method":"none",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`,
		}),

		// Its website answers servers with a test for browsers (seen in September
		// 2026, and of claude.ai too), so the operator wrote down what is there.
		sdk(profile{
			name: "Grok written down", preset: [2]string{"https://grok.com/oauth/mcp-client.json"}, state: "5c2f6d1e",
			redirect: "https://grok.com/connectors-oauth-exchange-code/",
		}),

		// The redirect URI is made from the connector's name. It does not say how it
		// authenticates, so it is given a secret, which Power Platform puts in the body.
		sdk(profile{
			name: "Copilot Studio", noDocument: true, state: "VGhpcyBpcyBhIHN0YXRl", wellKnown: true,
			register: `{"client_name":"Copilot Studio","redirect_uris":["{redirect_uri}"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`,
			redirect: "https://global.consent.azure-apim.net/redirect/new-5fmusic-5f2c63c87a6469",
			token:    tokenSDK + withSecret, refresh: "grant_type=refresh_token&refresh_token={refresh_token}&client_id={client_id}" + withSecret,
			strict: strictness{secret: true},
		}),

		typescript(profile{
			name: "Smithery", noDocument: true, state: "2f0c9a57", redirect: "https://connect.smithery.ai/oauth/callback",
			register: `{"client_name":"Smithery","redirect_uris":["{redirect_uri}"],"token_endpoint_auth_method":"none",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`,
		}),

		// It says that it has no secret, and stops where it is given none.
		python(profile{
			name: "Perplexity", noDocument: true, state: "q7Zk", redirect: "https://www.perplexity.ai/rest/connections/oauth_callback",
			register: `{"client_name":"Perplexity","redirect_uris":["{redirect_uri}"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			token: tokenSDK + withSecret, refresh: refreshSDK + withSecret,
			strict: strictness{secret: true},
		}),

		// What it runs on is written down at both sides. It reads the OpenID document,
		// and its resource ends in a slash that nobody else writes.
		sdk(profile{
			name: "Le Chat", preset: [2]string{"le-chat", "written-down-at-both-sides"}, state: "c04a7505-ae60-4649-9aec-7e982805e5f7",
			metadata:  []string{"{origin}{path}/.well-known/openid-configuration"},
			redirect:  "https://callback.mistral.ai/v1/integrations_auth/oauth2_callback",
			authorize: authorizeSDK + "%2F",
			token:     strings.Replace(tokenSDK, "{resource}", "{resource}%2F", 1) + withSecret, refresh: refreshSDK + withSecret,
			strict: strictness{openid: true},
		}),
	}
}

const (
	claudeDocument     = "https://claude.ai/oauth/mcp-oauth-client-metadata"
	claudeDocumentText = `{"client_id":"https://claude.ai/oauth/mcp-oauth-client-metadata","client_name":"Claude","client_uri":"https://claude.ai",
		"redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"response_types":["code"],"token_endpoint_auth_method":"none",
		"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:jwt-bearer"]}`

	authorizeClaude = "response_type=code&client_id={client_id}&redirect_uri={redirect_uri}&code_challenge={challenge}&code_challenge_method=S256" +
		"&state={state}&resource={resource}"
)

// claude fills in what its variants have in common.
func claude(p profile) profile {
	p.agent, p.state = "python-httpx/0.28.1", "WqD3kF0v_bM"
	p.strict.resource = exactly
	p.redirect = cmp.Or(p.redirect, "https://claude.ai/api/mcp/auth_callback")
	p.authorize = cmp.Or(p.authorize, authorizeClaude+"&scope=+offline_access")
	return python(p)
}

// chatGPT likewise. It never normalises an issuer.
func chatGPT(p profile) profile {
	p.state = "oauth_s_68f1c0"
	p.strict.issuer, p.strict.iss, p.strict.pkce = exactly, true, true
	p.reconnect = "response_type=code&client_id={client_id}&redirect_uri={redirect_uri}&code_challenge={challenge}&code_challenge_method=S256" +
		"&state={state}&resource={resource}"
	return sdk(p)
}
