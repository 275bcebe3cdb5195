"""DSP1076 KVM Redirection and DSP1024 Text Console: the consoles of a machine, and their addresses.

A console is an access point of its machine. What listens for clients is this server, on the host of the machine: one
redirection service for each host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cim_provider.mapping.association import Association, Owned, Pointing, Reversed, SameRecord
from cim_provider.mapping.rule import OWN_CLASS, computed, const, field, via, xen_id
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.methods.fixed_state import UNCHANGEABLE
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.configuration import is_present
from cim_provider.profiles.generic_device import enabled_state, is_screen
from cim_provider.profiles.host_service import HostedService, HostService, ServiceAffectsElement, machines_of
from cim_provider.profiles.system_virtualization import ElementCapabilities

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

# console.protocol -> KVMProtocol.
PROTOCOLS = {"rdp": 3, "rfb": 4}

NO_LIMIT = 65535


def available(console: Subject) -> int:
    """6 Enabled but Offline (nobody is known to be connected) while the machine is on, else 3 Disabled."""
    return 6 if enabled_state(console) == 2 else 3


class AccessPoint(View):
    """The lines shared by what leads to a console."""

    SystemCreationClassName = const(ComputerSystem.cim)
    SystemName = via("VM", field("uuid"))
    CreationClassName = OWN_CLASS
    Name = field("uuid")
    EnabledState = computed(available)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)

    RequestStateChange = UNCHANGEABLE


class KVMRedirectionSAP(AccessPoint, cim="Xen_KVMRedirectionSAP", of="console", where=is_screen):
    """A graphical console."""

    ElementName = const("Graphical console")
    KVMProtocol = field("protocol").table(PROTOCOLS)


def is_text(console: Subject) -> bool:
    return console["protocol"] == "vt100" and is_present(console)


class TextRedirectionSAP(AccessPoint, cim="Xen_TextRedirectionSAP", of="console", where=is_text):
    """A text console; 3: it behaves as a terminal."""

    ElementName = const("Text console")
    TextFlowType = const(3)


class ConsoleAddress(AccessPoint, cim="Xen_ConsoleAddress", of="console", where=is_present):
    """Where a console is reached: a URL, to which clients add the session they have at the Xen-API."""

    ElementName = const("Console address")
    AccessInfo = field("location")
    InfoFormat = const(200)
    AccessContext = const(1)
    OtherAccessContext = const("Console")


PORTS = {"http": 80, "https": 443}


def port_number(console: Subject) -> int | None:
    """The port in the address of a console, or that of its scheme; None without such an address."""
    try:
        address = urlsplit(console["location"])
        return address.port or PORTS.get(address.scheme)
    except ValueError:  # what is no URL, or has no number for a port
        return None


def has_port(console: Subject) -> bool:
    return is_present(console) and port_number(console) is not None


class ConsolePort(AccessPoint, cim="Xen_ConsolePort", of="console", where=has_port):
    """The port at which a console is reached."""

    ElementName = const("Console port")
    NameFormat = const("uuid of the console")
    PortNumber = computed(port_number)
    ProtocolIFType = const(4111)


class RedirectionService(HostService, cim="Xen_RedirectionService", of="host"):
    """Consoles of the machines on a host; any number of clients can look at one."""

    ElementName = const("Console redirection service")
    EnabledState = const(2)
    RedirectionServiceType = const((2, 3))
    SharingMode = const(3)
    MaxCurrentEnabledSAPs = const(NO_LIMIT)


def no_states(subject: Subject) -> tuple[int, ...]:
    return ()


class RedirectionServiceCapabilities(View, cim="Xen_RedirectionServiceCapabilities", of="host"):
    """Consoles are shared, and the service is never disabled."""

    InstanceID = xen_id(field("uuid"), "RedirectionServiceCapabilities")
    ElementName = const("Console redirection service")
    ElementNameEditSupported = const(False)
    RequestedStatesSupported = computed(no_states)
    SharingModeSupported = const((3,))


def host_of_console(pool: Pool, console: Version) -> tuple[str, ...]:
    """The host the machine of a console is on."""
    vm = pool.find(console.values["VM"])
    return () if vm is None else (vm.values["resident_on"],)


SAPS = (KVMRedirectionSAP, TextRedirectionSAP)


class HostedAccessPoint(Association, cim="Xen_HostedAccessPoint", left="Antecedent", right="Dependent"):
    """A system has access points."""

    relations = tuple(Pointing(ComputerSystem, sap, "console.VM") for sap in (*SAPS, ConsoleAddress, ConsolePort))


class SAPAvailableForElement(
    Association, cim="Xen_SAPAvailableForElement", left="AvailableSAP", right="ManagedElement"
):
    """An access point leads to a machine."""

    relations = tuple(Reversed(Pointing(ComputerSystem, sap, "console.VM")) for sap in SAPS)


class ServiceAccessBySAP(Association, cim="Xen_ServiceAccessBySAP", left="Antecedent", right="Dependent"):
    """The service of a host is used through the consoles of its machines."""

    relations = tuple(Owned(RedirectionService, sap, host_of_console, reads=("VM",)) for sap in SAPS)


class SAPSAPDependency(Association, cim="Xen_SAPSAPDependency", left="Antecedent", right="Dependent"):
    """A console is reached at an address."""

    relations = tuple(SameRecord(ConsoleAddress, sap) for sap in SAPS)


class BindsTo(Association, cim="Xen_BindsTo", left="Antecedent", right="Dependent"):
    """A console is reached at a port."""

    relations = tuple(SameRecord(ConsolePort, sap) for sap in SAPS)


HostedService.also(SameRecord(HostComputerSystem, RedirectionService))
ElementCapabilities.also(SameRecord(RedirectionService, RedirectionServiceCapabilities))
ServiceAffectsElement.also(machines_of(RedirectionService))
