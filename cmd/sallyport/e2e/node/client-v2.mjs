// An MCP client on the official TypeScript SDK, v2, which speaks the newest
// revision:
//
//   node client-v2.mjs MCP-URL REDIRECT-URI
//
// Commands and answers are those of client.mjs. This SDK compares iss and the
// issuer as well.
import { createInterface } from 'node:readline';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

const [url, redirectUrl] = process.argv.slice(2);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line) => console.log(JSON.stringify(line));

// OAuthClientProvider, in memory. A stream that ends and a call can both find that
// a login is due: the user is asked once, at the first one's URL.
const kept = {};
const provider = {
  redirectUrl,
  clientMetadata: {
    client_name: 'TypeScript SDK v2',
    redirect_uris: [redirectUrl],
    token_endpoint_auth_method: 'none',
  },
  state: () => (kept.state ??= crypto.randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  redirectToAuthorization: (authorize) => { kept.authorize ??= authorize; },
  saveCodeVerifier: (verifier) => { kept.verifier ??= verifier; },
  codeVerifier: () => kept.verifier,
  discoveryState: () => kept.discovery,
  saveDiscoveryState: (discovery) => { kept.discovery = discovery; },
  invalidateCredentials: (what) => {
    const names = { client: ['client'], tokens: ['tokens'], verifier: ['verifier'], discovery: ['discovery'] };
    for (const name of names[what] ?? Object.keys(kept)) delete kept[name];
  },
};

let transport, client;

async function call() {
  if (!client) {
    transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
    const fresh = new Client({ name: 'sallyport-e2e', version: '2.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    await fresh.connect(transport);
    client = fresh;
  }
  const { tools } = await client.listTools();
  const { structuredContent, isError, content } = await client.callTool({ name: 'whoami', arguments: {} });
  if (isError) throw new Error(`whoami failed: ${JSON.stringify(content)}`);
  return { tools: tools.map((tool) => tool.name), whoami: structuredContent };
}

// The server may ask for a token when the client connects or only when it
// calls, so a login may be due anywhere.
async function callWithLogin() {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  say({ authorize: kept.authorize });
  const answer = new URL((await input.next()).value).searchParams;
  try {
    if (answer.get('state') !== kept.state) throw new Error(`state ${answer.get('state')}, expected ${kept.state}`);
    await transport.finishAuth(answer); // refuses an error, no code, and another's iss
  } finally { // a user who comes back without an answer begins anew
    for (const name of ['authorize', 'state', 'verifier']) delete kept[name];
  }
  return call();
}

for (let line = await input.next(); !line.done; line = await input.next()) {
  if (line.value === 'refresh' && kept.tokens) kept.tokens = { ...kept.tokens, access_token: `${kept.tokens.access_token}x` };
  let seen;
  try {
    seen = await callWithLogin();
  } catch (error) {
    seen = { failed: String(error) };
  }
  const { access_token: accessToken, refresh_token: refreshToken, scope } = kept.tokens ?? {};
  say({ ...seen, clientId: kept.client?.client_id, accessToken, refreshToken, scope });
}
await client?.close();
