"""Compatibility modes over HTTP with pywbem: namespaces, calls on classes, MOF text, and indications by class name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import pywbem
from clients import logged_in, wait_until
from server_process import ServerProcess, start_server, until_done
from test_wbem_indications import Listener

MANAGEMENT = "Xen_VirtualSystemManagementService"


def running(tmp_path_factory: pytest.TempPathFactory, mode: str) -> Iterator[ServerProcess]:
    yield from until_done(start_server(tmp_path_factory.mktemp(mode), "--speed", "50", "--cim-compat", mode))


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from running(tmp_path_factory, "libvirt-cim")


@pytest.fixture(scope="module")
def xs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from running(tmp_path_factory, "xs-cim")


@contextlib.contextmanager
def connected(server: ServerProcess, namespace: str) -> Iterator[pywbem.WBEMConnection]:
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace=namespace, timeout=30
    ) as found:
        yield found


@pytest.fixture
def virt(libvirt: ServerProcess) -> Iterator[pywbem.WBEMConnection]:
    """A connection to root/virt."""
    with connected(libvirt, "root/virt") as found:
        yield found


@pytest.fixture
def libvirt_xenapi(libvirt: ServerProcess) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        yield logged_in(stack, libvirt.ready["xenapi"], libvirt.user, libvirt.password).xenapi


def machine(name: str) -> pywbem.CIMInstanceName:
    keys = {"CreationClassName": "Xen_ComputerSystem", "Name": name}
    return pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/virt")


SYSTEM = """instance of Xen_VirtualSystemSettingData {
    VirtualSystemIdentifier = "%s"; VirtualSystemType = "Xen"; IsFullVirt = true; BootDevices = {"hd"};
};"""
MEMORY = """instance of Xen_MemResourceAllocationSettingData {
    ResourceType = 4; VirtualQuantity = 262144; AllocationUnits = "KiloBytes";
};"""
PROCESSORS = """instance of Xen_ProcResourceAllocationSettingData {
    ResourceType = 3; VirtualQuantity = 1;
};"""


def define(virt: pywbem.WBEMConnection, name: str) -> tuple[int, Any]:
    """DefineSystem on the class with MOF text, as libvirt-cim's tools and tests do it."""
    found: tuple[int, Any] = virt.InvokeMethod(
        "DefineSystem", MANAGEMENT, SystemSettings=SYSTEM % name, ResourceSettings=[MEMORY, PROCESSORS]
    )
    return found


def test_a_guest_is_defined_started_and_destroyed_in_root_virt(virt, libvirt_xenapi):
    value, out = define(virt, "guest")
    assert (value, out["ResultingSystem"]["Name"], out["ResultingSystem"].namespace) == (0, "guest", "root/virt")
    (vm,) = libvirt_xenapi.VM.get_by_name_label("guest")
    assert int(libvirt_xenapi.VM.get_memory_static_max(vm)) == 256 << 20
    assert virt.InvokeMethod("RequestStateChange", machine("guest"), RequestedState=pywbem.Uint16(2))[0] == 0
    assert libvirt_xenapi.VM.get_power_state(vm) == "Running"
    assert virt.GetInstance(machine("guest"))["UUID"] == libvirt_xenapi.VM.get_uuid(vm)
    (memory,) = virt.Associators(
        pywbem.CIMInstanceName("Xen_VirtualSystemSettingData", {"InstanceID": "Xen:guest"}, namespace="root/virt"),
        ResultClass="Xen_MemResourceAllocationSettingData",
    )
    assert (memory["InstanceID"], memory["VirtualQuantity"], memory.path.namespace) == (
        "guest/mem",
        262144,
        "root/virt",
    )
    assert virt.InvokeMethod("DestroySystem", MANAGEMENT, AffectedSystem=machine("guest")) == (0, {})
    with pytest.raises(pywbem.CIMError) as caught:
        virt.GetInstance(machine("guest"))
    assert caught.value.args[:2] == (pywbem.CIM_ERR_NOT_FOUND, "No such instance (Name)")


