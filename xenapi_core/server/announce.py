"""Reports the address of this server to its coordinator after a start, if it is a member of another server's pool.

Rule 1: its ports may differ from before, and the coordinator sends the pool secret to the address it knows. So the
        report is repeated until the coordinator has it, and nothing depends on when that is.
"""

from __future__ import annotations

import logging
from typing import Final

from xenapi_core.api.membership import Membership
from xenapi_core.clock import Clock
from xenapi_core.errors import ApiError
from xenapi_core.store.api import Store

log = logging.getLogger(__name__)

AGAIN: Final = 60.0  # seconds of the clock between two attempts


async def announce(membership: Membership, store: Store, clock: Clock) -> None:
    """Return when the coordinator has answered, or this server is a member no more."""
    told = ""
    while membership.coordinator:
        try:
            answer = await _say_hello(membership, store)
        except (OSError, ValueError, ApiError) as error:
            answer = type(error).__name__
        if answer == "ok":
            return
        if answer != told:
            log.warning("the coordinator of the pool does not take note of where this member is: %s", answer)
            told = answer
        await clock.sleep(AGAIN)


async def _say_hello(membership: Membership, store: Store) -> str:
    """The answer of pool.hello. OSError, ValueError, ApiError."""
    if not membership.address:
        raise ConnectionError("no way from there to here")
    (pool,) = store.all("pool").values()
    uuid = store.get(pool["master"])["uuid"]
    remote = membership.reach(membership.coordinator)
    session = await remote.call("session.slave_login", uuid, membership.secret)
    answer = str(await remote.call("pool.hello", session, uuid, membership.address))
    await remote.call("session.logout", session)
    return answer
