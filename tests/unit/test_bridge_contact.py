"""How a bridge keeps contact with its pool: whom it asks, and what it makes of answers that cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from http_client import serving

from xenapi_core.bridge.pool_client import PoolClient, Unreachable
from xenapi_core.bridge.remote import RemoteSource
from xenapi_core.bridge.replica import mirror_schema
from xenapi_core.clock import RealClock
from xenapi_core.errors import ApiError, E
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.xenapi_app import xenapi_app

MIRROR = mirror_schema(SCHEMA)


@dataclass
class Answers:
    """A server of the Xen-API: `answer` makes the result of a method and its parameters, or raises an ApiError."""

    answer: Callable[[str, Sequence[Any]], Any]

    def handle(self, call: Any, codec: Any, peer: Any) -> bytes:
        try:
            return codec.success(call, orjson.dumps(self.answer(call.method, call.params)))
        except ApiError as error:
            return codec.failure(call, error.description)


def pool(answer: Callable[[str, Sequence[Any]], Any]) -> Any:
    return serving(xenapi_app(Answers(answer)))


async def test_the_given_address_is_asked_again_when_the_coordinator_is_gone() -> None:
    coordinator, asked = [""], []

    def member(method: str, params: Sequence[Any]) -> str:
        asked.append(method)
        if coordinator[0]:
            raise E.HOST_IS_SLAVE(coordinator[0])
        return "OpaqueRef:session of the member"

    async with pool(member) as first:
        client = PoolClient(f"http://127.0.0.1:{first.port}", MIRROR)
        login = ("session.login_with_password", "root", "secret", "", "test")
        async with pool(lambda method, params: "OpaqueRef:session") as second:
            coordinator[0] = f"127.0.0.1:{second.port}"
            assert await client.call(None, *login) == "OpaqueRef:session"
            assert await client.call(None, *login) == "OpaqueRef:session"
            assert len(asked) == 1
        with pytest.raises(Unreachable, match=str(second.port)):
            await client.call(None, *login)
        coordinator[0] = ""  # the member is the coordinator now
        assert await client.call(None, *login) == "OpaqueRef:session of the member"
        await client.close()


async def test_records_that_cannot_be_mirrored_end_the_contact_until_they_can(caplog: pytest.LogCaptureFixture) -> None:
    later, logged_out = asyncio.Event(), []
    wrong = [True]

    def one(cls: str, ref: str, uuid: str) -> Mapping[str, Any]:
        return {"class": cls, "ref": ref, "operation": "add", "snapshot": {"uuid": uuid}}

    def answer(method: str, params: Sequence[Any]) -> Any:
        if method == "session.login_with_password":
            return f"OpaqueRef:{len(logged_out)}"
        if method == "session.get_last_active":
            return "20260101T00:00:00Z"
        if method == "session.logout":
            logged_out.append(params[0])
            return ""
        assert method == "event.from"
        events = [one("pool", "OpaqueRef:p", "p"), one("vm", "OpaqueRef:a", "a")]
        if params[2] and wrong[0]:  # two machines with one uuid
            events.append(one("vm", "OpaqueRef:b", "a"))
            wrong[0] = False
        elif params[2]:
            later.set()
        return {"events": events, "valid_ref_counts": {}, "token": "1,0"}

    async with pool(answer) as listener:
        source = RemoteSource(
            PoolClient(f"http://127.0.0.1:{listener.port}", MIRROR), MIRROR, RealClock(), "root", "secret"
        )
        try:
            await source.start()
            await later.wait()
            assert source.in_contact
            assert set(source.all("VM")) == {"OpaqueRef:a"}
            assert logged_out == ["OpaqueRef:0"], "the session before the contact was lost"
        finally:
            await source.close()
    assert [record.levelname for record in caplog.records if "mirrored" in record.message] == ["ERROR", "WARNING"]
