"""Which records are removed together with which others.

Rule 1: a record goes when one of those goes that it names in its fields listed in BELONGS, and takes along what its own
        fields listed in PARTS name. Every other reference to something that goes becomes null; engine/removal.py finds
        those in the schema, so a new reference field needs a word here only if its record makes no sense without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Class -> the fields that name what a record belongs to.
# fmt: off
BELONGS: Final[Mapping[str, tuple[str, ...]]] = {
    # of a host
    "Certificate":       ("host",),
    "Cluster_host":      ("host",),
    "Driver_variant":    ("driver",),
    "Feature":           ("host",),
    "Host_driver":       ("host",),
    "PBD":               ("host", "SR"),
    "PCI":               ("host",),
    "PGPU":              ("host",),
    "PIF":               ("host",),
    "PPCI":              ("host",),
    "PSCSI":             ("host",),
    "PSCSI_HBA":         ("host",),
    "PUSB":              ("host",),
    "cpu_pool":          ("resident_on",),
    "host_cpu":          ("host",),
    "host_crashdump":    ("host",),
    "host_patch":        ("host",),
    # of interfaces
    "Bond":              ("master",),
    "VLAN":              ("tagged_PIF", "untagged_PIF"),
    "network_sriov":     ("physical_PIF", "logical_PIF"),
    "tunnel":            ("access_PIF", "transport_PIF"),
    # of storage
    "PVS_cache_storage": ("host", "SR"),
    "VDI":               ("SR",),
    # of VMs; a VBD for media becomes empty instead of going with its disk
    "DPCI":              ("VM", "PPCI"),
    "DSCSI":             ("VM", "PSCSI", "HBA"),
    "DSCSI_HBA":         ("VM",),
    "PVS_proxy":         ("VIF",),
    "VBD":               ("VM", "VDI"),
    "VGPU":              ("VM",),
    "VIF":               ("VM",),
    "VTPM":              ("VM",),
    "VUSB":              ("VM",),
    "console":           ("VM",),
    "crashdump":         ("VM", "VDI"),
}

# Class -> the fields that name what is a part of a record, and of no other.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "PIF":  ("metrics",),
    "SR":   ("blobs",),
    "VBD":  ("metrics",),
    "VIF":  ("metrics",),
    "VM":   ("metrics", "guest_metrics", "blobs"),
    "VTPM": ("contents",),
    "host": ("metrics", "blobs"),
}
# fmt: on
