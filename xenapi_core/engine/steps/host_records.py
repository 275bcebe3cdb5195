"""Creating and removing the records of a host, shared by pool.join and host.create, host.destroy and pool.eject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.engine.plan import World
from xenapi_core.engine.removal import remove
from xenapi_core.errors import E
from xenapi_core.ids import is_uuid
from xenapi_core.store.api import Store, Txn

SIZE_RESTRICTION: Final = "restrict_pool_size"  # key of host.license_params
_RESTRICTED_SIZE: Final = 3  # hosts, where the licence restricts the size of pools


def check_size(licence: Mapping[str, str], hosts: int) -> None:
    """LICENCE_RESTRICTION [restrict_pool_size] if no host may come to a pool with that many; `licence`: license_params
    of its coordinator."""
    if licence.get(SIZE_RESTRICTION) == "true" and hosts >= _RESTRICTED_SIZE:
        raise E.LICENCE_RESTRICTION(SIZE_RESTRICTION)


def check_newcomer(store: Store, uuid: str) -> None:
    """Raise why no host with that uuid may come to the pool: INVALID_VALUE for what is none, because folders and files
    have its name; check_size, which several hosts may have passed at once; DB_UNIQUENESS_CONSTRAINT_VIOLATION ["host",
    "uuid", uuid]."""
    if not is_uuid(uuid):
        raise E.INVALID_VALUE("uuid", uuid)
    for pool in store.all("pool").values():
        check_size(store.get(pool["master"])["license_params"], len(store.all("host")))
    if store.by_uuid("host", uuid) is not None:
        raise E.DB_UNIQUENESS_CONSTRAINT_VIOLATION("host", "uuid", uuid)


def new_host(world: World, txn: Txn, values: Mapping[str, Any]) -> str:
    """The record of a host that was not heard from yet: it takes no VMs and is not live. Returns the host.

    It has the API of the coordinator, whose release it must have to join.
    """
    (pool,) = world.store.all("pool").values()
    master = world.store.get(pool["master"])
    shared = ("API_version_major", "API_version_minor", "API_version_vendor", "API_version_vendor_implementation",
              "supported_bootloaders")  # fmt: skip
    metrics = txn.create("host_metrics", world.ids.ref(), {"uuid": world.ids.uuid(), "live": False})
    given = {**{name: master[name] for name in shared}, "sched_policy": "credit", "metrics": metrics, **values}
    return txn.create("host", world.ids.ref(), given)


def only_here(world: World, host: str) -> tuple[str, ...]:
    """The storage repositories that no other host can reach: they are not shared, and have no other connection."""
    connected = dict.fromkeys(world.store.get(pbd)["SR"] for pbd in world.store.related(host, "PBDs"))
    return tuple(sr for sr in connected if _is_only_here(world, sr, host))


def _is_only_here(world: World, sr: str, host: str) -> bool:
    record = world.store.find(sr)
    pbds = world.store.related(sr, "PBDs")
    return record is not None and not record["shared"] and all(world.store.get(pbd)["host"] == host for pbd in pbds)


def remove_host(world: World, txn: Txn, host: str) -> None:
    """Delete a host with everything that is its own: control domain, interfaces, connections, storage only it had.

    The disks of that storage are forgotten with it. Nothing refers to the host any more: VMs that preferred it prefer
    none from now on. HANDLE_INVALID.
    """
    world.store.get(host, "host")
    residents = world.store.related(host, "resident_VMs")
    domains = [vm for vm in residents if world.store.get(vm)["is_control_domain"]]
    remove(world, txn, (host, *domains, *only_here(world, host)))
