"""GET /about on the Xen-API port: the server's version and features, for programs.

Rule 1: what it tells is the same for every client and as long as the server runs, so it is made once.
Rule 2: it tells nothing of the pool: no names, no addresses, no numbers of objects.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import orjson

from xenapi_core.api.coverage import about
from xenapi_core.model.schema import Schema
from xenapi_core.server.routes import Handler, Request, Response, Route, plain_error

PATH: Final = "/about"
_HEADERS: Final = (("Content-Type", "application/json"), ("Cache-Control", "no-cache, no-store"))


def about_route(schema: Schema, protect: Callable[[Handler], Handler]) -> Route:
    """The route. Its answer is JSON: product, version, and the coverage (api/coverage.py).

    `protect` checks who may see it (http_auth.py): no route answers without credentials.
    """
    body = orjson.dumps({"product": "xencim", "version": _version(), **about(schema)}, option=orjson.OPT_INDENT_2)

    def answer(request: Request) -> Response:
        if request.path.rstrip("/") != PATH:  # routes match beginnings
            return plain_error(404, "There is nothing at this address.")
        return Response(200, _HEADERS, body + b"\n")

    return Route("GET", PATH, protect(answer))


def _version() -> str:
    """The version that is installed; empty in a tree that is not."""
    try:
        return version("xencim")
    except PackageNotFoundError:
        return ""
