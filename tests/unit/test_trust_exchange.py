"""What pools trust, exchanged: between two servers, when one asks the other or joins its pool."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_pool import TCP, ApiPool, Refused, api_pool
from authority import DAY, issue, revoked

from xenapi_core.api.certificates import installed
from xenapi_core.clock import VirtualClock
from xenapi_core.wire.xmlrpc import decode_reply, encode_call

NOW = VirtualClock().now()
FIRST = issue("first", NOW, authority=True)
SECOND = issue("second", NOW, authority=True)
SERVER = issue("server.example", NOW, FIRST)
LATE = issue("late", NOW - 900 * DAY, authority=True)


class Neighbour:
    """Another server in the same process, as its client sees it."""

    def __init__(self, there: ApiPool, answers: dict[str, Any]) -> None:
        self.there, self.answers = there, answers

    async def call(self, method: str, *params: Any) -> Any:
        if method in self.answers:
            return self.answers[method]
        codec = self.there.codec
        reply = self.there.dispatcher.handle(codec.decode(encode_call(method, params)), codec, TCP)
        return decode_reply(await reply if inspect.isawaitable(reply) else reply)

    async def post(self, path: str, body: bytes, cookie: str) -> Any:
        raise ConnectionError("only calls go this way")


class Pools:
    """Two pools, with a session of the administrator's each, and the way from one to the other."""

    def __init__(self, here: ApiPool, there: ApiPool) -> None:
        self.here, self.there = here, there
        self.session = self.remote_session = ""
        self.shown: list[str] = []  # the certificates the other server was asked to show
        self.answers: dict[str, Any] = {}

    async def begin(self) -> None:
        self.session, self.remote_session = await self.here.login(), await self.there.login()
        membership = self.here.sessions.membership
        membership.connect = lambda address: self._connect(address, "")
        membership.connect_to = self._connect

    def _connect(self, address: str, certificate: str) -> Any:
        self.shown.append(certificate)
        return Neighbour(self.there, self.answers)

    async def ask(self, message: str, *args: Any) -> Any:
        return await self.here.call(message, self.session, *args)

    async def ask_there(self, message: str, *args: Any) -> Any:
        return await self.there.call(message, self.remote_session, *args)

    async def refusal(self, message: str, *args: Any) -> list[str]:
        return await self.here.refusal(message, self.session, *args)

    async def sync(self, *, ca: bool, certificate: str = "", address: str = "other.example") -> Any:
        message = "pool.sync_trusted_certificates_from"
        return await self.ask(message, self.here.pool, address, self.remote_session, certificate, ca)


@asynccontextmanager
async def two_pools() -> AsyncIterator[Pools]:
    """Two pools, with a session in each."""
    async with api_pool() as here, api_pool() as there:
        pools = Pools(here, there)
        await pools.begin()
        yield pools


def trusted(pool: ApiPool, kind: str = "ca") -> dict[str, tuple[str, ...]]:
    """PEM -> purposes of what is installed."""
    return {record["pem"]: record["purpose"] for record in installed(pool.store, kind)}


def refs(pool: ApiPool, kind: str = "ca") -> list[str]:
    return [record.ref for record in installed(pool.store, kind)]


# The exchanges


async def test_authorities_go_both_ways_by_name() -> None:
    async with two_pools() as pools:
        message = "pool.exchange_ca_certificates_on_join"
        await pools.ask("pool.install_ca_certificate", "first.pem", FIRST.pem)
        exports = refs(pools.here)
        for imports in ({"second.pem": SECOND.pem}, {"second.pem": SECOND.pem, "first.pem": FIRST.pem}, {}):
            assert await pools.ask(message, imports, exports) == {"first.pem": FIRST.pem}
            assert trusted(pools.here) == {FIRST.pem: (), SECOND.pem: ()}
        assert await pools.ask("pool.certificate_list") == ["first.pem", "second.pem"]
        told = await pools.refusal(message, {"new.pem": FIRST.pem, "second.pem": FIRST.pem}, [])
        assert told == ["POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT"]
        assert await pools.ask("pool.certificate_list") == ["first.pem", "second.pem"]


WRONG_AUTHORITIES: list[Any] = [
    ({"../x": FIRST.pem}, "CERTIFICATE_NAME_INVALID"),
    ({"x": "no certificate"}, "CERTIFICATE_CORRUPT"),
    ({"good": FIRST.pem, "late": LATE.pem}, "TRUSTED_CERTIFICATE_EXPIRED"),
]


@pytest.mark.parametrize(("imports", "code"), WRONG_AUTHORITIES)
async def test_authorities_that_are_none_are_not_taken(imports: Any, code: str) -> None:
    async with two_pools() as pools:
        assert (await pools.refusal("pool.exchange_ca_certificates_on_join", imports, []))[0] == code
        assert trusted(pools.here) == {}


async def test_an_authority_for_some_purposes_is_not_given_as_one_for_all() -> None:
    async with two_pools() as pools:
        await pools.ask("pool.install_trusted_certificate", pools.here.pool, True, FIRST.pem, ["licensing"])
        await pools.ask("pool.install_trusted_certificate", pools.here.pool, False, SERVER.pem, ["licensing"])
        for kind in ("ca", "pinned"):
            (ref,) = refs(pools.here, kind)
            told = await pools.refusal("pool.exchange_ca_certificates_on_join", {}, [ref])
            assert told == ["NOT_TRUSTED_CERTIFICATE", ref]
        message = "pool.exchange_trusted_certificates_on_join"
        (ref,) = refs(pools.here)
        assert await pools.ask(message, pools.here.pool, True, {}, [ref]) == {"licensing": [FIRST.pem]}
        assert await pools.refusal(message, pools.here.pool, False, {}, [ref]) == ["NOT_TRUSTED_CERTIFICATE", ref]
        assert (await pools.refusal(message, pools.here.pool, True, {}, ["OpaqueRef:x"]))[0] == "HANDLE_INVALID"


