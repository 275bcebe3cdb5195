"""Shared parts of plans on SRs: errors of back ends, hosts that can connect, and removal of records.

Rule 1: device_config may hold credentials; nothing here writes it to a log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import STORAGE, About
from xenapi_core.engine.plan import Run, World
from xenapi_core.engine.removal import remove
from xenapi_core.errors import ApiError, E
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Txn

# What a back end's failure means when it was about a whole repository.
REPOSITORY: Final[Mapping[str, Callable[[About, DriverError], ApiError]]] = {
    **STORAGE,
    "not_found": lambda a, e: E.SR_ATTACH_FAILED(a.sr),
    "exists": lambda a, e: E.SR_DEVICE_IN_USE(),
    "in_use": lambda a, e: E.SR_DEVICE_IN_USE(),
    "offline": lambda a, e: E.HOST_OFFLINE(a.host),
}


def check_idle(world: World, sr: str) -> None:
    """OTHER_OPERATION_IN_PROGRESS while an operation works on a disk of a repository, or makes one there."""
    for vdi in map(world.store.get, world.store.related(sr, "VDIs")):
        if vdi["current_operations"]:
            raise other_operation("VDI", vdi.ref, vdi["current_operations"])
    if makers := world.making(sr):
        raise other_operation("SR", sr, dict.fromkeys(makers, "vdi_create"))


def check_device_config(config: Mapping[str, str]) -> None:
    """VALUE_NOT_SUPPORTED for SRmaster: the server decides that key itself."""
    if "SRmaster" in config:
        raise E.VALUE_NOT_SUPPORTED("device_config", "SRmaster", "This key is for internal use only")


def forget_repository(world: World, run: Run, txn: Txn, sr: str) -> None:
    """The records of an SR that is gone or forgotten: its disks, its connections, and what pointed at it."""
    remove(world, txn, (sr,))
    run.drop_storage(sr)
