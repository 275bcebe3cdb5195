"""DSP1033 with pywbem as the client: namespaces, profiles, central instances, and everything it can decode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pywbem
from cim_pool import SmallPool
from wbem_in_process import connected

from cim_provider.profiles.profile_registration import PROFILES


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", power_state="Running", resident_on=pool.refs["host-0"], metrics={"VCPUs_number": 2})
    pool.vm("db")
    pool.disk("disk", "web")
    pool.disk("cd", "web", type="CD", mode="RO")
    pool.nic("nic", "web")
    pool.add("task", "task", name_label="Async.VM.start", other_config={"applies_to": pool.uuid("web")})
    return pool


@pytest.fixture(scope="module")
def connection(pool: SmallPool) -> Iterator[pywbem.WBEMConnection]:
    with connected(pool.provider, "root/cimv2") as found:
        yield found


def test_a_client_finds_the_interop_namespace_and_all_namespaces(connection: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(connection)
    assert server.interop_ns == "interop"
    assert sorted(server.namespaces) == ["interop", "root/cimv2"]


def test_a_client_finds_the_profiles(connection: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(connection)
    found = {(p["RegisteredName"], p["RegisteredVersion"]) for p in server.profiles}
    assert found == {(p.name, p.version) for p in PROFILES}
    (virtual_system,) = server.get_selected_profiles("DMTF", "Virtual System", "1.0.0")
    assert virtual_system["AdvertiseTypes"] == [2]


@pytest.mark.parametrize(
    ("profile", "classname", "names"),
    [
        ("System Virtualization", "Xen_HostComputerSystem", {"host-0", "host-1"}),
        ("Virtual Ethernet Switch", "Xen_VirtualSwitch", {"lan"}),
        ("Storage Resource Virtualization", "Xen_StoragePool", {"sr"}),
        ("Virtual System", "Xen_ComputerSystem", {"web", "db"}),
    ],
)
def test_a_client_finds_central_instances_across_namespaces(
    connection: pywbem.WBEMConnection, profile: str, classname: str, names: set[str]
) -> None:
    server = pywbem.WBEMServer(connection)
    (registered,) = server.get_selected_profiles("DMTF", profile)
    found = server.get_central_instances(registered.path)
    assert {(path.classname, path.namespace) for path in found} == {(classname, "root/cimv2")}
    assert {connection.GetInstance(path)["ElementName"] for path in found} == names


def test_each_profile_names_its_central_instances_itself(connection: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(connection)
    for registered in server.profiles:
        code, out = connection.InvokeMethod("GetCentralInstances", registered.path)
        conforming = connection.AssociatorNames(
            registered.path, AssocClass="CIM_ElementConformsToProfile", ResultRole="ManagedElement"
        )
        assert code == 0
        for path in conforming:
            path.host = None  # paths in parameters name no host
        assert sorted(map(str, out["CentralInstances"])) == sorted(map(str, conforming))
    (itself,) = server.get_selected_profiles("DMTF", "Profile Registration", "1.1.0")
    _, out = connection.InvokeMethod("GetCentralInstances", itself.path)
    assert [path["InstanceID"] for path in out["CentralInstances"]] == [itself["InstanceID"]]


def test_a_client_gets_every_instance_it_enumerates(connection: pywbem.WBEMConnection) -> None:
    for namespace in ("root/cimv2", "interop"):
        names = [
            name
            for top in connection.EnumerateClassNames(namespace=namespace)
            for name in connection.EnumerateInstanceNames(top, namespace=namespace)
        ]
        assert names
        for name in names:
            assert connection.GetInstance(name).path == name


def test_pulled_and_plain_enumerations_are_the_same_to_a_client(connection: pywbem.WBEMConnection) -> None:
    plain = connection.EnumerateInstances("CIM_LogicalDevice")
    pulled = list(connection.IterEnumerateInstances("CIM_LogicalDevice", MaxObjectCount=2))
    assert [i.properties for i in pulled] == [i.properties for i in plain]
    assert len(pulled) > 2
    system = next(i for i in connection.IterEnumerateInstances("Xen_ComputerSystem", MaxObjectCount=1))
    devices = list(connection.IterAssociatorInstances(system.path, AssocClass="CIM_SystemDevice", MaxObjectCount=1))
    assert sorted(d.classname for d in devices) == sorted(
        d.classname for d in connection.Associators(system.path, AssocClass="CIM_SystemDevice")
    )


def test_instances_agree_with_their_class_declaration(connection: pywbem.WBEMConnection) -> None:
    for instance in connection.EnumerateInstances("CIM_ManagedElement"):
        declared = connection.GetClass(instance.classname, LocalOnly=False).properties
        for name, prop in instance.properties.items():
            assert (prop.type, prop.is_array) == (declared[name].type, declared[name].is_array)


def test_references_between_namespaces_are_decoded_with_their_namespace(connection: pywbem.WBEMConnection) -> None:
    links = connection.EnumerateInstances("CIM_ElementConformsToProfile", namespace="interop")
    assert {(i["ConformantStandard"].namespace, i["ManagedElement"].namespace) for i in links} == {
        ("interop", "root/cimv2"),
        ("interop", "interop"),
    }


def test_a_method_call_of_a_client_gets_its_return_value(connection: pywbem.WBEMConnection) -> None:
    (web,) = [i.path for i in connection.EnumerateInstances("Xen_ComputerSystem") if i["ElementName"] == "web"]
    value, out = connection.InvokeMethod("RequestStateChange", web, RequestedState=pywbem.Uint16(2))
    assert (value, out) == (0, {})
    value, _ = connection.InvokeMethod("RequestStateChange", web, RequestedState=pywbem.Uint16(77))
    assert value == 5
    (job,) = connection.EnumerateInstanceNames("CIM_ConcreteJob")
    with pytest.raises(pywbem.CIMError) as error:
        connection.InvokeMethod("GetError", job)
    assert error.value.status_code == pywbem.CIM_ERR_FAILED


def test_profiles_reference_each_other(connection: pywbem.WBEMConnection) -> None:
    links = connection.EnumerateInstances("CIM_ReferencedProfile", namespace="interop")
    names = {
        tuple(connection.GetInstance(link[role])["RegisteredName"] for role in ("Dependent", "Antecedent"))
        for link in links
    }
    by_number = {profile.number: profile.name for profile in PROFILES}
    assert names == {(p.name, by_number[number]) for p in PROFILES for number in p.builds_on if number in by_number}
    assert ("System Virtualization", "Virtual System") in names
