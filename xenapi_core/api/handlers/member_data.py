"""host: the copies that a member of the pool keeps: the database, binary objects, and the coordinator's accounts.

Rule 1: copies lie on the disks of members (server/member_disks.py). A server without a state directory has no disk, for
        them neither, so NOT_IMPLEMENTED is answered there.
Rule 2: the coordinator has no copies: what it has is the original, which is made durable instead.
Rule 3: copies of hosts that are gone go at the next copy that is made.
"""

from __future__ import annotations

from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.member_disks import MemberDisks
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.database_copies import renew
from xenapi_core.engine.plans.database_copy import content_of
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.store.api import Version

# Keys of host.other_config: the host keeps no copies of blobs; and when it last got them, in seconds since 1970.
NO_LOCAL_STORAGE = "no_local_storage"
LAST_BLOB_SYNC = "last_blob_sync_time"


@handles("host.request_backup")
async def request_backup(call: CallContext, ref: str, generation: int, force: bool) -> None:
    """The host has a copy of the database as it is now, unless it has one of that generation or a newer one; `force`:
    in any case. HOST_OFFLINE; rules 1 and 2; INTERNAL_ERROR if it cannot be written.

    The generation of a database is the revision of the store.
    """
    host = check_live(call.store, ref)
    if the_pool(call)["master"] == ref:
        await call.store.durable(call.store.revision)
        return
    disks = _disks(call)
    if force or await disks.generation(host["uuid"]) < generation:
        await _copy_database(call, disks, host)


@handles("pool.sync_database")
async def sync_database(call: CallContext) -> None:
    """Everything written so far is durable, on the SRs that the database is replicated to, and on the disks of the
    members that are up, if the server keeps any state."""
    await call.store.durable(call.store.revision)
    await renew(call.services.engine)
    disks = call.services.surroundings.member_disks
    if disks is not None:
        master = the_pool(call)["master"]
        for ref, host in tuple(call.store.all("host").items()):
            if ref != master and is_live(call.store, host):
                await _copy_database(call, disks, host)


def _disks(call: CallContext) -> MemberDisks:
    """NOT_IMPLEMENTED (rule 1)."""
    disks = call.services.surroundings.member_disks
    if disks is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    return disks


async def _copy_database(call: CallContext, disks: MemberDisks, host: Version) -> None:
    """Secrets are in it: the host would need them as coordinator."""
    generation = call.store.revision
    content = await content_of(call.services.schema, call.store, without=frozenset())
    await disks.put_database(host["uuid"], content.head(generation, call.now).encode() + content.data)
    await disks.keep(_uuids(call, "host"))


@handles("host.sync_data")
async def sync_data(call: CallContext, ref: str) -> None:
    """Measurements are saved, and the host has copies of the data of all blobs and of no others; its other_config says
    when (last_blob_sync_time). HOST_OFFLINE; rules 1 and 2; INTERNAL_ERROR if it cannot be written.

    A host whose other_config has no_local_storage gets no copies, as in xapi.
    """
    host, around = check_live(call.store, ref), call.services.surroundings
    disks = _disks(call)
    if around.history is not None:
        await around.history.back_up(0.0)
    if the_pool(call)["master"] == ref or NO_LOCAL_STORAGE in host["other_config"]:
        return
    for blob in tuple(call.store.all("blob").values()):
        data = around.blobs.get(blob["uuid"]) if around.blobs is not None else None
        if data is not None:
            await disks.put_blob(host["uuid"], blob["uuid"], data)
    await disks.keep_blobs(host["uuid"], _uuids(call, "blob"))
    await disks.keep(_uuids(call, "host"))
    other_config = call.get(ref, "host")["other_config"]  # it may have changed meanwhile
    call.update(ref, other_config={**other_config, LAST_BLOB_SYNC: f"{call.now}."})


def _uuids(call: CallContext, cls: str) -> frozenset[str]:
    return frozenset(record["uuid"] for record in call.store.all(cls).values())


@handles("host.request_config_file_sync")
async def request_config_file_sync(call: CallContext, ref: str, digest: str) -> None:
    """The accounts count that the users file has now, unless what was read last has this SHA-256 (hexadecimal).

    A server without a users file has nothing to read again: its accounts are its own or those of the operating system.
    HOST_OFFLINE; OPERATION_NOT_ALLOWED if the file cannot be used: then the accounts read before go on.
    """
    check_live(call.store, ref)
    if not await call.services.sessions.authenticator.renew(digest):
        raise E.OPERATION_NOT_ALLOWED("The users file cannot be used; the server's log says why.")
