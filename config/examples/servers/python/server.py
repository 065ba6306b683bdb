"""An MCP server behind Sallyport, on the official Python SDK:

    python server.py PORT USERINFO-URL

There is no OAuth in it. The gateway has checked the client's token and put the
user's upstream token in its place: what arrives in Authorization is good for
the upstream's API as it is.
"""

import socket
import sys
from typing import Any

import httpx2
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

PORT, USERINFO = sys.argv[1:]
server = MCPServer("example")


@server.tool()
async def whoami(ctx: Context) -> dict[str, Any]:
    """Says whose account this is."""
    authorization = ctx.request_context.request.headers["authorization"]
    async with httpx2.AsyncClient() as upstream:
        answer = await upstream.get(USERINFO, headers={"authorization": authorization, "accept": "application/json"})
    return answer.raise_for_status().json()


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(PORT)))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    # Each request is served on its own: nothing of one user is there for the next.
    app = server.streamable_http_app(stateless_http=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