async def test_a_certificate_that_is_known_gets_the_new_purposes() -> None:
    async with two_pools() as pools:
        message, pool = "pool.exchange_trusted_certificates_on_join", pools.here.pool
        assert await pools.refusal(message, pool, False, {"": [SERVER.pem]}, []) == ["CERTIFICATE_LACKS_PURPOSE"]
        for imports, purposes in (
            ({"licensing": [SERVER.pem]}, ("licensing",)),
            ({"licensing": [SERVER.pem], "other": [SERVER.pem]}, ("licensing", "other")),
        ):
            assert await pools.ask(message, pool, False, imports, []) == {}
            assert trusted(pools.here, "pinned") == {SERVER.pem: purposes}
        exports = refs(pools.here, "pinned")
        assert await pools.ask(message, pool, False, {}, exports) == {"licensing": [SERVER.pem], "other": [SERVER.pem]}
        await pools.ask(message, pool, True, {"": [FIRST.pem]}, [])
        await pools.ask(message, pool, True, {"licensing": [FIRST.pem]}, [])
        assert trusted(pools.here) == {FIRST.pem: ()}  # for everything, as before


async def test_revocation_lists_go_both_ways_by_name() -> None:
    async with two_pools() as pools:
        message, pool = "pool.exchange_crls_on_join", pools.here.pool
        one, other = revoked(FIRST, NOW), revoked(SECOND, NOW)
        await pools.ask("pool.crl_install", "one.crl", one)
        assert await pools.ask(message, pool, {"one.crl": one, "other.crl": other}, ["one.crl"]) == {"one.crl": one}
        assert await pools.ask("pool.crl_list") == ["one.crl", "other.crl"]
        for imports, exports, code in (
            ({"one.crl": other}, [], "CRL_ALREADY_EXISTS"),
            ({"a/b": one}, [], "CRL_NAME_INVALID"),
            ({"new": "x"}, [], "CRL_CORRUPT"),
            ({"new": one}, ["gone"], "CRL_DOES_NOT_EXIST"),
        ):
            assert (await pools.refusal(message, pool, imports, exports))[0] == code
        assert await pools.ask("pool.crl_list") == ["one.crl", "other.crl"]


# Asking another pool


async def test_what_another_pool_trusts_is_trusted_too() -> None:
    async with two_pools() as pools:
        there = pools.there.pool
        await pools.ask_there("pool.install_ca_certificate", "first.pem", FIRST.pem)
        await pools.ask_there("pool.install_trusted_certificate", there, True, SECOND.pem, ["licensing"])
        await pools.ask_there("pool.install_trusted_certificate", there, False, SERVER.pem, ["licensing"])
        made = await pools.sync(ca=True)
        assert sorted(made) == sorted(refs(pools.here))
        assert trusted(pools.here) == {FIRST.pem: (), SECOND.pem: ("licensing",)}
        assert trusted(pools.here, "pinned") == {}
        assert await pools.sync(ca=True, certificate=SERVER.pem) == []
        assert await pools.sync(ca=False) == refs(pools.here, "pinned")
        assert trusted(pools.here, "pinned") == {SERVER.pem: ("licensing",)}
        assert pools.shown == ["", SERVER.pem, ""]


NO_POOL: list[tuple[str, Any]] = [
    ("pool.get_all", []),
    ("pool.get_all", 1),
    ("Certificate.get_all_records", "x"),
    ("Certificate.get_all_records", {"ref": {}}),
    ("pool.exchange_trusted_certificates_on_join", "x"),
    ("pool.exchange_trusted_certificates_on_join", {"": 5}),
]


async def test_who_is_no_pool_gives_no_certificates() -> None:
    async with two_pools() as pools:
        for address in ("", "http://", "other.example/path"):
            with pytest.raises(Refused) as refused:
                await pools.sync(ca=True, address=address)
            assert refused.value.description == ["CANNOT_CONTACT_HOST", ""]
        with pytest.raises(Refused) as refused:
            await pools.sync(ca=True, certificate="no certificate")
        assert refused.value.description == ["TRUSTED_CERTIFICATE_INVALID"]
        assert pools.shown == []
        for message, answer in NO_POOL:
            pools.answers = {message: answer}
            with pytest.raises(Refused) as refused:
                await pools.sync(ca=True)
            assert refused.value.description == ["CANNOT_CONTACT_HOST", "other.example"]
        pools.answers = {"pool.exchange_trusted_certificates_on_join": {"": ["x"]}}
        with pytest.raises(Refused) as refused:
            await pools.sync(ca=True)
        assert refused.value.description == ["TRUSTED_CERTIFICATE_INVALID"]
        pools.answers, pools.remote_session = {}, "OpaqueRef:none"
        with pytest.raises(Refused) as refused:
            await pools.sync(ca=True)
        assert refused.value.description[0] == "SESSION_INVALID"
        assert trusted(pools.here) == {}
