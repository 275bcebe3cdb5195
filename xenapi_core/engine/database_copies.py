"""Keeps the copies of the pool's database up to date while database replication or the redo log is enabled.

Theory of operation
1. After a change of any record there is a wait of GATHER seconds, so that changes that come together cost one write.
2. The head of the newest dump on a disk says what the disk holds: it has the digest of what was written. So a write
   that changes nothing but the disk's own state is not followed by another one, and a restart knows what is missing.
3. After a failed write of a copy, metadata_latest is false until a write succeeds. Others are still written.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.plan import Plan, World
from xenapi_core.engine.plans.database_copy import METADATA, REDO_LOG, content_of, copies, plan_renew
from xenapi_core.engine.steps.database_disk import heads
from xenapi_core.errors import ApiError
from xenapi_core.store.api import Version
from xenapi_core.store.dump import Content, DumpError

log = logging.getLogger(__name__)

GATHER: Final = 5.0


async def follow(engine: Engine) -> None:
    """Renew the copies after every change, until cancelled."""
    store, clock = engine.world.store, engine.world.clock
    seen = 0
    while True:
        await store.wait(seen, None)
        await clock.sleep(GATHER)
        seen = store.revision
        try:
            await renew(engine)
        except Exception:
            log.exception("the copies of the database could not be renewed: our bug")


async def renew(engine: Engine) -> None:
    """Write the database to every copy that holds another one. Never raises for a copy that cannot be written."""
    world = engine.world
    present = copies(world.store, types=(METADATA, REDO_LOG))
    if not present:
        return
    content = await content_of(world.schema, world.store)
    for vdi in present:
        try:
            if not await _holds(engine, vdi, content):
                writing = engine.start(engine.work("database copy"), partial(_write, vdi.ref, content))
                await asyncio.shield(writing)
            failure = ""
        except ApiError as error:
            failure = str(error)
        _note(engine, vdi.ref, failure)


def _write(vdi: str, content: Content, world: World) -> Plan:
    return plan_renew(world, vdi, content)


async def _holds(engine: Engine, vdi: Version, content: Content) -> bool:
    """Whether the newest dump on the disk is `content`; False also if the disk cannot be read."""
    storage = engine.storages.get(vdi["SR"])
    if storage is None:
        return False
    try:
        found = await heads(storage, vdi["uuid"], vdi["virtual_size"])
    except (DriverError, DumpError):
        return False
    return bool(found) and found[0][0].digest == content.digest


def _note(engine: Engine, ref: str, failure: str) -> None:
    """Whether the disk is up to date (rule 3)."""
    store = engine.world.store
    vdi = store.find(ref)
    if vdi is None or vdi["metadata_latest"] == (not failure):
        return
    if failure:
        log.warning("the database could not be written to disk %s: %s", vdi["uuid"], failure)
    txn = store.begin()
    txn.update(ref, metadata_latest=not failure)
    store.commit(txn)
