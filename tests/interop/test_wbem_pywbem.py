"""pywbem against the WBEM face: classes, instances, associations, pulls, security."""

from __future__ import annotations

import base64
import http.client
from urllib.parse import urlsplit

import pytest
import pywbem
from clients import cs_path, vm_named


def test_vms_are_computer_systems_with_their_states(xenapi, wbem):
    expected = {
        r["uuid"]: (r["name_label"], {"Running": 2, "Halted": 3, "Paused": 9, "Suspended": 6}[r["power_state"]])
        for r in xenapi.VM.get_all_records().values()
        if not (r["is_a_template"] or r["is_control_domain"] or r["is_a_snapshot"])
    }
    seen = {i["Name"]: (i["ElementName"], i["EnabledState"]) for i in wbem.EnumerateInstances("Xen_ComputerSystem")}
    assert seen == expected


def test_hosts_are_computer_systems(xenapi, wbem):
    names = {i["ElementName"] for i in wbem.EnumerateInstances("Xen_HostComputerSystem")}
    assert names == {r["name_label"] for r in xenapi.host.get_all_records().values()}


def test_enumerating_the_dmtf_class_gives_vms_and_hosts(wbem):
    paths = wbem.EnumerateInstanceNames("CIM_ComputerSystem")
    assert len([p for p in paths if p.classname == "Xen_ComputerSystem"]) == 12
    assert len([p for p in paths if p.classname == "Xen_HostComputerSystem"]) == 3


def test_get_instance_with_a_property_list(xenapi, wbem):
    path = cs_path(xenapi, vm_named(xenapi, "web-0"))
    instance = wbem.GetInstance(path, PropertyList=["elementname", "EnabledState"])
    assert dict(instance.properties.items()).keys() == {"ElementName", "EnabledState"}
    assert instance["ElementName"] == "web-0"


def test_devices_and_settings_of_a_vm_are_associated(xenapi, wbem):
    ref = vm_named(xenapi, "db-0")
    record = xenapi.VM.get_record(ref)
    path = cs_path(xenapi, ref)
    devices = wbem.AssociatorNames(path, AssocClass="Xen_SystemDevice")
    classes = sorted(p.classname for p in devices)
    assert classes.count("Xen_Processor") == int(record["VCPUs_max"])
    assert classes.count("Xen_Memory") == 1
    assert classes.count("Xen_LogicalDisk") == 2
    assert classes.count("Xen_NetworkPort") == len(record["VIFs"])
    for device in devices:
        (back,) = wbem.AssociatorNames(device, AssocClass="Xen_SystemDevice", ResultClass="CIM_ComputerSystem")
        assert back["Name"] == record["uuid"]
    (setting,) = wbem.Associators(
        path, AssocClass="Xen_SettingsDefineState", ResultClass="CIM_VirtualSystemSettingData"
    )
    assert setting["VirtualSystemIdentifier"] == record["uuid"]
    parts = wbem.AssociatorNames(setting.path, AssocClass="Xen_VirtualSystemSettingDataComponent")
    words = [path["InstanceID"].rpartition("/")[2] for path in parts]
    devices = [xenapi.VBD.get_uuid(vbd) for vbd in record["VBDs"] if xenapi.VBD.get_currently_attached(vbd)]
    devices += [xenapi.VIF.get_uuid(vif) for vif in record["VIFs"]]
    devices += [xenapi.console.get_uuid(console) for console in record["consoles"]]
    assert sorted(words) == sorted(["Processor", "Memory", *devices])


def test_hosted_dependency_follows_residence(xenapi, wbem):
    ref = vm_named(xenapi, "web-0")
    (host,) = wbem.Associators(cs_path(xenapi, ref), AssocClass="Xen_HostedDependency", Role="Dependent")
    assert host["ElementName"] == xenapi.host.get_name_label(xenapi.VM.get_resident_on(ref))


def test_references_give_the_association_instances(xenapi, wbem):
    path = cs_path(xenapi, vm_named(xenapi, "web-0"))
    names = wbem.ReferenceNames(path, ResultClass="Xen_SystemDevice")
    instances = wbem.References(path, ResultClass="Xen_SystemDevice")
    assert len(names) == len(instances) > 0
    assert all(i["GroupComponent"]["Name"] == path["Name"] for i in instances)


