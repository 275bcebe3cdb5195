"""DSP1092 with pywbem as the client: the server describes itself, in the present form and in the one before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pywbem
from cim_pool import SmallPool
from wbem_in_process import connected

from cim_provider.operations.api import OPERATIONS
from cim_provider.operations.pull import MAX_TIMEOUT
from cim_provider.profiles import wbem_server
from cim_provider.profiles.profile_registration import PROFILES


@pytest.fixture(scope="module")
def connection() -> Iterator[pywbem.WBEMConnection]:
    pool = SmallPool()
    pool.vm("web")
    with connected(pool.provider, "interop") as found:
        yield found


@pytest.fixture
def server(connection: pywbem.WBEMConnection) -> pywbem.CIMInstance:
    (found,) = connection.EnumerateInstances("CIM_WBEMServer")
    return found


def only(connection, path, **more):
    (found,) = connection.Associators(path, **more)
    found.path.host = None
    return found


def test_a_client_is_told_brand_version_namespaces_and_profiles(connection) -> None:
    server = pywbem.WBEMServer(connection)
    assert (server.brand, server.version) == ("xencim WBEM server", wbem_server.VERSION)
    assert {"interop", "root/cimv2"} <= set(server.namespaces)
    assert len(server.namespace_paths) == len(server.namespaces)
    assert len(server.profiles) == len(PROFILES)
    assert server.cimom_inst["Started"] is True


def test_the_server_has_what_the_profile_requires(connection, server) -> None:
    assert server.classname == "Xen_WBEMServer"
    for name in (
        "SystemCreationClassName", "SystemName", "CreationClassName", "Name", "ElementName", "Description",
        "EnabledState", "RequestedState", "OperationalStatus",
    ):  # fmt: skip
        assert server[name] is not None, name
    host = only(connection, server.path, AssocClass="CIM_HostedService")
    assert (host["CreationClassName"], host["Name"]) == (server["SystemCreationClassName"], server["SystemName"])
    capabilities = only(connection, server.path, AssocClass="CIM_ElementCapabilities")
    assert capabilities.classname == "Xen_WBEMServerCapabilities"


def test_its_namespaces_are_the_same_in_both_forms(connection, server) -> None:
    present = connection.Associators(
        server.path, AssocClass="CIM_HostedDependency", ResultClass="CIM_WBEMServerNamespace"
    )
    (manager,) = connection.EnumerateInstances("CIM_ObjectManager")
    before = connection.Associators(manager.path, AssocClass="CIM_NamespaceInManager")
    assert sorted(n["Name"] for n in present) == sorted(n["Name"] for n in before)
    assert {"interop", "root/cimv2"} <= {n["Name"] for n in present}
    for one in present:
        assert only(connection, one.path, AssocClass="CIM_HostedDependency").path["Name"] == server["Name"]


def test_the_protocol_says_which_operations_there_are(connection) -> None:
    (service,) = connection.EnumerateInstances("CIM_ProtocolService")
    assert service["Protocol"] == 5
    capabilities = only(connection, service.path, AssocClass="CIM_ElementCapabilities")
    assert capabilities.classname == "Xen_CIMXMLCapabilities"
    structure = capabilities["GenericOperationCapabilities"]
    assert structure.classname == "CIM_GenericOperationCapabilitiesStructure"
    declared = connection.GetClass("CIM_GenericOperationCapabilitiesStructure").properties["OperationsSupported"]
    words = dict(zip(declared.qualifiers["ValueMap"].value, declared.qualifiers["Values"].value, strict=True))
    named = {words[str(code)] for code in structure["OperationsSupported"]}
    assert {"GetInstance", "Associators", "PullInstancesWithPath", "InvokeMethod"} <= named
    assert "EnumerationCount" in named


def test_every_operation_that_is_told_is_there_and_no_other_is_left_out() -> None:
    unnumbered = {"GetProperty", "SetProperty", "ExecQuery"}  # the class has no number for them
    assert set(wbem_server.OPERATIONS) == set(OPERATIONS) - unnumbered
    for needed in wbem_server.FUNCTIONAL_PROFILES.values():
        assert set(needed) <= set(OPERATIONS)
    assert wbem_server.MAX_OPERATION_TIMEOUT == MAX_TIMEOUT


def test_the_communication_mechanism_leads_to_the_object_manager(connection) -> None:
    (manager,) = connection.EnumerateInstances("CIM_ObjectManager")
    mechanism = only(connection, manager.path, AssocClass="CIM_CommMechanismForManager")
    assert mechanism.classname == "Xen_CIMXMLCommunicationMechanism"
    assert mechanism["CommunicationMechanism"] == 2
    assert 3 in mechanism["AuthenticationMechanismsSupported"]
    host = only(connection, mechanism.path, AssocClass="CIM_HostedAccessPoint")
    assert host["Name"] == mechanism["SystemName"]
    assert only(connection, mechanism.path, AssocClass="CIM_ServiceAccessBySAP").path == manager.path


def test_every_registered_profile_has_central_instances_that_lead_back(connection) -> None:
    server = pywbem.WBEMServer(connection)
    for profile in server.profiles:
        if profile["RegisteredName"] in {p.name for p in PROFILES if p.number in ("DSP1033", "DSP1054")}:
            central = server.get_central_instances(profile.path)
            assert central
            for path in central:
                back = connection.AssociatorNames(
                    path, AssocClass="CIM_ElementConformsToProfile", ResultRole="ConformantStandard"
                )
                for found in back:
                    found.host = None
                assert profile.path in back
