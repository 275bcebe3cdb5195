"""Records of disks, made from what their storage reports."""

from __future__ import annotations

from typing import Any

from xenapi_core.drivers.storage import VolumeState
from xenapi_core.ids import NULL_REF
from xenapi_core.store.api import Version


def sizes_of(volume: VolumeState) -> dict[str, Any]:
    """The record fields of a disk that only the storage knows."""
    return {
        "location": volume.location,
        "virtual_size": volume.virtual_size,
        "physical_utilisation": volume.physical_utilisation,
    }


def found_vdi(sr: Version, volume: VolumeState, snapshot_of: str = NULL_REF) -> dict[str, Any]:
    """The record of a volume that was in storage before; everything it needs."""
    return {
        "uuid": volume.uuid,
        "SR": sr.ref,
        "name_label": volume.name,
        "type": "user",
        "sharable": False,
        "read_only": volume.read_only,
        "managed": True,
        "missing": False,
        "is_a_snapshot": bool(volume.snapshot_of),
        "snapshot_of": snapshot_of,
        "other_config": {"location": volume.location},
        **sizes_of(volume),
    }
