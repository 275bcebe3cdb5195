"""The comparison partner of the getter benchmark: our own HTTP loop with nothing behind it but a constant reply."""

from __future__ import annotations

import asyncio

import uvloop

from xenapi_core.server.listener import listen_tcp
from xenapi_core.server.routes import App, Request, Response, Route

REPLY = Response(
    200,
    (("Content-Type", "text/xml"), ("Cache-Control", "no-cache, no-store"), ("Access-Control-Allow-Origin", "*")),
    b"<?xml version='1.0'?><methodResponse><params><param><value><struct><member><name>Status</name><value>Success"
    b"</value></member><member><name>Value</name><value>Running</value></member></struct></value></param></params>"
    b"</methodResponse>",
)


def answer(request: Request) -> Response:
    return REPLY


async def main() -> None:
    listener = await listen_tcp(App("bare", (Route("POST", "/", answer),), answer), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
