"""DSP1033 Profile Registration: the profiles that this server implements, and the central instances of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cim_provider import jobs
from cim_provider.mapping.association import Association, Extents, Pairs
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.rule import computed, const
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.allocation_capabilities import CAPABILITIES
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.cpu import HostProcessor
from cim_provider.profiles.host_pool import HostPool
from cim_provider.profiles.indications import IndicationService, OfferedCollection
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.profiles.kvm_redirection import KVMRedirectionSAP
from cim_provider.profiles.metrics import MetricDefinition
from cim_provider.profiles.migration import VirtualSystemMigrationService
from cim_provider.profiles.power_management import PowerManagementService
from cim_provider.profiles.resource_pool import (
    POOLS,
    MemoryPool,
    NetworkPool,
    PrimordialPool,
    ProcessorPool,
    StoragePool,
)
from cim_provider.profiles.system_memory import HostMemory
from cim_provider.profiles.virtual_ethernet_switch import VirtualSwitch
from cim_provider.schema.objects import CIMV2, INTEROP


@dataclass(frozen=True)
class Profile:
    """A profile this server implements, by the names the DMTF registered. `central`: the view of its central class, or
    the views; `builds_on`: profiles it references."""

    number: str
    name: str
    version: str
    central: type[View] | tuple[type[View], ...]
    builds_on: tuple[str, ...] = ()

    @property
    def views(self) -> tuple[type[View], ...]:
        return self.central if isinstance(self.central, tuple) else (self.central,)

    @property
    def instance_id(self) -> str:
        return f"CIM:{self.number}-{self.name.replace(' ', '')}-{self.version}"


def profiles(subject: Subject) -> Iterable[Profile]:
    return PROFILES


def _profile_id(subject: Subject) -> str:
    profile: Profile = subject.item
    return profile.instance_id


def _profile_name(subject: Subject) -> str:
    profile: Profile = subject.item
    return profile.name


def _profile_version(subject: Subject) -> str:
    profile: Profile = subject.item
    return profile.version


async def get_central_instances(call: Call) -> Result:
    """CIM_RegisteredProfile.GetCentralInstances: the paths of what conforms to the profile, as ElementConformsToProfile
    has them. Always 0 (DSP1033 1.1 has no other value)."""
    profile: Profile = call.subject.item
    found = [one for view in profile.views for one in await call.shown(view)]
    if RegisteredProfile in profile.views:
        found = [one for one in found if one.item is profile]  # see registered_itself
    return Result(jobs.DONE, {"CentralInstances": tuple(one.path for one in found)})


class RegisteredProfile(View, cim="Xen_RegisteredProfile", items=profiles, namespace=INTEROP):
    """A profile; the item is its row in PROFILES."""

    InstanceID = computed(_profile_id)
    ElementName = computed(_profile_name)
    SpecificationType = const(2)
    RegisteredOrganization = const(2)
    RegisteredName = computed(_profile_name)
    RegisteredVersion = computed(_profile_version)
    AdvertiseTypes = const((2,))

    GetCentralInstances = method(get_central_instances, out=("CentralInstances",))


# What a host offers machines, and what each of those profiles is about (DSP1042).
RESOURCES = ("DSP1041", "DSP1043")
VIRTUALIZATION = (
    "DSP1057", *RESOURCES, "DSP1044", "DSP1045", "DSP1047", "DSP1050", "DSP1053", "DSP1059", "DSP1081", "DSP1097",
    "DSP1103",
)  # fmt: skip

# fmt: off
PROFILES = (
    Profile("DSP1042", "System Virtualization", "1.0.0", HostComputerSystem, VIRTUALIZATION),
    Profile("DSP1057", "Virtual System", "1.0.0", ComputerSystem, ("DSP1052", "DSP1027", "DSP1076")),
    Profile("DSP1052", "Computer System", "1.0.2", (HostComputerSystem, HostPool), ("DSP1022", "DSP1026", "DSP1027")),
    Profile("DSP1022", "CPU", "1.0.1", HostProcessor),
    Profile("DSP1026", "System Memory", "1.0.1", HostMemory),
    Profile("DSP1027", "Power State Management", "2.0.0", PowerManagementService),
    Profile("DSP1041", "Resource Allocation", "1.1.0", POOLS, ("DSP1043",)),
    Profile("DSP1043", "Allocation Capabilities", "1.0.0", CAPABILITIES, ("DSP1041",)),
    Profile("DSP1044", "Processor Resource Virtualization", "1.0.0", ProcessorPool, (*RESOURCES, "DSP1022")),
    Profile("DSP1045", "Memory Resource Virtualization", "1.0.0", MemoryPool, (*RESOURCES, "DSP1026")),
    Profile("DSP1047", "Storage Resource Virtualization", "1.0.0", StoragePool, RESOURCES),
    Profile("DSP1050", "Ethernet Port Resource Virtualization", "1.1.0", NetworkPool, (*RESOURCES, "DSP1097")),
    Profile("DSP1059", "Generic Device Resource Virtualization", "1.0.0", PrimordialPool, RESOURCES),
    Profile("DSP1076", "KVM Redirection", "1.0.0", KVMRedirectionSAP),
    Profile("DSP1081", "Virtual System Migration", "1.0.0", VirtualSystemMigrationService, ("DSP1103",)),
    Profile("DSP1097", "Virtual Ethernet Switch", "1.1.0", VirtualSwitch, ("DSP1050",)),
    Profile("DSP1103", "Job Control", "1.0.0", ConcreteJob),
    Profile("DSP1053", "Base Metrics", "1.0.1", MetricDefinition),
    Profile("DSP1054", "Indications", "1.2.0", IndicationService),
    Profile("DSP1033", "Profile Registration", "1.1.0", RegisteredProfile),
)
# fmt: on
# DSP1092 WBEM Server is implemented (wbem_server.py) but not registered: where it is, pywbem 1.9 creates no namespace
# (its WBEMServer.create_namespace then ends in an AttributeError of its own), and neither does pywbemcli.


def conformance(central: type[View]) -> Pairs:
    """A profile and all instances of its central class `central`."""

    def elements(extents: Extents, profile: Rendition) -> Iterator[Rendition]:
        return iter(extents.extent(central) if central in profile.item.views else ())

    def conformed_to(extents: Extents, element: Rendition) -> Iterator[Rendition]:
        return (profile for profile in extents.extent(RegisteredProfile) if central in profile.item.views)

    return Pairs(RegisteredProfile, central, elements, conformed_to)


def registered_itself(extents: Extents, profile: Rendition) -> Iterator[Rendition]:
    """Of the Profile Registration profile, the instance that says so is the central one. That the others conform to it
    goes without saying: links to them would show every profile beside the central instances of another."""
    return iter((profile,) if RegisteredProfile in profile.item.views else ())


class ElementConformsToProfile(
    Association,
    cim="Xen_ElementConformsToProfile",
    left="ConformantStandard",
    right="ManagedElement",
    namespaces=(CIMV2, INTEROP),
):
    """Central instances conform to their profile; profile and instance live in different namespaces."""

    relations = (
        *(
            conformance(central)
            for central in dict.fromkeys(view for profile in PROFILES for view in profile.views)
            if central is not RegisteredProfile
        ),
        Pairs(RegisteredProfile, RegisteredProfile, registered_itself, registered_itself),
    )


def referenced(extents: Extents, profile: Rendition) -> Iterator[Rendition]:
    """The profiles that build on this one."""
    return (other for other in extents.extent(RegisteredProfile) if profile.item.number in other.item.builds_on)


def referencing(extents: Extents, profile: Rendition) -> Iterator[Rendition]:
    """The profiles this one builds on."""
    return (other for other in extents.extent(RegisteredProfile) if other.item.number in profile.item.builds_on)


class ReferencedProfile(
    Association, cim="Xen_ReferencedProfile", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """Dependent builds on Antecedent."""

    relations = (Pairs(RegisteredProfile, RegisteredProfile, referenced, referencing),)


# Ready-made collection of filters -> the profile whose central instances, or settings, its indications are about.
COLLECTED = {"Systems": "DSP1057", "Settings": "DSP1041", "Jobs": "DSP1103"}


def collections_of_profile(extents: Extents, profile: Rendition) -> Iterator[Rendition]:
    return (one for one in extents.extent(OfferedCollection) if COLLECTED[one.item] == profile.item.number)


def profile_of_collection(extents: Extents, collection: Rendition) -> Iterator[Rendition]:
    return (one for one in extents.extent(RegisteredProfile) if one.item.number == COLLECTED[collection.item])


class ProfileFilterCollection(
    Association, cim="Xen_ProfileFilterCollection", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """The ready-made filters that are about a profile (DSP1054)."""

    relations = (Pairs(RegisteredProfile, OfferedCollection, collections_of_profile, profile_of_collection),)
