"""DSP1033 Profile Registration, and the classes clients look for namespaces in (DSP1092, in its older form)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cim_provider.mapping.association import Association, Extents, Pairs
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import OWN_CLASS, computed, const
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.indications import IndicationService
from cim_provider.schema.objects import CIMV2, INTEROP

SERVER_NAME = "xencim"


@dataclass(frozen=True)
class Profile:
    """A profile this server implements, by the names the DMTF registered. `central`: the view of its central class;
    `builds_on`: profiles it references."""

    number: str
    name: str
    version: str
    central: type[View]
    builds_on: tuple[str, ...] = ()

    @property
    def instance_id(self) -> str:
        return f"CIM:{self.number}-{self.name.replace(' ', '')}-{self.version}"


PROFILES = (
    Profile("DSP1042", "System Virtualization", "1.0.0", HostComputerSystem, builds_on=("DSP1057",)),
    Profile("DSP1057", "Virtual System", "1.0.0", ComputerSystem),
    Profile("DSP1054", "Indications", "1.2.0", IndicationService),
)


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


class RegisteredProfile(View, cim="Xen_RegisteredProfile", items=profiles, namespace=INTEROP):
    """A profile; the item is its row in PROFILES."""

    InstanceID = computed(_profile_id)
    ElementName = computed(_profile_name)
    SpecificationType = const(2)
    RegisteredOrganization = const(2)
    RegisteredName = computed(_profile_name)
    RegisteredVersion = computed(_profile_version)
    AdvertiseTypes = const((2,))


def conformance(central: type[View]) -> Pairs:
    """A profile and all instances of its central class `central`."""

    def elements(extents: Extents, profile: Rendition) -> Iterator[Rendition]:
        return iter(extents.extent(central) if profile.item.central is central else ())

    def conformed_to(extents: Extents, element: Rendition) -> Iterator[Rendition]:
        return (profile for profile in extents.extent(RegisteredProfile) if profile.item.central is central)

    return Pairs(RegisteredProfile, central, elements, conformed_to)


class ElementConformsToProfile(
    Association,
    cim="Xen_ElementConformsToProfile",
    left="ConformantStandard",
    right="ManagedElement",
    namespaces=(CIMV2, INTEROP),
):
    """Central instances conform to their profile; profile and instance live in different namespaces."""

    relations = tuple(conformance(central) for central in dict.fromkeys(profile.central for profile in PROFILES))


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


def _coordinator_uuid(subject: Subject) -> str:
    """The uuid of the host this server speaks for; empty while the pool is not set up."""
    pool = subject.only("pool")
    host = None if pool is None else pool.follow("master")
    return "" if host is None else str(host["uuid"])


def this_server(subject: Subject) -> Iterable[str]:
    return (SERVER_NAME,)


class ObjectManager(View, cim="Xen_ObjectManager", items=this_server, namespace=INTEROP):
    """This WBEM server."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = computed(_coordinator_uuid)
    CreationClassName = OWN_CLASS
    Name = const(SERVER_NAME)
    ElementName = const("xencim WBEM server")
    Description = const("CIM providers for a pool of virtualization hosts")
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    Started = const(True)
    GatherStatisticalData = const(False)


def namespaces(subject: Subject) -> Iterable[str]:
    return (CIMV2, INTEROP)


def _item(subject: Subject) -> str:
    return str(subject.item)


class Namespace(View, cim="Xen_Namespace", items=namespaces, namespace=INTEROP):
    """A namespace; the item is its name."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = computed(_coordinator_uuid)
    ObjectManagerCreationClassName = const(ObjectManager.cim)
    ObjectManagerName = const(SERVER_NAME)
    CreationClassName = OWN_CLASS
    Name = computed(_item)
    ClassInfo = const(11)
    ClassType = const(2)


def namespaces_of_server(extents: Extents, server: Rendition) -> Iterator[Rendition]:
    return iter(extents.extent(Namespace))


def server_of_namespace(extents: Extents, namespace: Rendition) -> Iterator[Rendition]:
    return iter(extents.extent(ObjectManager))


class NamespaceInManager(
    Association, cim="Xen_NamespaceInManager", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """A namespace belongs to this server."""

    relations = (Pairs(ObjectManager, Namespace, namespaces_of_server, server_of_namespace),)
