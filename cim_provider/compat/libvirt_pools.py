"""Translates libvirt-cim's settings of new pools and volumes for the pool configuration service.

Rule 1: these classes have no instances: clients send them. What the Xen-API has no word for is refused, not left out;
        but for the path of a volume and how much of it is allocated at once, which the storage repository decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cim_provider.schema.objects import FAILED, NOT_SUPPORTED, CimError, Instance

RASD = "CIM_ResourceAllocationSettingData"
DISK_POOL, NET_POOL = "Xen_DiskPoolResourceAllocationSettingData", "Xen_NetPoolResourceAllocationSettingData"
VOLUME = "Xen_StorageVolumeResourceAllocationSettingData"

# Type of a disk pool -> the type of SR, and where each key of its device_config is told.
FILE, NFS, DISK, LOGICAL = 1, 3, 4, 6
STORES: Mapping[int, tuple[str, Mapping[str, str]]] = {
    FILE: ("file", {"location": "Path"}),
    NFS: ("nfs", {"server": "Host", "serverpath": "SourceDirectory"}),
    DISK: ("ext", {"device": "DevicePaths"}),
    LOGICAL: ("lvm", {"device": "DevicePaths"}),
}
NO_FORWARDING = 0
RAW = (0, 1)  # unknown, and raw


def _non_null_values(instance: Instance) -> dict[str, Any]:
    return {name: value for name, value in instance.values.items() if value is not None and name != "InstanceID"}


def _disk_pool(values: dict[str, Any]) -> dict[str, Any]:
    """CimError NOT_SUPPORTED for a type without an SR of its kind, FAILED for one whose place is not told."""
    kind = values.pop("Type", None)
    if kind not in STORES:
        raise CimError(NOT_SUPPORTED, f"Storage pools of type {kind} are not supported")
    name, places = STORES[kind]
    values.pop("PoolID", None)  # ElementName is its name
    config = []
    for key, told in places.items():
        value = values.pop(told, None)
        text = ",".join(value) if isinstance(value, tuple) else value
        if not text:
            raise CimError(FAILED, f"Missing property `{told}'")
        config.append(f"{key}={text}")
    values.pop("Path", None)  # where a file system is mounted is the host's choice
    return {**_nothing_left(values), "ResourceType": 17, "ResourceSubType": name, "HostResource": tuple(config)}


def _net_pool(values: dict[str, Any]) -> dict[str, Any]:
    """CimError NOT_SUPPORTED for a network that gives out addresses, or forwards."""
    if values.pop("ForwardMode", NO_FORWARDING) != NO_FORWARDING:
        raise CimError(NOT_SUPPORTED, "Networks do not forward")
    values.pop("PoolID", None)
    return {**_nothing_left(values), "ResourceType": 10}


def _volume(values: dict[str, Any]) -> dict[str, Any]:
    """CimError NOT_SUPPORTED for a volume in a format of its own."""
    if values.pop("FormatType", RAW[0]) not in RAW:
        raise CimError(NOT_SUPPORTED, "Volumes are raw: the storage pool decides how they are stored")
    size, name = values.pop("Capacity", None), values.pop("VolumeName", None)
    for ignored in ("Path", "AllocationQuantity"):
        values.pop(ignored, None)
    unit = values.pop("AllocationUnits", None) or "byte"
    left = _nothing_left(values)
    told = {"ElementName": name, "VirtualQuantity": size, "AllocationUnits": unit, "ResourceType": 17}
    return {**left, **{key: value for key, value in told.items() if value is not None}}


def _nothing_left(values: dict[str, Any]) -> dict[str, Any]:
    """The properties that the DMTF's class has, too. CimError NOT_SUPPORTED for what only libvirt's has and no SR or
    network takes."""
    values.pop("ResourceType", None)
    values.pop("CreationClassName", None)
    other = [name for name in values if name not in ("ElementName", "Description")]
    if other:
        raise CimError(NOT_SUPPORTED, f"{other[0]} cannot be chosen")
    return values


READERS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    DISK_POOL.lower(): _disk_pool,
    NET_POOL.lower(): _net_pool,
    VOLUME.lower(): _volume,
}


def as_declared(instance: Instance) -> Instance | None:
    """The settings as the profiles take them; None for settings of another class. CimError (rule 1)."""
    reader = READERS.get(instance.classname.lower())
    if reader is None:
        return None
    values = reader(_non_null_values(instance))
    return Instance(RASD, values, None, {})
