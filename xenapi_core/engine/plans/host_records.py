"""Removing the records of a host: what host.destroy and pool.eject have in common."""

from __future__ import annotations

from xenapi_core.engine.plan import World
from xenapi_core.engine.removal import remove
from xenapi_core.store.api import Txn


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
