// An MCP client on the official TypeScript SDK, v1:
//
//   node client.mjs MCP-URL REDIRECT-URI
//
// It reads commands from standard input, one a line, and answers each with a
// line of JSON, {tools, whoami, clientId, accessToken, refreshToken, scope, refusals},
// where failed stands for tools and whoami if the SDK reports an error:
//
//   call    list the tools and call whoami
//   refresh the same, with an access token that has gone bad, if there is one:
//           a stream that is refused may have cost the client its tokens before
//
// When the SDK wants a person to log in, a line {authorize: URL} comes first,
// and the next line read is the URL that the browser was sent back to.
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport, StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, redirectUrl] = process.argv.slice(2);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line) => console.log(JSON.stringify(line));

// OAuthClientProvider, in memory. A stream that ends and a call can both find that
// a login is due: the user is asked once, at the first one's URL.
const kept = {};
const provider = {
  redirectUrl,
  clientMetadata: {
    client_name: 'TypeScript SDK',
    redirect_uris: [redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
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
  invalidateCredentials: (what) => {
    const names = { client: ['client'], tokens: ['tokens'], verifier: ['verifier'] };
    for (const name of names[what] ?? Object.keys(kept)) delete kept[name];
  },
};

let transport, client;

async function call() {
  if (!client) {
    transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
    const fresh = new Client({ name: 'sallyport-e2e', version: '1.0.0' });
    await fresh.connect(transport);
    client = fresh;
  }
  const { tools } = await client.listTools();
  const { structuredContent, isError, content } = await client.callTool({ name: 'whoami', arguments: {} });
  if (isError) throw new Error(`whoami failed: ${JSON.stringify(content)}`);
  return { tools: tools.map((tool) => tool.name), whoami: structuredContent };
}

// The server may ask for a token when the client connects or only when it
// calls, so a login may be due anywhere. Where the tokens have too little scope
// the SDK refreshes, which gives no more, and gives up; without tokens it asks.
let refusals = 0;
async function callWithLogin() {
  try {
    return await call();
  } catch (error) {
    if (error instanceof StreamableHTTPError && error.code === 403 && kept.tokens) {
      refusals += 1;
      delete kept.tokens;
      return callWithLogin();
    }
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  say({ authorize: kept.authorize });
  const answer = new URL((await input.next()).value).searchParams;
  try {
    if (answer.get('state') !== kept.state) throw new Error(`state ${answer.get('state')}, expected ${kept.state}`);
    if (!answer.has('code')) throw new Error(`no code: ${answer}`);
    await transport.finishAuth(answer.get('code'));
  } finally { // a user who comes back without an answer begins anew
    for (const name of ['authorize', 'state', 'verifier']) delete kept[name];
  }
  return call();
}

for (let line = await input.next(); !line.done; line = await input.next()) {
  refusals = 0;
  if (line.value === 'refresh' && kept.tokens) kept.tokens = { ...kept.tokens, access_token: `${kept.tokens.access_token}x` };
  let seen;
  try {
    seen = await callWithLogin();
  } catch (error) {
    seen = { failed: String(error) };
  }
  const { access_token: accessToken, refresh_token: refreshToken, scope } = kept.tokens ?? {};
  say({ ...seen, clientId: kept.client?.client_id, accessToken, refreshToken, scope, refusals });
}
await client?.close();
