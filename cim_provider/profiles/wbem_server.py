"""DSP1092 WBEM Server: the server, its namespaces and its protocol service; and the deprecated communication mechanism,
for clients of older schemas.

What is declared here about operations is compared with the operations there are by tests/conformance/profiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from cim_provider.mapping.association import Association, Pairs
from cim_provider.mapping.rule import OWN_CLASS, Kind, Rule, computed, const
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.interop_service import InteropService, coordinator, every, on_host
from cim_provider.repository.views import NamespaceView
from cim_provider.schema.objects import INTEROP, Instance

SERVER_NAME = "xencim"
try:
    VERSION = version("xencim")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "0"
DESCRIPTION = f"CIM providers for a pool of virtualization hosts, version {VERSION}"
PROTOCOL = "CIM-XML"
PROTOCOL_VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
MAX_OPERATION_TIMEOUT = 3600  # seconds between two pulls

# CIM_GenericOperationCapabilitiesStructure.OperationsSupported, by the name of the operation in DSP0200.
# fmt: off
OPERATIONS = {
    "GetInstance": 2, "DeleteInstance": 3, "ModifyInstance": 4, "CreateInstance": 5, "EnumerateInstances": 6,
    "EnumerateInstanceNames": 7, "Associators": 8, "AssociatorNames": 9, "References": 10, "ReferenceNames": 11,
    "OpenEnumerateInstances": 12, "OpenEnumerateInstancePaths": 13, "OpenAssociatorInstances": 14,
    "OpenAssociatorInstancePaths": 15, "OpenReferenceInstances": 16, "OpenReferenceInstancePaths": 17,
    "OpenQueryInstances": 18, "PullInstancesWithPath": 19, "PullInstancePaths": 20, "PullInstances": 21,
    "CloseEnumeration": 22, "EnumerationCount": 23, "GetClass": 26, "DeleteClass": 27, "ModifyClass": 28,
    "CreateClass": 29,
    "EnumerateClasses": 30, "EnumerateClassNames": 31, "GetQualifier": 36, "DeleteQualifier": 37, "SetQualifier": 38,
    "EnumerateQualifiers": 40,
}
# fmt: on
INVOKE_METHOD = 24

# CIM_ObjectManagerCommunicationMechanism.FunctionalProfilesSupported: number -> operations that make the profile.
FUNCTIONAL_PROFILES = {
    2: ("GetClass", "EnumerateClasses", "GetInstance", "EnumerateInstances", "GetProperty"),
    3: ("SetProperty",),
    4: ("CreateClass", "ModifyClass", "DeleteClass"),
    5: ("CreateInstance", "ModifyInstance", "DeleteInstance"),
    6: ("Associators", "AssociatorNames", "References", "ReferenceNames"),
    7: ("ExecQuery",),
    8: ("GetQualifier", "SetQualifier", "DeleteQualifier", "EnumerateQualifiers"),
    9: ("CreateInstance", "DeleteInstance"),  # indications: subscriptions are instances
    10: ("OpenEnumerateInstances", "OpenAssociatorInstances", "PullInstancesWithPath", "CloseEnumeration"),
    12: ("OpenQueryInstances", "PullInstances"),
}


def this_server(subject: Subject) -> Iterable[str]:
    return (SERVER_NAME,)


def item(subject: Subject) -> str:
    return str(subject.item)


def namespace_id(subject: Subject) -> str:
    return f"Xen:Namespace/{subject.item}"


class ServerService(InteropService):
    """The lines that the services which make up the server share."""

    Description = const(DESCRIPTION)


class WBEMServer(ServerService, cim="Xen_WBEMServer", items=this_server, namespace=INTEROP):
    """This WBEM server."""

    Name = const(SERVER_NAME)
    ElementName = const("xencim WBEM server")


class ObjectManager(ServerService, cim="Xen_ObjectManager", items=this_server, namespace=INTEROP):
    """This WBEM server, in the form that clients of older schemas look for."""

    Name = const(SERVER_NAME)
    ElementName = const("xencim WBEM server")
    GatherStatisticalData = const(False)


class ProtocolService(ServerService, cim="Xen_WBEMProtocolService", items=this_server, namespace=INTEROP):
    """What answers CIM-XML requests."""

    Name = const(PROTOCOL)
    ElementName = const("CIM operations over HTTP")
    Protocol = const(5)


class Namespace(NamespaceView, cim="Xen_Namespace", namespace=INTEROP):
    """A namespace in the older form; the item is its name. Clients make and end them (operations/namespaces.py)."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = computed(coordinator)
    ObjectManagerCreationClassName = const(ObjectManager.cim)
    ObjectManagerName = const(SERVER_NAME)
    CreationClassName = OWN_CLASS
    Name = computed(item)
    ClassInfo = const(11)
    ClassType = const(2)


