"""Xen_StoragePoolManagementService of xs-cim: creates and detaches SRs, creates disk images, and lists iSCSI targets.

Rule 1: methods take their parameters by the names of xs-cim, and by those of the DMTF's method that does the same; both
        at once for one thing is refused.
Rule 2: methods answer when they are done, but for the two of xs_transfer.py.
Rule 3: the result of a probe has the XML of XenServer's own storage drivers. If the pool's driver returns it as an
        error, as those do, its text is passed on; otherwise the same elements are made from the records of the probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from xml.sax.saxutils import escape

from cim_provider import jobs
from cim_provider.compat.xs_transfer import CONNECT_TO_DISK, DISCONNECT_FROM_DISK
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import invalid
from cim_provider.mapping.rule import const
from cim_provider.methods.setting_terms import CD, DISKS
from cim_provider.profiles import pool_configuration
from cim_provider.profiles.host_pool import StorageVolume
from cim_provider.profiles.host_service import HostService
from cim_provider.profiles.resource_pool import StoragePool
from cim_provider.schema.objects import Instance, Path
from xenapi_core.errors import ApiError

T = TypeVar("T")

STORAGE_EXTENT = 19
PORT, MOST_PORT = "3260", 65535
ISCSI = "lvmoiscsi"
# How drivers that find something although not all was said tell it: targets, or units, or both.
TOLD_BY_ERROR = ("SR_BACKEND_FAILURE_96", "SR_BACKEND_FAILURE_107", "SR_BACKEND_FAILURE_87")
XML = "<?xml"


def _either(first: T | None, second: T | None, names: str) -> T | None:
    """The one of two parameters that is not NULL. RefusedError INVALID_PARAMETER for both."""
    if first is not None and second is not None:
        raise invalid(f"{names} are the same: one of them is enough")
    return first if first is not None else second


@jobs.answers(jobs.POOLS)
async def create_storage_pool(
    call: Call,
    element_name: str | None,
    settings: Instance | None,
    resource_type: int | None,
    parent_pool: tuple[Path, ...] | None,
) -> Result:
    """CreateStoragePool: as CreateChildResourcePool; 5 for settings of anything but storage."""
    if settings is None:
        raise invalid("Settings is missing")
    given = {name: value for name, value in settings.values.items() if value is not None}
    kind = given.pop("ResourceType", resource_type or STORAGE_EXTENT)
    if kind not in (CD, *DISKS) or resource_type not in (None, CD, *DISKS):
        raise invalid("a pool of storage is of ResourceType 15 or 19")
    place = _either(given.pop("Connection", None), given.pop("HostResource", None), "Connection and HostResource")
    values = {**given, "ResourceType": STORAGE_EXTENT, "HostResource": place or ()}
    asked = Instance(settings.classname, values, None, settings.types)
    return await pool_configuration.create_child_resource_pool(call, element_name, (asked,), parent_pool)


@jobs.answers(jobs.POOLS)
async def detach_storage_pool(call: Call, pool: Path | None) -> Result:
    """DetachStoragePool: as DeleteResourcePool, which forgets an SR and keeps what is on it; 5 for other pools."""
    call.target(pool, "Pool", StoragePool.cim)
    return await pool_configuration.delete_resource_pool(call, pool)


@jobs.answers(jobs.POOLS)
async def create_disk_image(
    call: Call, resource_setting: Instance | None, settings: Instance | None, pool: Path | None
) -> Result:
    """CreateDiskImage: as CreateResourceInPool, in Pool or in the pool that PoolID names."""
    asked = _either(resource_setting, settings, "ResourceSetting and Settings")
    named = asked.values.get("PoolID") if asked is not None else None
    sr = call.source.by_uuid("SR", str(named)) if pool is None and named else None
    place = pool if sr is None else call.path_of(StoragePool.cim, sr.ref)
    found = await pool_configuration.create_in_pool(call, asked, place)
    image = found.out.get("Resource")
    out = {} if image is None else {"Resource": image, "ResultingDiskImage": image}
    return Result(found.value, out, found.why)


@jobs.answers(jobs.POOLS)
async def delete_disk_image(call: Call, disk_image: Path | None, resource: Path | None, pool: Path | None) -> Result:
    """DeleteDiskImage: does the same as DeleteResourceInPool; Pool may be omitted."""
    image = _either(disk_image, resource, "DiskImage and Resource")
    if pool is None:
        pool = call.path_of(StoragePool.cim, call.target(image, "DiskImage", StorageVolume.cim)["SR"])
    return await pool_configuration.delete_in_pool(call, image, pool)


@jobs.answers(jobs.POOLS)
async def discover_targets(call: Call, target_host: str | None, port: str | None, target_iqn: str | None) -> Result:
    """DiscoveriSCSITargetInfo: the targets of an iSCSI server, or the units of the target TargetIQN, seen from the host
    whose service is called. 5 without a TargetHost, and for a Port that is none."""
    if not target_host:
        raise invalid("TargetHost is missing")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) <= MOST_PORT):
        raise invalid(f"Port is no number from 1 to {MOST_PORT}")
    config = {"target": target_host}
    if port and port != PORT:
        config["port"] = port
    if target_iqn:
        config["targetIQN"] = target_iqn
    asked: tuple[Any, ...] = (call.subject.ref, config, ISCSI, {})
    try:
        await call.source.call(call.principal, "SR.probe", *asked)
        found = await call.source.call(call.principal, "SR.probe_ext", *asked)
    except ApiError as error:
        text = told_by(error)
        if text is None:
            raise
        return Result(jobs.DONE, {"TargetInfo": text})
    places = [one["configuration"] for one in found]
    told = units(found) if target_iqn else targets(places, port or PORT)
    return Result(jobs.DONE, {"TargetInfo": told})


def told_by(error: ApiError) -> str | None:
    """What a driver has found that tells it by an error (rule 3)."""
    text = next((word for word in error.params if XML in word), None)
    return text[text.index(XML) :] if text is not None and error.code in TOLD_BY_ERROR else None


def targets(places: Iterable[Mapping[str, str]], port: str) -> str:
    """The targets to which some configurations lead, once each."""
    known = {(one.get("target", ""), one.get("port", port), one.get("targetIQN", "")) for one in places}
    rows = "".join(
        _element("TGT", {"Index": str(index), "IPAddress": address, "Port": number, "TargetIQN": iqn})
        for index, (address, number, iqn) in enumerate(sorted(known))
        if iqn
    )
    return f'{XML} version="1.0" ?><iscsi-target-iqns>{rows}</iscsi-target-iqns>'


def units(found: Iterable[Mapping[str, Any]]) -> str:
    """The units of a target, by their SCSI identifiers, with the size in bytes where the probe tells it."""
    sizes: dict[str, str] = {}
    for one in found:
        state = one["sr"]
        size = one["extra_info"].get("size", str(state["total_space"]) if state is not None else "")
        if one["configuration"].get("SCSIid"):
            sizes[one["configuration"]["SCSIid"]] = size
    rows = "".join(
        _element("LUN", {"LUNid": str(number), "size": size, "SCSIid": scsi_id})
        for number, (scsi_id, size) in enumerate(sorted(sizes.items()))
    )
    return f'{XML} version="1.0" ?><iscsi-target>{rows}</iscsi-target>'


def _element(name: str, parts: Mapping[str, str]) -> str:
    inner = "".join(f"<{part}>{escape(text)}</{part}>" for part, text in parts.items() if text)
    return f"<{name}>{inner}</{name}>"


class StoragePoolManagementService(HostService, cim="Xen_StoragePoolManagementService", of="host", registered=False):
    """What makes and detaches SRs, makes and destroys disk images in them, and looks for storage."""

    ElementName = const("Storage pool management")

    CreateStoragePool = method(create_storage_pool, out=("Pool",))
    DetachStoragePool = method(detach_storage_pool)
    CreateDiskImage = method(create_disk_image, out=("Resource", "ResultingDiskImage"))
    DeleteDiskImage = method(delete_disk_image)
    ConnectToDiskImage = CONNECT_TO_DISK
    DisconnectFromDiskImage = DISCONNECT_FROM_DISK
    DiscoveriSCSITargetInfo = method(discover_targets, out=("TargetInfo",))
