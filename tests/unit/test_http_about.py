"""GET /about: coverage as JSON, for anybody."""

from __future__ import annotations

import json

from http_client import connected, get, run, serving

from xenapi_core.api.coverage import about
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.about import about_route
from xenapi_core.server.xenapi_app import xenapi_app


class Silence:
    """No call is expected: /about needs none."""

    def handle(self, call, codec, peer):
        raise AssertionError(call.method)


def fetched(path):
    async def body():
        app = xenapi_app(Silence(), extra=(about_route(SCHEMA),))
        async with serving(app) as listener, connected(listener) as client:
            await client.send(get(path))
            return await client.reply()

    return run(body())


def test_about_tells_product_version_and_coverage():
    reply = fetched("/about")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    told = json.loads(reply.body)
    assert (told.pop("product"), told.pop("version") != "") == ("xencim", True)
    assert told == about(SCHEMA)


def test_a_longer_path_is_not_about():
    assert fetched("/aboutface").status == 404
