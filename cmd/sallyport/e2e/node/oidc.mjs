// Runs oidc-provider, a certified OpenID provider, as an upstream on a free
// port of 127.0.0.1:
//
//   node oidc.mjs CLIENT-ID SECRET REDIRECT-URI...
//
// Prints its issuer, and then a line of JSON, {token, status}, for each refresh
// token it is sent: a hash of it and the status of the answer. Runs until
// standard input ends.
//
// A refresh token works once; a second time ends all that the login gave. Access
// tokens live so short that whoever wants a minute left refreshes before every
// call.
import { Console } from 'node:console';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const say = (line) => process.stdout.write(`${line}\n`);
globalThis.console = new Console(process.stderr); // the library's notices

const [client_id, client_secret, ...redirect_uris] = process.argv.slice(2);
const server = createServer().listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id, client_secret, redirect_uris,
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
    }],
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: { AccessToken: 2, RefreshToken: 3600 },
    features: { devInteractions: { enabled: true } },
  });
  provider.use(async (ctx, next) => {
    await next();
    const token = ctx.oidc?.params?.refresh_token;
    if (token) say(JSON.stringify({ token: createHash('sha256').update(token).digest('hex'), status: ctx.status }));
  });
  server.on('request', provider.callback());
  say(issuer);
});
process.stdin.resume().on('end', () => process.exit(0));