class ServerNamespace(NamespaceView, cim="Xen_WBEMServerNamespace", namespace=INTEROP):
    """A namespace; the item is its name."""

    InstanceID = computed(namespace_id)
    ElementName = computed(item)
    Name = computed(item)


class ServerCapabilities(View, cim="Xen_WBEMServerCapabilities", items=this_server, namespace=INTEROP):
    """Namespaces can be created and deleted; the state of the server cannot be requested."""

    InstanceID = const(f"Xen:WBEMServer/{SERVER_NAME}")
    ElementName = const("Capabilities of the WBEM server")
    OperationsSupported = const((3, 4))
    ElementNameEditSupported = const(False)


def _operations(subject: Subject) -> Instance:
    return Instance(
        "CIM_GenericOperationCapabilitiesStructure",
        {
            "FQLSupported": True,
            "CQLSupport": (2, 7),
            "OperationsSupported": (*sorted((*OPERATIONS.values(), INVOKE_METHOD)),),
            "ContinueOnErrorSupported": True,
            "MinimumOperationTimeout": 1,
            "MaximumOperationTimeout": MAX_OPERATION_TIMEOUT,
        },
    )


class ProtocolCapabilities(View, cim="Xen_CIMXMLCapabilities", items=this_server, namespace=INTEROP):
    """Versions, operations and ways to log in. A client certificate is the "other" way (1)."""

    InstanceID = const(f"Xen:WBEMProtocolService/{PROTOCOL}")
    ElementName = const("Capabilities of the CIM-XML protocol service")
    WBEMProtocolVersionsSupported = const(PROTOCOL_VERSIONS)
    GenericOperationCapabilities = Rule(_operations, lambda schema, cls: Kind("string"))
    AuthenticationMechanismsSupported = const((3, 1))
    AuthenticationMechanismsDescriptions = const(("HTTP Basic", "TLS client certificate, if the server verifies them"))
    MultipleOperationsSupported = const(False)
    Validated = const(False)
    ElementNameEditSupported = const(False)
    ListeningPortManagementSupported = const(False)


class CommunicationMechanism(View, cim="Xen_CIMXMLCommunicationMechanism", items=this_server, namespace=INTEROP):
    """The protocol service as CIM_CIMXMLCommunicationMechanism, which clients of older schemas read."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = computed(coordinator)
    CreationClassName = OWN_CLASS
    Name = const(PROTOCOL)
    ElementName = const("CIM operations over HTTP")
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    CommunicationMechanism = const(2)
    Version = const("1.2")  # the latest that the class has a value for
    CIMXMLProtocolVersion = const(1)
    CIMValidated = const(False)
    FunctionalProfilesSupported = const(tuple(FUNCTIONAL_PROFILES))
    MultipleOperationsSupported = const(False)
    AuthenticationMechanismsSupported = const((3, 1))
    AuthenticationMechanismDescriptions = const(("HTTP Basic", "TLS client certificate, if the server verifies them"))
    AdvertiseTypes = const((2,))
    PulledEnumerationContinuationOnErrorSupported = const(True)
    PulledEnumerationClosureOnExceedingServerLimitsSupported = const(False)
    PulledEnumerationMinimumOperationTimeout = const(1)
    PulledEnumerationMaximumOperationTimeout = const(MAX_OPERATION_TIMEOUT)
    PulledEnumerationNoOperationTimeoutSupported = const(False)


class NamespaceInManager(
    Association, cim="Xen_NamespaceInManager", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """A namespace belongs to this server, in the older form."""

    relations = (Pairs(ObjectManager, Namespace, every(Namespace), every(ObjectManager)),)


class HostedNamespace(
    Association, cim="Xen_HostedNamespace", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """A namespace belongs to this server."""

    relations = (Pairs(WBEMServer, ServerNamespace, every(ServerNamespace), every(WBEMServer)),)


class CommMechanismForManager(
    Association, cim="Xen_CommMechanismForManager", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """How to talk to this server, in the older form."""

    relations = (Pairs(ObjectManager, CommunicationMechanism, every(CommunicationMechanism), every(ObjectManager)),)


class ServerElementCapabilities(
    Association,
    cim="Xen_WBEMServerElementCapabilities",
    left="ManagedElement",
    right="Capabilities",
    namespaces=(INTEROP,),
):
    """The server, its protocol, and what they can do."""

    relations = (
        Pairs(WBEMServer, ServerCapabilities, every(ServerCapabilities), every(WBEMServer)),
        Pairs(ProtocolService, ProtocolCapabilities, every(ProtocolCapabilities), every(ProtocolService)),
    )


class HostedWBEMService(
    Association, cim="Xen_HostedWBEMService", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """The coordinator hosts the services that make up the server."""

    relations = tuple(on_host(view) for view in (WBEMServer, ObjectManager, ProtocolService))


class HostedCommunicationMechanism(
    Association, cim="Xen_HostedCommunicationMechanism", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """The coordinator is where the server is reached."""

    relations = (on_host(CommunicationMechanism),)
