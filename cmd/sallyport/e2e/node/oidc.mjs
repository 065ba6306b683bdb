// Runs oidc-provider, a certified OpenID provider, as an upstream on a free
// port of 127.0.0.1:
//
//   node oidc.mjs CLIENT-ID SECRET REDIRECT-URI...
//
// Prints its issuer, and then a line of JSON, {token, status}, for each refresh
// token it is sent: a hash of it and the status of the answer. Runs until
// standard input ends.
//
// An administrator's acts are POST requests:
//
//   /admin/end?account=NAME             ends all sessions and grants of a user
//   /admin/refuse?account=NAME&error=E  refuses the user's refreshes with an OAuth
//                                       error; without error it stops doing so
//   /admin/client?secret=S&grants=G,G   changes the client's registration
//   /admin/scope                        refuses refreshes without a scope from now on
//
// A refresh token works once; a second time ends all that the login gave. Access
// tokens live so short that whoever wants a minute left refreshes before every
// call.
import { Console } from 'node:console';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import Provider, { errors } from 'oidc-provider';

const say = (line) => process.stdout.write(`${line}\n`);
globalThis.console = new Console(process.stderr); // the library's notices

const [client_id, client_secret, ...redirect_uris] = process.argv.slice(2);
const server = createServer().listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const refusals = new Map(); // account → error code
  const sessions = []; // {account, session, grant}, one for each login
  let wantScope = false;
  // The library calls this in the middle of a refresh, with the token found and
  // valid; what it throws is answered as an error of the token endpoint.
  const rotateRefreshToken = ({ oidc }) => {
    if (wantScope && !oidc.params.scope) throw new errors.InvalidRequest('the scope has to be sent with a refresh token');
    const code = refusals.get(oidc.entities.Account.accountId);
    if (code) throw new errors.CustomOIDCProviderError(code, 'refused by the administrator');
    return true;
  };
  const provider = new Provider(issuer, {
    clients: [{
      client_id, client_secret, redirect_uris,
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
    }],
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => true },
    rotateRefreshToken,
    ttl: { AccessToken: 2, RefreshToken: 3600 },
    features: { devInteractions: { enabled: true } },
  });
  provider.use(async (ctx, next) => {
    await next();
    const token = ctx.oidc?.params?.refresh_token;
    if (token) say(JSON.stringify({ token: createHash('sha256').update(token).digest('hex'), status: ctx.status }));
  });
  provider.on('authorization.success', ({ oidc: { entities } }) => sessions.push({
    account: entities.Account.accountId, session: entities.Session, grant: entities.Grant,
  }));
  const acts = {
    '/admin/end': async (query) => {
      for (const { account, session, grant } of sessions) {
        if (account !== query.get('account')) continue;
        for (const model of ['AccessToken', 'RefreshToken', 'AuthorizationCode']) await provider[model].revokeByGrantId(grant.jti);
        await grant.destroy();
        await session.destroy();
      }
    },
    '/admin/refuse': (query) => { refusals.set(query.get('account'), query.get('error')); },
    '/admin/client': async (query) => {
      const client = await provider.Client.find(client_id);
      if (query.has('secret')) client.clientSecret = query.get('secret');
      if (query.has('grants')) client.grantTypes = query.get('grants').split(',');
    },
    '/admin/scope': () => { wantScope = true; },
  };
  const serve = provider.callback();
  server.on('request', async (req, res) => {
    const { pathname, searchParams } = new URL(req.url, issuer);
    const act = req.method === 'POST' && acts[pathname];
    if (!act) return serve(req, res);
    try {
      await act(searchParams);
      res.writeHead(204).end();
    } catch (error) {
      res.writeHead(500).end(String(error));
    }
  });
  say(issuer);
});
process.stdin.resume().on('end', () => process.exit(0));
