"""Records of trusted platform modules: a module and the secret with its state are created and removed together.

Rule 1: these functions write into a transaction and decide nothing.
"""

from __future__ import annotations

from xenapi_core.engine.plan import World
from xenapi_core.store.api import Txn


def new_vtpm(world: World, txn: Txn, vm: str, is_unique: bool, contents: str = "") -> str:
    """A module of `vm` with that state (base64). Returns its reference."""
    secret, ref = world.ids.ref(), world.ids.ref()
    txn.create("secret", secret, {"uuid": world.ids.uuid(), "value": contents, "other_config": {}})
    values = {"uuid": world.ids.uuid(), "VM": vm, "is_unique": is_unique, "contents": secret}
    return txn.create("VTPM", ref, values)


def delete_vtpm(txn: Txn, ref: str) -> None:
    """The module and its state."""
    secret = txn.get(ref, "VTPM")["contents"]
    if txn.find(secret) is not None:
        txn.delete(secret)
    txn.delete(ref)


def copy_vtpms(world: World, txn: Txn, source: str, vm: str) -> None:
    """Modules like those of VM `source`; one that must never exist twice begins empty (API reference, is_unique)."""
    for ref in txn.related(source, "VTPMs"):
        values = txn.get(ref)
        secret = txn.find(values["contents"])
        contents = "" if values["is_unique"] or secret is None else secret["value"]
        new_vtpm(world, txn, vm, values["is_unique"], contents)
