"""Handlers on the simulator: the messages of a SimPool as a client in the same process calls them."""

from __future__ import annotations

import inspect
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.sessions import Sessions
from xenapi_core.engine.caller import Caller
from xenapi_core.errors import ApiError
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.testing.pool import TEST_CALLER, SimPool
from xenapi_core.testing.virtual_time import drive

# A dispatcher looks at every message once, which takes longer than most calls: a pool keeps the one it has.
_dispatchers: WeakKeyDictionary[SimPool, Dispatcher] = WeakKeyDictionary()


def dispatcher(pool: SimPool) -> Dispatcher:
    if pool not in _dispatchers:
        sessions = Sessions(SCHEMA, pool.store, pool.ids, pool.clock, StaticAuthenticator({}))
        _dispatchers[pool] = Dispatcher(SCHEMA, pool.store, pool.engine, sessions, pool.clock, pool.ids)
    return _dispatchers[pool]


async def ask(pool: SimPool, wire_name: str, *args: Any, caller: Caller = TEST_CALLER) -> Any:
    """The value of a message, letting the clock run."""
    value = dispatcher(pool).invoke(caller, wire_name, args)
    return await drive(pool.clock, value) if inspect.isawaitable(value) else value


async def refused(pool: SimPool, wire_name: str, *args: Any, caller: Caller = TEST_CALLER) -> list[str]:
    """The code and parameters of a message that must fail."""
    with pytest.raises(ApiError) as failure:
        await ask(pool, wire_name, *args, caller=caller)
    return failure.value.description
