"""What plans with repositories share: failures of back ends, hosts that can connect, and records that go.

Rule 1: device_config may hold credentials; nothing here writes it to a log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.failures import STORAGE, About
from xenapi_core.engine.plan import Run, World
from xenapi_core.engine.plans.volumes import forget_volume
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.store.api import Txn, Version

# What a back end's failure means when it was about a whole repository.
REPOSITORY: Final[Mapping[str, Callable[[About, DriverError], ApiError]]] = {
    **STORAGE,
    "not_found": lambda a, e: E.SR_ATTACH_FAILED(a.sr),
    "exists": lambda a, e: E.SR_DEVICE_IN_USE(),
    "in_use": lambda a, e: E.SR_DEVICE_IN_USE(),
    "offline": lambda a, e: E.HOST_OFFLINE(a.host),
}

# Fields that name an SR of somebody's choice.
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "pool": ("default_SR", "suspend_image_SR", "crash_dump_SR"),
    "host": ("suspend_image_sr", "crash_dump_sr", "local_cache_sr"),
    "VM": ("suspend_SR",),
}


def is_live(world: World, host: str) -> bool:
    """Whether a host answers; one without metrics is believed to."""
    metrics = world.store.find(world.store.get(host, "host")["metrics"])
    return metrics is None or bool(metrics["live"])


def check_live(world: World, host: str) -> Version:
    """The host record. HANDLE_INVALID, HOST_OFFLINE."""
    record = world.store.get(host, "host")
    if not is_live(world, host):
        raise E.HOST_OFFLINE(host)
    return record


def check_device_config(config: Mapping[str, str]) -> None:
    """VALUE_NOT_SUPPORTED for SRmaster: the server decides that key itself."""
    if "SRmaster" in config:
        raise E.VALUE_NOT_SUPPORTED("device_config", "SRmaster", "This key is for internal use only")


def forget_repository(world: World, run: Run, txn: Txn, sr: str) -> None:
    """The records of an SR that is gone or forgotten: its disks, its connections, and what pointed at it."""
    for vdi in txn.related(sr, "VDIs"):
        forget_volume(run, txn, vdi, destroyed=False)
    for pbd in txn.related(sr, "PBDs"):
        txn.delete(pbd)
    for cls, fields in _CHOICES.items():
        for record in list(world.store.all(cls).values()):
            changes: dict[str, Any] = {name: NULL_REF for name in fields if record[name] == sr}
            if changes:
                txn.update(record.ref, **changes)
    txn.delete(sr)
    run.drop_storage(sr)
