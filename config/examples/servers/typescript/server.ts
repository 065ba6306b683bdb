// An MCP server behind Sallyport, on the official TypeScript SDK:
//
//   node server.ts PORT USERINFO-URL
//
// There is no OAuth in it. The gateway has checked the client's token and put
// the user's upstream token in its place: what arrives in Authorization is good
// for the upstream's API as it is.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const [port, userinfo] = process.argv.slice(2);

function newServer(): McpServer {
  const server = new McpServer({ name: 'example', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Says whose account this is.' }, async ({ requestInfo }) => {
    const authorization = String(requestInfo?.headers.authorization);
    const answer = await fetch(userinfo, { headers: { authorization, accept: 'application/json' } });
    if (!answer.ok) throw new Error(`the upstream answered ${answer.status}`);
    const user = await answer.json();
    return { content: [{ type: 'text', text: JSON.stringify(user) }], structuredContent: user };
  });
  return server;
}

// Each request is served on its own: nothing of one user is there for the next.
const listener = createServer(async (request, response) => {
  if (request.method !== 'POST') {
    response.writeHead(405, { allow: 'POST' }).end(); // no stream of the server's own
    return;
  }
  const server = newServer();
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on('close', () => server.close());
  await server.connect(transport);
  await transport.handleRequest(request, response);
});
listener.listen(Number(port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(listener.address() as AddressInfo).port}/mcp`);
});
