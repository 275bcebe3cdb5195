"""Records that every pool has from the start: roles, and the storage back ends.

Rule 1: a role's identity is that of its name (model/classes/role.py); it is the same in every pool.
Rule 2: roles are nested: the parts of a role are the next weaker one, whose permissions it has too. The permissions of
        a role follow from the data model (api/roles.py) and are kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xenapi_core.ids import Ids
from xenapi_core.model.classes.role import role_ref, role_uuid
from xenapi_core.model.schema import (
    CLIENT_CERT,
    POOL_ADMIN,
    POOL_OPERATOR,
    READ_ONLY,
    VM_ADMIN,
    VM_OPERATOR,
    VM_POWER_ADMIN,
)
from xenapi_core.store.api import Txn

# Weakest first, each with what people are told of it.
ROLE_TEXTS: Final[Mapping[str, str]] = {
    READ_ONLY: "May look at everything except passwords, and change nothing",
    CLIENT_CERT: "What a client certificate stands for: hosts that update themselves",
    VM_OPERATOR: "May use VMs: start and stop them, see their consoles, change CDs",
    VM_ADMIN: "May make, change and remove VMs and templates",
    VM_POWER_ADMIN: "May also choose where VMs run, and move them with their memory",
    POOL_OPERATOR: "May manage hosts, networks and storage of the pool, but not who may log in",
    POOL_ADMIN: "May do everything",
}
INTERNAL_ROLES: Final = frozenset({CLIENT_CERT})
NESTED: Final = tuple(name for name in ROLE_TEXTS if name not in INTERNAL_ROLES)

DISKS: Final = (
    "VDI_CREATE", "VDI_DELETE", "VDI_ATTACH", "VDI_DETACH", "VDI_UPDATE", "VDI_CLONE", "VDI_SNAPSHOT", "VDI_RESIZE",
    "VDI_GENERATE_CONFIG", "VDI_RESET_ON_BOOT", "SR_PROBE", "SR_SCAN", "SR_UPDATE",
)  # fmt: skip
MEDIA: Final = ("VDI_ATTACH", "VDI_DETACH", "SR_SCAN", "SR_ATTACH", "SR_DETACH")

# type -> (name, description, what it can do, keys of device_config)
BACK_ENDS: Final[Mapping[str, tuple[str, str, tuple[str, ...], Mapping[str, str]]]] = {
    "ext": ("Local EXT", "Disks as VHD files on a local disk", DISKS, {"device": "device file of the disk"}),
    "file": ("File", "Disks as VHD files in a directory", DISKS, {"location": "path of the directory"}),
    "iso": (
        "ISO", "CD images in a directory, local or on a file server", MEDIA,
        {"location": "server:path or local path", "type": "nfs_iso or cifs"},
    ),
    "lvm": ("Local LVM", "Disks as logical volumes on a local disk", DISKS, {"device": "device file of the disk"}),
    "nfs": (
        "NFS", "Disks as VHD files on an NFS server", (*DISKS, "SR_SUPPORTS_LOCAL_CACHING"),
        {"server": "name or address of the server", "serverpath": "path on the server"},
    ),
    "udev": ("udev", "Drives of the host, which come and go", MEDIA, {"location": "path of the directory"}),
}  # fmt: skip


def furnish(txn: Txn, ids: Ids) -> None:
    """Add the standing records to an empty pool."""
    for name, text in ROLE_TEXTS.items():
        weaker = NESTED[: NESTED.index(name)][-1:] if name in NESTED else ()
        txn.create(
            "role", role_ref(name),
            {"uuid": role_uuid(name), "name_label": name, "name_description": text,
             "subroles": tuple(map(role_ref, weaker)), "is_internal": name in INTERNAL_ROLES},
        )  # fmt: skip
    for kind, (name, text, features, keys) in BACK_ENDS.items():
        txn.create(
            "SM", "OpaqueRef:" + ids.named(f"ref/sm/{kind}"),
            {"uuid": ids.named(f"sm/{kind}"), "name_label": name, "name_description": text, "type": kind,
             "vendor": "xencim", "version": "1.0", "required_api_version": "1.0", "configuration": dict(keys),
             "capabilities": features, "features": dict.fromkeys(features, 1), "driver_filename": ""},
        )  # fmt: skip
