"""Why some messages of the Xen-API are not implemented: one reason for each, shown on the coverage page.

Rule 1: a reason is given to patterns of wire names; the first pattern that fits counts. A test keeps the table true:
        each message without behaviour has a reason, and no pattern names only messages that have behaviour.
Rule 2: a reason says what is missing, so that whoever adds it knows where to begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

# fmt: off
REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Out of scope: patches, updates and their repositories, and the licences of products.": (
        "pool_patch.*", "pool_update.*", "host_patch.*", "Repository.*", "pool.*repositor*", "pool.*update*",
        "pool.apply_edition", "host.apply_edition", "host.license_*", "host.set_license_params", "host.apply_updates",
        "host.refresh_pack_info", "host.emergency_clear_mandatory_guidance",
    ),
    "Out of scope: clustering.": (
        "Cluster.*", "Cluster_host.*",
    ),
    "Out of scope: GPUs, USB and PCI devices; the simulator has no such hardware.": (
        "PCI.*", "PGPU.*", "GPU_group.*", "VGPU.*", "PUSB.*", "USB_group.*", "VUSB.*", "DPCI.*", "host.*_vf_setup",
    ),
    "Out of scope: SCSI devices passed to guests; the simulator has none.": ("DSCSI.*", "DSCSI_HBA.*"),
    "No driver caches what servers of Citrix Provisioning stream to guests.": ("PVS_proxy.*", "PVS_cache_storage.*"),
    "No driver splits a network card into virtual functions.": ("network_sriov.*",),
    "The server is one program; nobody traces calls through the parts of a toolstack.": ("Observer.*",),
    "Limits of calls are the same for all callers; none is counted or slowed by name.": (
        "Caller.*", "Rate_limit.*",
    ),
}
# fmt: on


def reason(wire_name: str) -> str | None:
    """Why a message has no behaviour; None if no pattern fits."""
    for words, patterns in REASONS.items():
        if any(fnmatchcase(wire_name, pattern) for pattern in patterns):
            return words
    return None
