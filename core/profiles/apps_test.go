package profiles

import (
	"cmp"
	"strings"
)

// The clients that run on the user's own machine: the answer goes to a port of
// it, or to a scheme that an application claims.

// apps returns their profiles. Comments say where the facts are from.
func apps() []profile {
	return []profile{
		// The document, as of 2026-09-08, lists addresses without a port. It asks for
		// offline_access whether it is offered or not.
		claudeCode(profile{
			name: "Claude Code by document", document: "https://claude.ai/oauth/claude-code-client-metadata",
			published: `{"client_id":"https://claude.ai/oauth/claude-code-client-metadata","client_name":"Claude Code","client_uri":"https://claude.ai",
				"redirect_uris":["http://localhost/callback","http://127.0.0.1/callback"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			redirect: "http://localhost:3118/callback",
		}),
		claudeCode(profile{
			name: "Claude Code by registration", noDocument: true, redirect: "http://localhost:54545/callback",
			register: registerClaudeCode,
		}),
		// Beside a protected resource metadata at the root it has been seen to name
		// the origin as the resource (anthropics/claude-code#52871).
		claudeCode(profile{
			name: "Claude Code, with the origin for resource", noDocument: true, redirect: "http://localhost:54545/callback",
			register:  registerClaudeCode,
			authorize: strings.Replace(authorizeClaudeCode, "{resource}", "{issuer}%2F", 1),
			token:     strings.Replace(tokenSDK, "{resource}", "{issuer}%2F", 1), refresh: strings.Replace(refreshSDK, "{resource}", "{issuer}%2F", 1),
		}),
		claudeCode(profile{
			name: "Claude Code in the desktop app", noDocument: true, redirect: "claude://claude.ai/mcp-auth-callback/sdk",
			register: registerClaudeCode,
		}),

		// The path ends in an id of the server, and so does the document's. Older ones
		// look for the metadata below the MCP server's own path. A refresh has neither
		// resource nor scope (openai/codex#33403).
		codex(profile{
			name: "Codex by document", document: "https://chatgpt.com/oauth/codex/abc123ABC_-x/client.json",
			published: `{"client_id":"https://chatgpt.com/oauth/codex/abc123ABC_-x/client.json","client_name":"Codex",
				"redirect_uris":["http://127.0.0.1/callback/abc123ABC_-x","http://localhost/callback/abc123ABC_-x"],
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		}),
		codex(profile{
			name: "Codex by registration", noDocument: true,
			register: `{"client_name":"Codex","redirect_uris":["{redirect_uri}"],"application_type":"native",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		}),

		// The document names one port, and the answer goes to any
		// (github/copilot-cli#4793).
		typescript(profile{
			name: "Copilot CLI by document", document: "https://github.com/copilot/cli/client-metadata.json",
			published: `{"client_id":"https://github.com/copilot/cli/client-metadata.json","client_name":"GitHub Copilot CLI","application_type":"native",
				"token_endpoint_auth_method":"none","redirect_uris":["http://127.0.0.1:33418/"]}`,
			redirect: "http://127.0.0.1:60005/", state: "Zp2mXw8rT0qLk4sV",
		}),

		// All three are registered at once, wherever it runs; it once sent no state.
		cursor("Cursor", "http://localhost:8787/callback"),
		cursor("Cursor before 3.10", "cursor://anysphere.cursor-mcp/oauth/callback"),
		cursor("Cursor in the cloud", "https://www.cursor.com/agents/mcp/oauth/callback"),

		// The registration is its source's, src/vs/base/common/oauth.ts: four redirect
		// URIs, one without a port, and grant types out of those we offer. The state is
		// base64, or the URL that vscode.dev hands the answer to.
		vsCode(profile{
			name: "VS Code by document", document: "https://vscode.dev/oauth/client-metadata.json",
			published: `{"client_id":"https://vscode.dev/oauth/client-metadata.json","client_name":"Visual Studio Code","client_uri":"https://vscode.dev/product",
				"redirect_uris":["http://127.0.0.1:33418/","https://vscode.dev/redirect"],"application_type":"native",
				"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],
				"response_types":["code"],"token_endpoint_auth_method":"none"}`,
			redirect: "http://127.0.0.1:33418/",
		}),
		vsCode(profile{name: "VS Code by registration", noDocument: true, redirect: "http://127.0.0.1:51239/", register: registerVSCode}),
		vsCode(profile{
			name: "VS Code in the browser", noDocument: true, redirect: "https://vscode.dev/redirect", register: registerVSCode,
			state: "vscode://dynamicauthprovider/music?nonce=gXVXo0%2FiMD8&windowId=1",
		}),
		vsCode(profile{
			name: "VS Code Insiders", noDocument: true, redirect: "https://insiders.vscode.dev/redirect", register: registerVSCode,
			state: "vscode-insiders://dynamicauthprovider/music?nonce=gXVXo0%2FiMD8&windowId=1",
		}),

		// A page asks, so a browser asks first. The registration has an empty scope.
		typescript(profile{
			name: "Inspector", noDocument: true, origin: "http://localhost:6274", state: "d41d8cd98f00b204", version: "2026-07-28",
			redirect: "http://localhost:6274/oauth/callback", register: registerInspector,
		}),
		typescript(profile{
			name: "Inspector on the command line", noDocument: true, state: "d41d8cd98f00b204",
			redirect: "http://127.0.0.1:6276/oauth/callback", register: registerInspector,
		}),

		// Its document lists another path than it uses, so it has to register.
		typescript(profile{
			name: "OpenCode", noDocument: true, state: "9f86d081884c7d659a2feaa0c55ad015", redirect: "http://127.0.0.1:19876/mcp/oauth/callback",
			register: `{"redirect_uris":["{redirect_uri}"],"client_name":"OpenCode","client_uri":"https://opencode.ai",
				"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		}),
	}
}

const (
	registerClaudeCode = `{"client_name":"Claude Code (music)","redirect_uris":["{redirect_uri}"],"application_type":"native",
		"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`

	registerVSCode = `{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com",
		"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],
		"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],
		"token_endpoint_auth_method":"none","application_type":"native"}`

	registerInspector = `{"redirect_uris":["{redirect_uri}"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],
		"response_types":["code"],"client_name":"MCP Inspector","client_uri":"https://github.com/modelcontextprotocol/inspector",
		"scope":"","application_type":"native"}`
)

const authorizeClaudeCode = "response_type=code&client_id={client_id}&code_challenge={challenge}&code_challenge_method=S256" +
	"&redirect_uri={redirect_uri}&state={state}&scope={scope}+offline_access&prompt=consent&resource={resource}"

func claudeCode(p profile) profile {
	p.state, p.strict.resource = "TjSlOfd4wKB9gM1x", exactly
	p.authorize = cmp.Or(p.authorize, authorizeClaudeCode)
	return typescript(p)
}

func codex(p profile) profile {
	p.state, p.redirect = "hGpV2cXw", "http://127.0.0.1:37819/callback/abc123ABC_-x"
	p.probes = []string{
		"{origin}/.well-known/oauth-authorization-server{path}",
		"{origin}{path}/.well-known/oauth-authorization-server",
		"{origin}/.well-known/oauth-authorization-server",
	}
	p.refresh = "grant_type=refresh_token&refresh_token={refresh_token}&client_id={client_id}"
	return rust(p)
}

func cursor(name, redirect string) profile {
	return typescript(profile{
		name: name, noDocument: true, redirect: redirect,
		register: `{"client_name":"Cursor","token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"response_types":["code"],
			"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","https://www.cursor.com/agents/mcp/oauth/callback","http://localhost:8787/callback"]}`,
		authorize: "response_type=code&client_id={client_id}&code_challenge={challenge}&code_challenge_method=S256" +
			"&redirect_uri={redirect_uri}&scope={scope}&resource={resource}",
	})
}

func vsCode(p profile) profile {
	p.state = cmp.Or(p.state, "gXVXo0/iMD8W+olDHKxSTg==")
	p.strict.resource = normal
	p.authorize = "client_id={client_id}&response_type=code&code_challenge={challenge}&code_challenge_method=S256&scope=" +
		"&resource={resource}&redirect_uri={redirect_uri}&state={state}"
	p.token = "client_id={client_id}&grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}&code_verifier={verifier}&resource={resource}"
	p.refresh = "client_id={client_id}&grant_type=refresh_token&refresh_token={refresh_token}&scope="
	return sdk(p)
}