# Every property that test suites and tools of libvirt-cim give to a new guest, whether it says something or not.
WHOLE_SYSTEM = """instance of Xen_VirtualSystemSettingData {
InstanceID = "Xen:whole"; Caption = "Virtual System"; Description = "Virtual System";
VirtualSystemIdentifier = "whole"; ElementName = "whole"; VirtualSystemType = "Xen";
CreationClassName = "Xen_VirtualSystemSettingData"; UUID = "6fa9b9a5-1d3c-4d59-9f2f-2a4b9b1ef001";
AutomaticShutdownAction = 2; AutomaticRecoveryAction = 2; isFullVirt = true; BootDevice = "hd";
EnablePAE = false; EnableACPI = false; EnableAPIC = false;
};"""
WHOLE_RESOURCES = [
    """instance of Xen_NetResourceAllocationSettingData { InstanceID = "whole/12:22:33:aa:bb:cc"; ResourceType = 10;
       NetworkType = "network"; PoolID = "NetworkPool/lan-1"; Address = "12:22:33:aa:bb:cc"; };""",
    """instance of Xen_ProcResourceAllocationSettingData { InstanceID = "whole/proc"; ResourceType = 3;
       VirtualQuantity = 1; Weight = 512; Limit = 50; };""",
    """instance of Xen_MemResourceAllocationSettingData { InstanceID = "whole/mem"; ResourceType = 4;
       VirtualQuantity = 512; AllocationUnits = "MegaBytes"; };""",
    """instance of Xen_GraphicsResourceAllocationSettingData { InstanceID = "whole/graphics"; ResourceType = 24;
       ResourceSubType = "vnc"; Address = "127.0.0.1:-1"; KeyMap = "en-us"; };""",
    """instance of Xen_InputResourceAllocationSettingData { InstanceID = "whole/mouse:ps2"; ResourceType = 13;
       ResourceSubType = "mouse"; BusType = "ps2"; };""",
]


def test_a_guest_is_defined_by_everything_that_old_tools_send(virt, libvirt_xenapi):
    found = virt.InvokeMethod(
        "DefineSystem", MANAGEMENT, SystemSettings=WHOLE_SYSTEM, ResourceSettings=WHOLE_RESOURCES
    )  # fmt: skip
    assert found[0] == 0
    (vm,) = libvirt_xenapi.VM.get_by_name_label("whole")
    record = libvirt_xenapi.VM.get_record(vm)
    assert (record["actions_after_crash"], record["HVM_boot_params"]["order"]) == ("destroy", "c")
    assert {record["platform"][word] for word in ("pae", "acpi", "apic")} == {"false"}
    assert int(record["memory_static_max"]) == 512 << 20
    settings = virt.GetInstance(
        pywbem.CIMInstanceName("Xen_VirtualSystemSettingData", {"InstanceID": "Xen:whole"}, namespace="root/virt")
    )
    settings["AutomaticRecoveryAction"] = pywbem.Uint16(3)
    assert virt.InvokeMethod("ModifySystemSettings", MANAGEMENT, SystemSettings=settings.tomof())[0] == 0
    assert libvirt_xenapi.VM.get_actions_after_crash(vm) == "restart"
    assert virt.InvokeMethod("DestroySystem", MANAGEMENT, AffectedSystem=machine("whole"))[0] == 0


def test_what_cannot_be_parsed_is_an_error_with_its_text(virt):
    with pytest.raises(pywbem.CIMError) as caught:
        virt.InvokeMethod("DefineSystem", MANAGEMENT, SystemSettings="instance of nonsense", ResourceSettings=[])
    assert caught.value.status_code == pywbem.CIM_ERR_FAILED
    assert "Unable to parse embedded object" in caught.value.status_description


