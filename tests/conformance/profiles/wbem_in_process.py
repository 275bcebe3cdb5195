"""pywbem on a provider in the same process."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import pywbem
import requests
from requests.adapters import BaseAdapter

from cim_provider.provider import CimProvider
from cim_provider.service import wbem_app
from xenapi_core.server.routes import App, Peer, Request


class InProcess(BaseAdapter):
    """Carries pywbem's requests to an App without a socket."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        asked = Request(
            request.method or "",
            request.path_url,
            headers,
            body,
            Peer("tcp"),
        )
        answering = self.app.routes[0].handler(asked)

        async def whole() -> tuple[Any, bytes]:
            found = await answering if inspect.isawaitable(answering) else answering
            parts = [found.body] if isinstance(found.body, bytes) else list(found.body)
            if found.stream is not None:
                parts += [part async for part in found.stream]
            return found, b"".join(parts)

        answer, content = asyncio.run(whole())
        reply = requests.Response()
        reply.status_code, reply.request, reply.url = answer.status, request, request.url or ""
        reply.headers.update(dict(answer.headers))
        reply._content = content
        return reply

    def close(self) -> None:
        pass


@contextlib.contextmanager
def connected(provider: CimProvider, namespace: str) -> Iterator[pywbem.WBEMConnection]:
    """A connection to `provider` whose default namespace is this; it is closed at the end."""
    with pywbem.WBEMConnection("http://localhost", ("root", "x"), default_namespace=namespace) as connection:
        connection.session.mount("http://", InProcess(wbem_app(provider)))
        yield connection
