"""Prints the variables that a WSGI server makes of a request's headers, and the
ones that a program makes which folds the names that an ASGI server hands it."""

import re


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    lines = [f"{name}={value}\n" for name, value in environ.items() if name.startswith("HTTP_")]
    return ["".join(lines).encode("latin-1")]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    lines = []
    for name, value in scope["headers"]:
        folded = re.sub("[^A-Z0-9]", "_", name.decode("latin-1").upper())
        lines.append(f"HTTP_{folded}={value.decode('latin-1')}\n")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": "".join(lines).encode("latin-1")})
