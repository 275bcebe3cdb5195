"""The CIM services over HTTP with pywbem: embedded instances as CIM-XML and as MOF text, and what the Xen-API shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pywbem
from clients import cs_path, vm_named, wait_until


def service(wbem, classname):
    """The first instance of a service."""
    return wbem.EnumerateInstanceNames(classname)[0]


def finished(wbem, job):
    """The job when it has ended."""

    def ended():
        found = wbem.GetInstance(job)
        return found if found["JobState"] in (7, 8, 9, 10) else None

    return wait_until(ended, 60.0)


def instance(classname, **values):
    return pywbem.CIMInstance(classname, {k: v for k, v in values.items() if v is not None})


MEMORY = """instance of Xen_MemorySettingData {
    ResourceType = 4; VirtualQuantity = 768; AllocationUnits = "byte * 2^20";
};"""


@pytest.mark.parametrize("form", ["xml", "mof"])
def test_a_system_is_defined_and_destroyed(xenapi, wbem, form):
    system = instance("Xen_VirtualSystemSettingData", ElementName=f"made-{form}", Notes=["by", "cim"])
    memory = instance(
        "Xen_MemorySettingData", ResourceType=pywbem.Uint16(4), VirtualQuantity=pywbem.Uint64(768),
        AllocationUnits="byte * 2^20",
    )  # fmt: skip
    given = [
        pywbem.CIMParameter("ResourceSettings", "string", is_array=True, embedded_object="instance", value=[memory])
    ]
    if form == "mof":
        given = [pywbem.CIMParameter("ResourceSettings", "string", is_array=True, value=[MEMORY])]
    management = service(wbem, "Xen_VirtualSystemManagementService")
    code, out = wbem.InvokeMethod(
        "DefineSystem",
        management,
        Params=[pywbem.CIMParameter("SystemSettings", "string", embedded_object="instance", value=system), *given],
    )
    assert code == 4096
    assert finished(wbem, out["Job"])["JobState"] == 7
    (made,) = wbem.AssociatorNames(out["Job"], AssocClass="CIM_AffectedJobElement")
    vm = xenapi.VM.get_by_uuid(made["Name"])
    assert xenapi.VM.get_name_label(vm) == f"made-{form}"
    assert int(xenapi.VM.get_memory_static_max(vm)) == 768 << 20
    assert sorted(xenapi.VM.get_tags(vm)) == ["by", "cim"]
    code, out = wbem.InvokeMethod("DestroySystem", management, AffectedSystem=made)
    assert code == 4096
    assert finished(wbem, out["Job"])["JobState"] == 7
    assert xenapi.VM.get_by_name_label(f"made-{form}") == []


def test_settings_that_were_read_can_be_sent_back_changed(xenapi, wbem):
    vm = next(ref for ref, r in xenapi.VM.get_all_records().items()
              if r["power_state"] == "Halted" and not r["is_a_template"] and not r["is_control_domain"])  # fmt: skip
    record = xenapi.VM.get_record(vm)
    path = pywbem.CIMInstanceName(
        "Xen_VirtualSystemSettingData", {"InstanceID": f"Xen:{record['uuid']}"}, namespace="root/cimv2"
    )
    settings = wbem.GetInstance(path)
    settings["Description"] = "changed by CIM"
    settings.path = None
    code, out = wbem.InvokeMethod(
        "ModifySystemSettings",
        service(wbem, "Xen_VirtualSystemManagementService"),
        Params=[pywbem.CIMParameter("SystemSettings", "string", embedded_object="instance", value=settings)],
    )
    assert code == 4096
    assert finished(wbem, out["Job"])["JobState"] == 7
    after = xenapi.VM.get_record(vm)
    assert after["name_description"] == "changed by CIM"
    changed = {key for key in after if after[key] != record[key]} - {"name_description"}
    assert changed == set()
    xenapi.VM.set_name_description(vm, record["name_description"])


def test_a_snapshot_is_taken_applied_and_destroyed(xenapi, wbem):
    vm = vm_named(xenapi, "db-0")
    snapshots = service(wbem, "Xen_VirtualSystemSnapshotService")
    system = cs_path(xenapi, vm)
    code, out = wbem.InvokeMethod(
        "CreateSnapshot", snapshots, AffectedSystem=system, SnapshotType=pywbem.Uint16(3)
    )  # fmt: skip
    assert code == 4096
    assert finished(wbem, out["Job"])["JobState"] == 7
    (ref,) = xenapi.VM.get_snapshots(vm)
    (snapshot,) = wbem.AssociatorNames(system, AssocClass="CIM_SnapshotOfVirtualSystem")
    assert snapshot["InstanceID"] == f"Xen:{xenapi.VM.get_uuid(ref)}"
    code, out = wbem.InvokeMethod("DestroySnapshot", snapshots, AffectedSnapshot=snapshot)
    assert finished(wbem, out["Job"])["JobState"] == 7
    assert xenapi.VM.get_snapshots(vm) == []


def test_an_answer_waits_for_the_work_when_the_pool_says_so(xenapi, wbem):
    (pool,) = xenapi.pool.get_all()
    management = service(wbem, "Xen_VirtualSystemManagementService")
    (capabilities,) = wbem.Associators(management, AssocClass="CIM_ElementCapabilities")
    assert capabilities["SynchronousMethodsSupported"] == []
    assert sorted(capabilities["AsynchronousMethodsSupported"]) == [2, 3, 5, 6, 7, 10]
    xenapi.pool.add_to_other_config(pool, "cim-jobs", "never")
    try:
        (capabilities,) = wbem.Associators(management, AssocClass="CIM_ElementCapabilities")
        assert sorted(capabilities["SynchronousMethodsSupported"]) == [2, 3, 5, 6, 7, 10]
        code, out = wbem.InvokeMethod("DefineSystem", management)
        assert code == 0
        made = out["ResultingSystem"]
        assert xenapi.VM.get_by_uuid(made["Name"])
        assert wbem.InvokeMethod("DestroySystem", management, AffectedSystem=made)[0] == 0
        bad = instance("Xen_MemorySettingData", AllocationUnits="hertz", VirtualQuantity=pywbem.Uint64(1))
        code, _ = wbem.InvokeMethod(
            "DefineSystem", management,
            Params=[pywbem.CIMParameter("ResourceSettings", "string", is_array=True, embedded_object="instance",
                                        value=[bad])],
        )  # fmt: skip
        assert code == 4
    finally:
        xenapi.pool.remove_from_other_config(pool, "cim-jobs")


def test_every_service_is_found_from_its_host_and_tells_its_capabilities(wbem):
    host = wbem.EnumerateInstanceNames("Xen_HostComputerSystem")[0]
    services = wbem.AssociatorNames(host, AssocClass="CIM_HostedService", ResultClass="CIM_Service")
    names = {
        path.classname for path in services if path.classname.startswith("Xen_") and path["SystemName"] == host["Name"]
    }
    wanted = {"VirtualSystemManagement", "VirtualSystemSnapshot", "VirtualSystemMigration", "PowerManagement",
              "ResourcePoolConfiguration"}  # fmt: skip
    assert {f"Xen_{name}Service" for name in wanted} <= names
    for path in services:
        if path.classname.removeprefix("Xen_").removesuffix("Service") in wanted:
            assert len(wbem.AssociatorNames(path, AssocClass="CIM_ElementCapabilities")) == 1
            assert wbem.GetInstance(path)["Started"] is True


def test_a_machine_is_switched_on_at_the_time_that_was_asked_for(xenapi, wbem):
    records = xenapi.VM.get_all_records().items()
    vm = next(ref for ref, one in records if one["power_state"] == "Halted" and not one["is_a_template"])
    power, machine = service(wbem, "Xen_PowerManagementService"), cs_path(xenapi, vm)
    delay = pywbem.CIMDateTime(timedelta(seconds=1))
    code, out = wbem.InvokeMethod(
        "RequestPowerStateChange", power, PowerState=pywbem.Uint16(2), ManagedElement=machine, Time=delay
    )
    assert code == 4096
    job = finished(wbem, out["Job"])
    assert (job["JobState"], job["Status"], xenapi.VM.get_power_state(vm)) == (7, "OK", "Running")
    assert job["ElapsedTime"].timedelta >= timedelta(seconds=1)
    xenapi.VM.hard_shutdown(vm)
