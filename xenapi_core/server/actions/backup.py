"""Backups of the server: GET /host_backup, PUT /host_restore; and PUT /pool/xmldbdump, the database alone.

Rule 1: what is sent is read and judged before anything is kept; with dry_run=true that is all.
Rule 2: it takes effect when the server starts next (restoring.py), which the reply says, and the log.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from xenapi_core.api.membership import place_of
from xenapi_core.engine.plans.database_copy import content_of, this_pool
from xenapi_core.errors import E
from xenapi_core.server import restoring
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.restoring import Backup, BackupError
from xenapi_core.server.routes import Response
from xenapi_core.store.api import Store, Version
from xenapi_core.store.dump import Database, DumpError, decode_file, read_head

log = logging.getLogger(__name__)

LARGEST: Final = 512 << 20  # bytes of one backup, which are in memory
_SECONDS: Final = 120.0  # for the disk
_KEPT: Final = b"It takes the place of what is here when the server starts next.\n"
_GOOD: Final = b"It can be restored.\n"


@serves("get_host_backup")
async def host_backup(call: ActionCall) -> Response:
    """A tar of the database and the data of blobs. OPERATION_NOT_ALLOWED if it would be too large."""
    services = call.services
    content = await content_of(services.schema, services.store, without=frozenset())
    blobs = {}
    for blob in services.store.all("blob").values():
        data = call.parts.blobs.get(blob["uuid"])
        if data is not None:
            blobs[blob["uuid"]] = data
    if len(content.data) + sum(map(len, blobs.values())) > LARGEST:
        raise E.OPERATION_NOT_ALLOWED("The backup would be too large: fetch large blobs one by one, and destroy them.")
    dump = content.head(1, services.clock.now()).encode() + content.data
    made = await asyncio.to_thread(Backup(dump, blobs).encode)
    name = ("Content-Disposition", 'attachment; filename="xencim-backup.tar"')
    return Response(200, (NO_CACHE, ("Content-Type", "application/x-tar"), name), made)


@serves("put_host_restore")
async def host_restore(call: ActionCall) -> Response:
    """Restore the reply of /host_backup. IMPORT_ERROR for what is no backup; the errors of _store_backup."""
    data = await _received(call)
    try:
        backup = await asyncio.to_thread(restoring.decode, data)
    except BackupError as error:
        raise E.IMPORT_ERROR(str(error)) from error
    return await _store_backup(call, backup)


@serves("put_pool_xml_db_sync")
async def restore_database(call: ActionCall) -> Response:
    """Restore the reply of GET /pool/xmldbdump; `dry_run`: only check whether that is possible. The errors of
    _store_backup."""
    return await _store_backup(call, Backup(await _received(call)))


async def _received(call: ActionCall) -> bytes:
    """IMPORT_ERROR for too much; HOST_IS_SLAVE at a server that is a member of another one's pool."""
    membership = call.services.sessions.membership
    if membership.coordinator:
        raise E.HOST_IS_SLAVE(place_of(membership.coordinator)[1])
    upload, parts = call.upload(), []
    async for data in upload:
        parts.append(data)
        if upload.received > LARGEST:
            raise E.IMPORT_ERROR(f"A backup has at most {LARGEST} bytes.")
    return b"".join(parts)


async def _store_backup(call: ActionCall, backup: Backup) -> Response:
    """COULD_NOT_IMPORT_DATABASE, RESTORE_INCOMPATIBLE_VERSION, RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP;
    OPERATION_NOT_ALLOWED where the server keeps nothing over a restart, or cannot keep this."""
    try:
        read_head(backup.database)
    except DumpError:
        raise E.RESTORE_INCOMPATIBLE_VERSION() from None
    try:
        database = await asyncio.to_thread(decode_file, call.services.schema, backup.database)
    except DumpError as error:
        raise E.COULD_NOT_IMPORT_DATABASE(str(error)) from error
    _check(call.store, database)
    if call.flag("dry_run"):
        return Response(200, (NO_CACHE,), _GOOD)
    directory = call.parts.state
    if directory is None:
        raise E.OPERATION_NOT_ALLOWED("The server keeps nothing over a restart (--state), so nothing can be restored.")
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.to_thread(restoring.leave, directory, backup)
    except OSError as error:
        raise E.OPERATION_NOT_ALLOWED(f"The backup cannot be kept: {error.strerror or 'the disk is slow'}.") from None
    log.warning("A backup was given; it takes the place of this database when the server starts next")
    return Response(200, (NO_CACHE,), _KEPT)


def _check(store: Store, database: Database) -> None:
    """One pool with its coordinator, which has an interface like the one that the coordinator here is managed by."""
    there = database.store
    pools = list(there.all("pool").values())
    if len(pools) != 1 or there.find(pools[0]["master"]) is None:
        raise E.COULD_NOT_IMPORT_DATABASE("It has no pool with a coordinator.")
    mine = {pif["device"] for pif in _interfaces(store, this_pool(store)["master"]) if pif["management"]}
    theirs = {pif["device"] for pif in _interfaces(there, pools[0]["master"])}
    if mine and not mine & theirs:
        raise E.RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP()


def _interfaces(store: Store, host: str) -> list[Version]:
    return [store.get(pif) for pif in store.related(host, "PIFs")]