def test_a_state_that_is_not_supported_is_a_cim_error(virt, libvirt_xenapi):
    define(virt, "still")
    with pytest.raises(pywbem.CIMError) as caught:
        virt.InvokeMethod("RequestStateChange", machine("still"), RequestedState=pywbem.Uint16(9))
    assert caught.value.args[:2] == (pywbem.CIM_ERR_FAILED, "Domain not running")
    virt.InvokeMethod("DestroySystem", MANAGEMENT, AffectedSystem=machine("still"))


def test_the_server_tells_its_namespaces_as_clients_name_them(libvirt):
    with connected(libvirt, "root/interop") as connection:
        server = pywbem.WBEMServer(connection)
        assert {"root/virt", "root/interop"} <= set(server.namespaces)
        (host,) = {
            path.namespace for profile in server.get_selected_profiles("DMTF", "Virtual System")
            for path in connection.AssociatorNames(profile.path, AssocClass="CIM_ElementConformsToProfile")
        }  # fmt: skip
        assert host == "root/virt"


@pytest.mark.parametrize("word", ["Created", "Modified", "Deleted"])
def test_events_are_subscribed_to_by_the_class_of_their_indication(libvirt, virt, libvirt_xenapi, word):
    name = f"told-{word}"
    with listening(libvirt, f"Xen_ComputerSystem{word}Indication") as listener:
        define(virt, name)
        (vm,) = libvirt_xenapi.VM.get_by_name_label(name)
        libvirt_xenapi.VM.start(vm, False, False)
        virt.InvokeMethod("DestroySystem", MANAGEMENT, AffectedSystem=machine(name))
        found = listener.until(lambda one: one["SourceInstance"]["Name"] == name)[-1]
        assert found.classname == f"Xen_ComputerSystem{word}Indication"
        keys = f'CreationClassName="Xen_ComputerSystem",Name="{name}"'
        assert found["SourceInstanceModelPath"] == f"root/virt:Xen_ComputerSystem.{keys}"


@pytest.mark.parametrize("word", ["Created", "Modified", "Deleted"])
def test_events_of_settings_are_told_by_the_class_of_their_indication(libvirt, virt, libvirt_xenapi, word):
    name = f"set-{word}"
    with listening(libvirt, f"Xen_ResourceAllocationSettingData{word}Indication") as listener:
        define(virt, name)
        (vm,) = libvirt_xenapi.VM.get_by_name_label(name)
        libvirt_xenapi.VM.set_memory_limits(vm, *(str(512 << 20) for _ in range(4)))
        virt.InvokeMethod("DestroySystem", MANAGEMENT, AffectedSystem=machine(name))
        found = listener.until(lambda one: one["SourceInstance"]["InstanceID"] == f"{name}/mem")[-1]
        assert found.classname == f"Xen_ResourceAllocationSettingData{word}Indication"
        assert found["SourceInstance"].classname == "Xen_MemResourceAllocationSettingData"


@pytest.mark.parametrize("word", ["Created", "Modified", "Deleted"])
def test_migrations_are_told_by_the_class_of_their_indication(libvirt, virt, libvirt_xenapi, word):
    name = f"moved-{word}"
    define(virt, name)
    (vm,) = libvirt_xenapi.VM.get_by_name_label(name)
    libvirt_xenapi.VM.start(vm, False, False)
    # The guest's tools come up after its start, and a machine without them does not move.
    assert wait_until(lambda: tools(libvirt_xenapi, vm).get("PV_drivers_detected", False))
    here = libvirt_xenapi.VM.get_resident_on(vm)
    there = next(ref for ref in libvirt_xenapi.host.get_all() if ref != here)
    with listening(libvirt, f"Xen_ComputerSystemMigrationJob{word}Indication") as listener:
        value, out = virt.InvokeMethod(
            "MigrateVirtualSystemToHost", "Xen_VirtualSystemMigrationService", ComputerSystem=machine(name),
            DestinationHost=libvirt_xenapi.host.get_hostname(there),
        )  # fmt: skip
        assert (value, out["Job"].classname) == (4096, "Xen_MigrationJob")
        assert wait_until(lambda: virt.GetInstance(out["Job"])["JobState"] == 7)
        virt.DeleteInstance(out["Job"])
        found = listener.until(lambda one: one["SourceInstance"]["InstanceID"] == out["Job"]["InstanceID"])[-1]
        assert found.classname == f"Xen_ComputerSystemMigrationJob{word}Indication"
        assert found["SourceInstance"].classname == "Xen_MigrationJob"
    assert libvirt_xenapi.VM.get_resident_on(vm) == there
    virt.InvokeMethod("DestroySystem", MANAGEMENT, AffectedSystem=machine(name))


