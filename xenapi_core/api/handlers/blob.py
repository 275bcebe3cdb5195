"""blob: binary objects, alone or kept with another object. Their bytes travel over HTTP (server/actions/blobs.py).

Rule 1: an object's field `blobs` names the blobs kept with it; a blob that is destroyed is taken out of every such map.
Rule 2: a blob that was made and not yet written has size 0 and no data.
Rule 3: a pool may keep no binary objects (internal field binary_storage). Then none is created or written, and the data
        of earlier ones is gone; their records stay. The setting is the pool's: a message to a host changes it for the
        pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xenapi_core.api.blobs import check_kept
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.store.api import Store, Txn, Version

KEEPERS: Final = ("VM", "host", "SR", "network", "pool")
DEFAULT_TYPE: Final = "application/octet-stream"


def _record(call: CallContext, txn: Txn, name: str, mime_type: str, public: bool) -> str:
    ids = call.services.ids
    values = {"uuid": ids.uuid(), "name_label": name, "mime_type": mime_type or DEFAULT_TYPE, "public": public}
    return txn.create("blob", ids.ref(), {**values, "size": 0, "last_updated": 0})


@handles("blob.create")
def create(call: CallContext, mime_type: str, public: bool) -> str:
    """An empty blob that nothing keeps. OPERATION_NOT_ALLOWED (rule 3)."""
    check_kept(call.store)
    made: list[str] = []
    call.commit(lambda txn: made.append(_record(call, txn, "", mime_type, public)))
    return made[0]


@handles(*(f"{cls}.create_new_blob" for cls in KEEPERS))
def create_new_blob(call: CallContext, ref: str, name: str, mime_type: str, public: bool) -> str:
    """An empty blob that the object keeps under `name`. MAP_DUPLICATE_KEY if it keeps another of that name;
    OPERATION_NOT_ALLOWED (rule 3)."""
    keeper = call.get(ref)
    check_kept(call.store)
    if name in keeper["blobs"]:
        raise E.MAP_DUPLICATE_KEY(keeper.cls, "blobs", keeper["uuid"], name)
    made: list[str] = []

    def write(txn: Txn) -> None:
        made.append(_record(call, txn, name, mime_type, public))
        txn.update(ref, blobs={**txn.get(ref)["blobs"], name: made[0]})

    call.commit(write)
    return made[0]


@handles("blob.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """Its data goes with it."""
    call.get(ref, "blob")

    def write(txn: Txn) -> None:
        for keeper in _keepers(call.store, ref):
            kept = {name: blob for name, blob in keeper["blobs"].items() if blob != ref}
            txn.update(keeper.ref, blobs=kept)
        txn.delete(ref)

    call.commit(write)


def _keepers(store: Store, blob: str) -> Iterator[Version]:
    """Objects that keep the blob."""
    for cls in KEEPERS:
        yield from (keeper for keeper in store.all(cls).values() if blob in keeper["blobs"].values())


@handles("pool.enable_binary_storage")
def enable_binary_storage(call: CallContext) -> None:
    """Keep binary objects from now on, as a new pool does."""
    call.update(the_pool(call).ref, binary_storage=True)


@handles("host.enable_binary_storage")
def enable_on_host(call: CallContext, host: str) -> None:
    """Keep binary objects in the whole pool from now on, whichever host is named (rule 3)."""
    enable_binary_storage(call)


@handles("pool.disable_binary_storage")
def disable_binary_storage(call: CallContext) -> None:
    """Keep none from now on, and drop the data of those there are."""

    def write(txn: Txn) -> None:
        txn.update(the_pool(call).ref, binary_storage=False)
        for blob in call.store.all("blob").values():
            if blob["size"]:
                txn.update(blob.ref, size=0)

    call.commit(write)
    if call.services.surroundings.blobs is not None:
        call.services.surroundings.blobs.keep(frozenset())


@handles("host.disable_binary_storage")
def disable_on_host(call: CallContext, host: str) -> None:
    """Keep no binary objects in the whole pool from now on, whichever host is named (rule 3)."""
    disable_binary_storage(call)
