"""Switches SSH off on hosts whose expiry has passed."""

from __future__ import annotations

import logging
from typing import Final

from xenapi_core.engine.caller import Caller
from xenapi_core.engine.engine import Engine
from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 30.0  # seconds
EXPIRY: Final = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), originator="SSH expiry")


async def follow(engine: Engine) -> None:
    """Switch SSH off where its time has passed, until cancelled. An expiry is met within LOOK_EVERY."""
    while True:
        await engine.world.clock.sleep(LOOK_EVERY)
        await expire(engine)


async def expire(engine: Engine) -> None:
    """Switch SSH off where its time has passed; a host where that fails is tried again the next time."""
    now = engine.world.clock.now()
    for ref, host in tuple(engine.world.store.all("host").items()):  # a host may come or go meanwhile
        if host["ssh_enabled"] and 0 < host["ssh_expiry"] <= now:
            try:
                await engine.perform("host.disable_ssh", (ref,), EXPIRY)
            except ApiError as error:
                log.warning("SSH of host %s has expired and is still on: %s", ref, error.code)
