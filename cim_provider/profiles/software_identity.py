"""Software as CIM_SoftwareIdentity: the versions that hosts and machines report, and this server's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cim_provider.mapping.association import Association, Pairs, Relation, SameRecord
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import computed, const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.interop_service import every
from cim_provider.profiles.profile_registration import RegisteredProfile
from cim_provider.profiles.wbem_server import SERVER_NAME, VERSION
from cim_provider.schema.objects import INTEROP
from xenapi_core.model.power import is_guest

# CIM_SoftwareIdentity.Classifications, and the words beside them.
OTHER, DRIVER, SYSTEM, MIDDLEWARE, BUNDLE = 1, 2, 8, 9, 13
WORDS = {DRIVER: "Driver", SYSTEM: "Operating System", MIDDLEWARE: "Middleware", BUNDLE: "Software Bundle"}

# CIM_ElementSoftwareIdentity.ElementSoftwareStatus.
CURRENT, INSTALLED = 2, 6
RUNNING_STATES = (2, 9)  # EnabledState of a machine that has its software in memory: Enabled, Quiesce

_NUMBERS = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")


class Software(NamedTuple):
    """One piece of software. `word` tells it from the others of its system."""

    word: str
    name: str
    version: str
    kind: int
    build: str = ""
    kind_name: str = ""


def _number(text: str | None) -> int | None:
    """A part of a version as a uint16; None if it is none."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 and int(text) < 1 << 16 else None


def _version_part(subject: Subject, place: int) -> int | None:
    match = _NUMBERS.match(_software(subject).version)
    return None if match is None else _number(match[place])


def _software(subject: Subject) -> Software:
    software: Software = subject.item
    return software


def word(subject: Subject) -> str:
    return _software(subject).word


def software_name(subject: Subject) -> str:
    return _software(subject).name


def version_string(subject: Subject) -> str:
    return _software(subject).version


def major_version(subject: Subject) -> int | None:
    return _version_part(subject, 1)


def minor_version(subject: Subject) -> int | None:
    return _version_part(subject, 2)


def revision_number(subject: Subject) -> int | None:
    return _version_part(subject, 3)


def build_number(subject: Subject) -> int | None:
    """NULL also for one that does not fit; VersionString tells the rest."""
    return _number(_software(subject).build)


def classifications(subject: Subject) -> tuple[int, ...]:
    return (_software(subject).kind,)


def classification_descriptions(subject: Subject) -> tuple[str, ...]:
    software = _software(subject)
    return (software.kind_name or WORDS[software.kind],)


class SoftwareIdentity(View):
    """The lines that software of all kinds shares; the item is the Software."""

    ElementName = computed(software_name)
    Name = computed(software_name)
    VersionString = computed(version_string)
    MajorVersion = computed(major_version)
    MinorVersion = computed(minor_version)
    RevisionNumber = computed(revision_number)
    BuildNumber = computed(build_number)
    Classifications = computed(classifications)
    ClassificationDescriptions = computed(classification_descriptions)
    IsEntity = const(True)
    OperationalStatus = const((2,))
    HealthState = const(5)


def software_of_host(host: Subject) -> Iterator[Software]:
    """What host.software_version tells the version of."""
    told: Mapping[str, str] = host["software_version"]
    rows = (
        Software("product", told.get("product_brand") or "Product", told.get("product_version", ""), BUNDLE,
                 told.get("build_number", "")),
        Software("platform", told.get("platform_name") or "Platform", told.get("platform_version", ""), BUNDLE),
        Software("xapi", "xapi", told.get("xapi", ""), MIDDLEWARE),
        Software("xen", "Xen", told.get("xen", ""), OTHER, kind_name="Hypervisor"),
        Software("linux", "Linux", told.get("linux", ""), SYSTEM),
    )  # fmt: skip
    return (row for row in rows if row.version)


class HostSoftwareIdentity(SoftwareIdentity, cim="Xen_HostSoftwareIdentity", of="host", items=software_of_host):
    """Software that a host runs."""

    InstanceID = xen_id(field("uuid"), "Software", computed(word))


def _joined(told: Mapping[str, str], *keys: str) -> str:
    """The parts of a version, up to the first that is missing, with dots between them."""
    parts: list[str] = []
    for key in keys:
        if not told.get(key):
            break
        parts.append(told[key])
    return ".".join(parts)


def software_of_machine(vm: Subject) -> Iterator[Software]:
    """The guest's system and its guest tools, as the tools told last; a system without any version is left out.

    Tools on Windows tell the name with paths behind a bar.
    """
    told = vm.follow("guest_metrics")
    if told is None:
        return
    system: Mapping[str, str] = told["os_version"]
    name = system.get("name", "").partition("|")[0] or system.get("distro", "")
    version = _joined(system, "major", "minor") or system.get("uname", "")
    if name and version:
        yield Software("system", name, version, SYSTEM)
    tools: Mapping[str, str] = told["PV_drivers_version"]
    version = _joined(tools, "major", "minor", "micro")
    if version:
        yield Software("tools", "Guest tools", version, DRIVER, tools.get("build", ""))


class GuestSoftwareIdentity(
    SoftwareIdentity, cim="Xen_GuestSoftwareIdentity", of="VM", where=is_guest, items=software_of_machine
):
    """Software that a machine told to have."""

    InstanceID = xen_id(field("uuid"), "Software", computed(word))


def software_of_server(subject: Subject) -> Iterator[Software]:
    yield Software(SERVER_NAME, SERVER_NAME, VERSION, MIDDLEWARE)


class ServerSoftwareIdentity(
    SoftwareIdentity, cim="Xen_ServerSoftwareIdentity", items=software_of_server, namespace=INTEROP
):
    """This server, which implements the profiles (DSP1033)."""

    InstanceID = xen_id("Software", computed(word))


class InstalledSoftwareIdentity(
    Association, cim="Xen_InstalledSoftwareIdentity", left="System", right="InstalledSoftware"
):
    """The software of a host or machine."""

    relations = (
        SameRecord(HostComputerSystem, HostSoftwareIdentity),
        SameRecord(ComputerSystem, GuestSoftwareIdentity),
    )


class ElementSoftwareIdentity(Association, cim="Xen_ElementSoftwareIdentity", left="Antecedent", right="Dependent"):
    """The software of a host or machine with its state: installed, and current while the system runs."""

    relations = (
        SameRecord(HostSoftwareIdentity, HostComputerSystem),
        SameRecord(GuestSoftwareIdentity, ComputerSystem),
    )
    properties = {"ElementSoftwareStatus": (CURRENT, INSTALLED)}

    @classmethod
    def described(cls, relation: Relation, left: Rendition, right: Rendition) -> Mapping[str, Any]:
        if right.view is ComputerSystem and right.values["EnabledState"] not in RUNNING_STATES:
            return {"ElementSoftwareStatus": (INSTALLED,)}
        return cls.properties


class ProfileSoftwareIdentity(
    Association,
    cim="Xen_ProfileSoftwareIdentity",
    left="Antecedent",
    right="Dependent",
    namespaces=(INTEROP,),
):
    """The software that implements a profile."""

    relations = (
        Pairs(ServerSoftwareIdentity, RegisteredProfile, every(RegisteredProfile), every(ServerSoftwareIdentity)),
    )
    properties = {"ElementSoftwareStatus": (CURRENT, INSTALLED)}