def tools(xenapi: Any, vm: str) -> dict[str, Any]:
    """What a guest's tools say; nothing before they are up."""
    return xenapi.VM_guest_metrics.get_all_records().get(xenapi.VM.get_guest_metrics(vm), {})


@contextlib.contextmanager
def listening(libvirt: ServerProcess, classname: str) -> Iterator[Listener]:
    """A listener that gets all indications of a class, subscribed as libvirt-cim's tests do it."""
    listener = Listener()
    with contextlib.ExitStack() as stack:
        stack.callback(listener.listener.stop)
        connection = stack.enter_context(connected(libvirt, "root/interop"))
        keys = {"SystemCreationClassName": "Xen_HostSystem", "SystemName": "any"}
        made = [
            create(connection, "CIM_IndicationFilter", keys, SourceNamespace="root/virt",
                   Query=f"SELECT * FROM {classname}", QueryLanguage="WQL"),
            create(connection, "CIM_IndicationHandlerCIMXML", keys, Destination=listener.url),
        ]  # fmt: skip
        for path in made:
            stack.callback(connection.DeleteInstance, path)
        ends = {"Filter": made[0], "Handler": made[1]}
        subscription = connection.CreateInstance(
            pywbem.CIMInstance("CIM_IndicationSubscription", ends), namespace="root/interop"
        )
        stack.callback(connection.DeleteInstance, subscription)
        yield listener


def create(
    connection: pywbem.WBEMConnection, classname: str, keys: dict[str, str], **values: str
) -> pywbem.CIMInstanceName:
    properties = {**keys, "CreationClassName": classname, "Name": classname, **values}
    return connection.CreateInstance(pywbem.CIMInstance(classname, properties), namespace="root/interop")


def test_xs_cim_clients_find_everything_in_root_cimv2_and_get_jobs(xs):
    with contextlib.ExitStack() as stack:
        wbem = stack.enter_context(connected(xs, "root/cimv2"))
        xenapi = logged_in(stack, xs.ready["xenapi"], xs.user, xs.password).xenapi
        assert {p["RegisteredName"] for p in wbem.EnumerateInstances("CIM_RegisteredProfile")} >= {"Virtual System"}
        vm = next(ref for ref, r in xenapi.VM.get_all_records().items()
                  if r["power_state"] == "Running" and not r["is_control_domain"])  # fmt: skip
        keys = {"CreationClassName": "Xen_ComputerSystem", "Name": xenapi.VM.get_uuid(vm)}
        path = pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/cimv2")
        value, out = wbem.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(32768))
        assert (value, out["Job"].classname) == (4096, "Xen_SystemStateChangeJob")
        assert wait_until(lambda: wbem.GetInstance(out["Job"])["JobState"] == 7)
        shown = wbem.GetInstance(path)
        assert (shown["EnabledState"], shown["OperationalStatus"], shown["Status"]) == (3, [15], "Stopped")
        made = create_in(wbem, "CIM_ListenerDestinationCIMXML", Destination="http://127.0.0.1:1")
        assert wbem.GetInstance(made)["Destination"] == "http://127.0.0.1:1"
        wbem.DeleteInstance(made)


def create_in(wbem: pywbem.WBEMConnection, classname: str, **values: str) -> pywbem.CIMInstanceName:
    properties = {"SystemCreationClassName": "x", "SystemName": "x", "CreationClassName": classname, "Name": "x"}
    return wbem.CreateInstance(pywbem.CIMInstance(classname, {**properties, **values}))