def test_pull_gives_what_enumerate_gives(wbem):
    whole = {i["Name"] for i in wbem.EnumerateInstances("Xen_ComputerSystem")}
    pulled, result = [], wbem.OpenEnumerateInstances("Xen_ComputerSystem", MaxObjectCount=5)
    pulled += result.instances
    while not result.eos:
        result = wbem.PullInstancesWithPath(result.context, MaxObjectCount=5)
        assert len(result.instances) <= 5
        pulled += result.instances
    assert {i["Name"] for i in pulled} == whole
    opened = wbem.OpenEnumerateInstancePaths("Xen_ComputerSystem", MaxObjectCount=1)
    wbem.CloseEnumeration(opened.context)
    with pytest.raises(pywbem.CIMError) as error:
        wbem.PullInstancePaths(opened.context, MaxObjectCount=1)
    assert error.value.status_code == pywbem.CIM_ERR_INVALID_ENUMERATION_CONTEXT


def test_classes_can_be_walked(wbem):
    names = wbem.EnumerateClassNames(DeepInheritance=True)
    assert {"CIM_ManagedElement", "CIM_ComputerSystem", "Xen_ComputerSystem"} <= set(names)
    cls = wbem.GetClass("Xen_ComputerSystem", LocalOnly=False, IncludeQualifiers=True, IncludeClassOrigin=True)
    assert cls.superclass == "CIM_ComputerSystem"
    assert cls.properties["Name"].qualifiers["Key"].value is True
    assert "RequestStateChange" in cls.methods
    subclasses = wbem.EnumerateClasses(ClassName="CIM_ComputerSystem", DeepInheritance=False)
    assert {c.classname for c in subclasses} >= {"Xen_ComputerSystem", "Xen_HostComputerSystem"}


def test_profiles_are_registered_and_lead_to_their_central_instances(server):
    connection = pywbem.WBEMConnection(server.ready["wbem"], (server.user, server.password))
    wbem_server = pywbem.WBEMServer(connection)
    assert wbem_server.interop_ns in ("interop", "root/interop")
    assert "root/cimv2" in wbem_server.namespaces
    found = {}
    for profile in wbem_server.get_selected_profiles("DMTF"):
        central = connection.AssociatorNames(profile.path, AssocClass="CIM_ElementConformsToProfile")
        found[profile["RegisteredName"]] = {p.classname for p in central}
    assert found["Virtual System"] == {"Xen_ComputerSystem"}
    assert found["System Virtualization"] == {"Xen_HostComputerSystem"}


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda c: c.EnumerateInstances("CIM_NoSuchClass"), pywbem.CIM_ERR_INVALID_CLASS),
        (lambda c: c.EnumerateInstances("Xen_ComputerSystem", namespace="root/none"), pywbem.CIM_ERR_INVALID_NAMESPACE),
        (
            lambda c: c.GetInstance(
                pywbem.CIMInstanceName("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": "x"})
            ),
            pywbem.CIM_ERR_NOT_FOUND,
        ),
        (lambda c: c.DeleteInstance(c.EnumerateInstanceNames("Xen_ComputerSystem")[0]), pywbem.CIM_ERR_NOT_SUPPORTED),
        (lambda c: c.InvokeMethod("No", c.EnumerateInstanceNames("Xen_Memory")[0]), pywbem.CIM_ERR_METHOD_NOT_FOUND),
    ],
)  # fmt: skip
def test_what_is_not_there_is_the_right_cim_error(wbem, call, status):
    with pytest.raises(pywbem.CIMError) as error:
        call(wbem)
    assert error.value.status_code == status


def test_wrong_password_and_no_password_are_unauthorized(server):
    for credentials in (("root", "wrong"), ("nobody", "xencim"), None):
        connection = pywbem.WBEMConnection(server.ready["wbem"], credentials)
        with pytest.raises(pywbem.AuthError):
            connection.EnumerateClassNames(namespace="root/cimv2")


def test_tls_serves_the_same(server, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests prefers them to no_verification
        monkeypatch.delenv(name, raising=False)
    connection = pywbem.WBEMConnection(server.ready["wbem_tls"], (server.user, server.password), no_verification=True)
    assert len(connection.EnumerateInstanceNames("Xen_ComputerSystem", namespace="root/cimv2")) == 12


def test_every_route_asks_for_credentials(server):
    url = urlsplit(server.ready["wbem"])
    for method in ("GET", "POST", "M-POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        for path in ("/", "/cimom", "/any/thing"):
            for header in (
                {},
                {"Authorization": "Basic " + base64.b64encode(b"root:no").decode()},
                {"Authorization": "x"},
            ):
                connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
                connection.request(method, path, body=b"", headers=header)
                answer = connection.getresponse()
                assert answer.status in (401, 405, 501), (method, path, header, answer.status)
                assert b"<CIM" not in answer.read() or answer.status == 401
                connection.close()
