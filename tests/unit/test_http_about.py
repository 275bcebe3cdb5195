"""GET /about: coverage as JSON, for who has an account."""

from __future__ import annotations

import base64
import json

import pytest
from http_client import connected, get, run, serving

from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.coverage import about
from xenapi_core.api.sessions import Sessions
from xenapi_core.clock import VirtualClock
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.about import about_route
from xenapi_core.server.http_auth import authenticated
from xenapi_core.server.xenapi_app import xenapi_app
from xenapi_core.store.memory import MemoryStore

ACCOUNTS = {"root": ("right", ("pool-admin",))}


class Silence:
    """No call is expected: /about makes none."""

    def handle(self, call, codec, peer):
        raise AssertionError(call.method)


def fetched(path, authorization=None, session=False):
    """The reply to GET `path`; `session` puts a live session's reference in place of {session}."""

    async def body():
        store, accounts = MemoryStore(SCHEMA), StaticAuthenticator(ACCOUNTS)
        sessions = Sessions(SCHEMA, store, Ids(), VirtualClock(), accounts, failure_delay=0)
        ref = await sessions.login("root", "right")
        protect = authenticated(sessions, BasicAuth(sessions), "xencim")
        app = xenapi_app(Silence(), extra=(about_route(SCHEMA, protect),))
        headers = "" if authorization is None else f"Authorization: {authorization}\r\n"
        async with serving(app) as listener, connected(listener) as client:
            await client.send(get(path.replace("{session}", ref), headers=headers))
            return await client.reply()

    return run(body())


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("path", "authorization"), [("/about", basic("root", "right")), ("/about?session_id={session}", None)]
)
def test_about_tells_product_version_and_coverage(path, authorization):
    reply = fetched(path, authorization)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    told = json.loads(reply.body)
    assert (told.pop("product"), told.pop("version") != "") == ("xencim", True)
    assert told == about(SCHEMA)


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/about", None),
        ("/about", basic("root", "wrong")),
        ("/about", basic("nobody", "right")),
        ("/about", "Basic !!!"),
        ("/about", "Basic " + base64.b64encode(b"no colon").decode()),
        ("/about", "Bearer x"),
        ("/about?session_id=OpaqueRef:none", basic("root", "right")),
        ("/aboutface", None),
    ],
)
def test_nothing_is_told_without_credentials(path, authorization):
    reply = fetched(path, authorization)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Basic realm=")
    assert b"implemented" not in reply.body


def test_a_longer_path_is_not_about():
    assert fetched("/aboutface", basic("root", "right")).status == 404
