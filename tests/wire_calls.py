"""Calls of a SimPool from the wire, in a session: what depends on whose session it is."""

from __future__ import annotations

import inspect
import xmlrpc.client
from typing import Any

from api_pool import TCP, Refused, value_of
from sim_api import dispatcher

from xenapi_core.api.auth import Identity
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.testing.pool import SimPool
from xenapi_core.testing.virtual_time import drive
from xenapi_core.wire.xmlrpc import XmlRpc

__all__ = ["Refused", "called", "login"]


async def login(pool: SimPool, role: str = POOL_ADMIN) -> str:
    """A session of a user with that role."""
    return dispatcher(pool).sessions.open(Identity("somebody", frozenset({role})))


async def called(pool: SimPool, method: str, *params: Any) -> Any:
    """The value of a call; its first parameter is the session. Raises Refused."""
    codec = XmlRpc()
    call = codec.decode(xmlrpc.client.dumps(params, method, allow_none=True).encode())
    reply = dispatcher(pool).handle(call, codec, TCP)
    return value_of(await drive(pool.clock, reply) if inspect.isawaitable(reply) else reply)
