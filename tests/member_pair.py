"""Two servers of one pool in one process: a coordinator, and the server of a member that joined."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from api_pool import TCP, ApiPool, api_pool

from xenapi_core.api.membership import Door, Membership
from xenapi_core.wire.xmlrpc import decode_reply, encode_call

OLD = "the-secret-there-was"
PLACE, ELSEWHERE = "https://192.0.2.7:1", "https://192.0.2.7:2"


class Neighbour:
    """Another server in the same process. `before(method)` may raise before a call reaches it."""

    def __init__(self, there: ApiPool, before: Callable[[str], None]) -> None:
        self.there, self.before = there, before

    async def call(self, method: str, *params: Any) -> Any:
        self.before(method)
        there = self.there
        door = Door(there.dispatcher, there.store, there.sessions)
        reply = door.handle(there.codec.decode(encode_call(method, params)), there.codec, TCP)
        return decode_reply(await reply if inspect.isawaitable(reply) else reply)


class Pair:
    """A coordinator, and the server of a member that joined from PLACE; `down`: calls of it that nobody answers."""

    def __init__(self, coordinator: ApiPool, member: ApiPool) -> None:
        self.coordinator, self.member = coordinator, member
        self.down: set[str] = set()
        self.calls: list[str] = []
        self.place = PLACE
        for each in (coordinator, member):
            each.sessions.membership.secret = OLD
        member.sessions.membership.coordinator = "coordinator.example"
        member.sessions.membership.address = ELSEWHERE
        coordinator.sessions.membership.connect = self._member
        member.sessions.membership.connect = self._coordinator
        uuid = "the-host-of-the-member"
        member.change(member.host, uuid=uuid)
        metrics = coordinator.add("host_metrics", live=True)
        self.host = coordinator.add("host", uuid=uuid, joined_from=PLACE, metrics=metrics)

    def _called(self, method: str) -> None:
        self.calls.append(method)
        if method in self.down:
            raise ConnectionError("nobody answers")

    def _coordinator(self, address: str) -> Any:
        return Neighbour(self.coordinator, self._called)

    def _member(self, address: str) -> Any:
        if address != self.place:
            raise ConnectionError("nobody is there")
        return Neighbour(self.member, self._called)

    @property
    def secrets(self) -> tuple[Membership, Membership]:
        return self.coordinator.sessions.membership, self.member.sessions.membership

    @property
    def pending(self) -> bool:
        return bool(self.coordinator.store.get(self.coordinator.pool)["is_psr_pending"])

    async def rotate(self) -> None:
        await self.coordinator.call("pool.rotate_secret", await self.coordinator.login())

    async def cannot_rotate(self) -> list[str]:
        return await self.coordinator.refusal("pool.rotate_secret", await self.coordinator.login())

    async def talk_to_each_other(self) -> None:
        """Each logs in at the other with what it shows."""
        coordinator, member = self.secrets
        await self.member.call("session.slave_local_login", coordinator.secret)
        await self.coordinator.call("session.slave_local_login", member.secret)


@asynccontextmanager
async def two_members() -> AsyncIterator[Pair]:
    """A coordinator and a member."""
    async with api_pool() as coordinator, api_pool() as member:
        yield Pair(coordinator, member)
