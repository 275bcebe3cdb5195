"""The pool of hosts as a system (DSP1052), and what belongs to the pool and not to one host: the volumes of its SRs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cim_provider.mapping.association import Association, Owned, Pointing, Reversed
from cim_provider.mapping.rule import OWN_CLASS, computed, const, field
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.methods.fixed_state import UNCHANGEABLE
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.storage import BLOCK_SIZE, CDROMDrive, LogicalDisk
from cim_provider.profiles.system_virtualization import HostedDependency
from cim_provider.profiles.virtual_system import SystemDevice

if TYPE_CHECKING:
    from xenapi_core.store.api import Version


def pool_name(pool: Subject) -> str:
    """The pool's name; of a pool without one, that of its coordinator."""
    coordinator = pool.follow("master")
    return str(pool["name_label"] or (coordinator["name_label"] if coordinator is not None else ""))


class HostPool(View, cim="Xen_HostPool", of="pool"):
    """The hosts that are managed together."""

    CreationClassName = OWN_CLASS
    Name = field("uuid")
    NameFormat = const("Other")
    Caption = const("Pool of virtualization hosts")
    ElementName = computed(pool_name)
    Description = field("name_description")
    Dedicated = const((0,))
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    HighAvailabilityEnabled = field("ha_enabled")

    RequestStateChange = UNCHANGEABLE


def the_pool(pool: Pool, version: Version) -> tuple[str, ...]:
    """The one pool record there is."""
    return tuple(pool.all("pool"))


class ComponentCS(Association, cim="Xen_ComponentCS", left="GroupComponent", right="PartComponent"):
    """A host belongs to the pool."""

    relations = (Owned(HostPool, HostComputerSystem, the_pool, reads=("pool",)),)


def pool_uuid(vdi: Subject) -> str:
    """The uuid of the pool; empty while it is not set up."""
    pool = vdi.only("pool")
    return "" if pool is None else str(pool["uuid"])


def number_of_blocks(vdi: Subject) -> int:
    return max(0, int(vdi["virtual_size"])) // BLOCK_SIZE


class StorageVolume(View, cim="Xen_StorageVolume", of="VDI"):
    """A disk image (VDI) in an SR."""

    SystemCreationClassName = const(HostPool.cim)
    SystemName = computed(pool_uuid)
    CreationClassName = OWN_CLASS
    DeviceID = field("uuid")
    ElementName = field("name_label")
    Description = field("name_description")
    Name = field("uuid")
    NameFormat = const(1)
    OtherNameFormat = const("VDI uuid")
    NameNamespace = const(1)
    OtherNameNamespace = const("Xen-API")
    EnabledState = const(2)
    RequestedState = const(12)
    HealthState = field("missing").table({True: 25, False: 5})
    OperationalStatus = field("missing").table({True: (12,), False: (2,)})
    Access = field("read_only").table({True: 1, False: 3})
    BlockSize = const(BLOCK_SIZE)
    NumberOfBlocks = computed(number_of_blocks)
    ConsumableBlocks = computed(number_of_blocks)
    Primordial = const(False)
    Shareable = field("sharable")


class MediaPresent(Association, cim="Xen_MediaPresent", left="Antecedent", right="Dependent"):
    """A disc is in a drive."""

    relations = (Reversed(Pointing(StorageVolume, CDROMDrive, "VBD.VDI")),)
    properties = {"FixedMedia": False}


SystemDevice.also(Owned(HostPool, StorageVolume, the_pool, reads=("pool",)))
HostedDependency.also(Pointing(StorageVolume, LogicalDisk, "VBD.VDI"))
