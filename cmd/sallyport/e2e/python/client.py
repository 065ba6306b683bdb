"""An MCP client on the official Python SDK:

    python client.py MCP-URL REDIRECT-URI

Commands and answers are those of ../node/client.mjs; for this SDK, a token to
be refreshed is one that has expired.
"""

import json
import sys
import time
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata


def say(line):
    print(json.dumps(line), flush=True)


async def read():
    return (await anyio.to_thread.run_sync(sys.stdin.readline)).strip()


class Memory:
    """TokenStorage, in memory."""

    def __init__(self):
        self.tokens = self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def authorize(url):
    say({"authorize": url})


async def answer():
    return AuthorizationCodeResult(**dict(parse_qsl(urlsplit(await read()).query)))


async def main(url, redirect_uri):
    kept = Memory()
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="Python SDK", redirect_uris=[redirect_uri], token_endpoint_auth_method="none"
        ),
        storage=kept,
        redirect_handler=authorize,
        callback_handler=answer,
    )
    command = await read()  # before connecting, which may take a login
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            while command:
                if command == "refresh":
                    provider.context.token_expiry_time = time.time() - 1
                tools = (await client.list_tools()).tools
                result = await client.call_tool("whoami", {})
                if result.is_error:
                    raise RuntimeError(f"whoami failed: {result.content}")
                say({
                    "tools": [tool.name for tool in tools],
                    "whoami": result.structured_content,
                    "clientId": kept.client.client_id,
                    "accessToken": kept.tokens.access_token,
                    "refreshToken": kept.tokens.refresh_token,
                    "scope": kept.tokens.scope,
                })
                command = await read()


anyio.run(main, *sys.argv[1:])
