"""Types of storage repositories and the features of each: the one registry behind SR and VDI rules, and the SM records.

Rule 1: an operation on an SR or its disks needs the feature that NEEDS names; a type without it answers
        SR_OPERATION_NOT_SUPPORTED, and allowed_operations leaves it out. What NEEDS does not name works on records.
Rule 2: a driver brings its type with it (`register`, when the engine takes charge of it) and it stays: records are
        rendered by it from then on. A type nobody registered has DISKS.
Rule 3: only features the driver interface has calls for exist. SR_SUPPORTS_LOCAL_CACHING has a setting of the host: its
        driver gets the repository that may hold copies of disks of others, and decides how to use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# Feature -> version of the interface, as SM.features shows it. Names are those of the reference's storage back ends.
FEATURES: Final[Mapping[str, int]] = {
    "SR_FORMAT": 1,  # makes repositories on bare storage, and can erase them
    "SR_PROBE": 1,
    "SR_UPDATE": 1,
    "VDI_CREATE": 1,
    "VDI_DELETE": 1,
    "VDI_INTRODUCE": 1,
    "VDI_UPDATE": 1,
    "VDI_CLONE": 1,
    "VDI_SNAPSHOT": 1,
    "VDI_REVERT": 1,
    "VDI_COPY": 1,  # may be read in full, for a copy anywhere
    "VDI_RESIZE": 1,
    "VDI_RESIZE_ONLINE": 1,
    "VDI_MIRROR": 1,  # may move to another repository while a machine uses it
    "VDI_RESET_ON_BOOT": 2,
    "VDI_CONFIG_CBT": 1,  # remembers which blocks were written
    "SR_SUPPORTS_LOCAL_CACHING": 1,  # a file system of one host, which may hold copies of disks of other repositories
}

# Operation of an SR (storage_operations) -> the feature its type must have; None: no type can have it.
NEEDS: Final[Mapping[str, str | None]] = {
    "destroy": "SR_FORMAT",
    "update": "SR_UPDATE",
    "vdi_create": "VDI_CREATE",
    "vdi_introduce": "VDI_INTRODUCE",
    "vdi_destroy": "VDI_DELETE",
    "vdi_update": "VDI_UPDATE",
    "vdi_clone": "VDI_CLONE",
    "vdi_snapshot": "VDI_SNAPSHOT",
    "vdi_revert": "VDI_REVERT",
    "vdi_copy": "VDI_COPY",
    "vdi_resize": "VDI_RESIZE",
    "vdi_resize_online": "VDI_RESIZE_ONLINE",
    "vdi_mirror": "VDI_MIRROR",
    "vdi_set_on_boot": "VDI_RESET_ON_BOOT",
    "vdi_enable_cbt": "VDI_CONFIG_CBT",
    "vdi_disable_cbt": "VDI_CONFIG_CBT",
    "vdi_data_destroy": "VDI_CONFIG_CBT",
    "vdi_list_changed_blocks": "VDI_CONFIG_CBT",
    "vdi_force_unlock": None,
    "vdi_generate_config": None,
    "vdi_blocked": None,
}

LOCAL_CACHE: Final = "SR_SUPPORTS_LOCAL_CACHING"
DISKS: Final = frozenset(FEATURES) - {"VDI_CONFIG_CBT", LOCAL_CACHE}
_TRACKED: Final = DISKS | {"VDI_CONFIG_CBT"}
_CACHING: Final = _TRACKED | {LOCAL_CACHE}
_LIBRARY: Final = frozenset({"SR_PROBE", "SR_UPDATE", "VDI_INTRODUCE", "VDI_UPDATE"})


@dataclass(frozen=True)
class StorageType:
    """What SR.type names. `configuration`: keys of device_config with a description; `required`: those it must have.

    shared: whether several hosts can be connected at once. content: the usual content_type of such an SR.
    """

    name: str
    title: str
    description: str
    features: frozenset[str] = DISKS
    shared: bool = False
    content: str = "user"
    configuration: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    vendor: str = ""
    version: str = "1.0"

    def __post_init__(self) -> None:
        if unknown := self.features - FEATURES.keys():
            raise ValueError(f"storage type {self.name} claims unknown features: {', '.join(sorted(unknown))}")
        if missing := set(self.required) - set(self.configuration):
            raise ValueError(f"storage type {self.name} requires keys it does not describe: {missing}")


_DEVICE: Final = {"device": "Block device of the host"}
_SERVER: Final = {"server": "Name or address of the file server", "serverpath": "Path that it exports"}
_ISCSI: Final = {"target": "Address of the iSCSI target", "targetIQN": "Its name", "SCSIid": "The unit it serves"}

_KNOWN: Final = (
    StorageType("nfs", "NFS", "Disk files on an NFS server", features=_TRACKED, shared=True,
                configuration={**_SERVER, "options": "Options of the mount"}, required=("server",)),
    StorageType("ext", "Local file system", "Disk files on a file system of one host",
                features=_CACHING, configuration=_DEVICE, required=("device",)),
    StorageType("local", "Local disk", "Disk files on the first disk of one host; what xm of API 1.0 looks for",
                features=_CACHING, configuration={"location": "Path of the directory"}),
    StorageType("lvm", "Local volumes", "Logical volumes on a disk of one host", features=_TRACKED,
                configuration=_DEVICE, required=("device",)),
    StorageType("lvmoiscsi", "Volumes over iSCSI", "Logical volumes on an iSCSI unit", features=_TRACKED,
                shared=True, configuration=_ISCSI, required=("target", "targetIQN", "SCSIid")),
    StorageType("file", "Directory", "Disk files in a directory of one host",
                features=_CACHING - {"VDI_RESIZE_ONLINE", "VDI_MIRROR"},
                configuration={"location": "Path of the directory"}, required=("location",)),
    StorageType("iso", "ISO library", "Images of removable media that somebody else puts there",
                features=_LIBRARY | {"VDI_COPY"}, shared=True, content="iso",
                configuration={"location": "Export or path of the library", "type": "cifs or nfs_iso",
                               "options": "Options of the mount"}, required=("location",)),
    StorageType("udev", "Removable storage", "Drives of one host", features=_LIBRARY, content="disk",
                configuration={"location": "Directory of the drives' device nodes"}, required=("location",)),
    StorageType("dummy", "Dummy", "Disks that keep nothing, for trying things out",
                features=frozenset({"SR_FORMAT", "SR_UPDATE", "VDI_CREATE", "VDI_DELETE", "VDI_INTRODUCE",
                                    "VDI_UPDATE", "VDI_RESIZE"})),
)  # fmt: skip

# SR.type -> what it is.
TYPES: dict[str, StorageType] = {kind.name: kind for kind in _KNOWN}


def register(kind: StorageType) -> None:
    """Make a driver's type known. ValueError if another driver's type of that name says something else."""
    if TYPES.setdefault(kind.name, kind) != kind:
        raise ValueError(f"storage type {kind.name} is known already, with other features")


def features(name: str) -> frozenset[str]:
    """Features of the type `name` (rule 2)."""
    kind = TYPES.get(name)
    return DISKS if kind is None else kind.features


def offers(name: str, operation: str) -> bool:
    """Whether SRs of type `name` have the operation of storage_operations (rule 1)."""
    if operation not in NEEDS:
        return True
    return NEEDS[operation] in features(name)
