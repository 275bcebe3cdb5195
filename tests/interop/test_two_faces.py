"""What one face does, the other one sees."""

from __future__ import annotations

import pytest
import pywbem
from clients import cs_path, vm_named, wait_until


def test_a_start_through_the_xen_api_is_enabled_state_2(xenapi, wbem):
    ref = vm_named(xenapi, "db-2")
    path = cs_path(xenapi, ref)
    assert wbem.GetInstance(path)["EnabledState"] == 3
    xenapi.VM.start(ref, False, False)
    assert wbem.GetInstance(path)["EnabledState"] == 2
    (listed,) = [i for i in wbem.EnumerateInstances("Xen_ComputerSystem") if i["Name"] == path["Name"]]
    assert listed["EnabledState"] == 2
    xenapi.VM.hard_shutdown(ref)
    assert wbem.GetInstance(path)["EnabledState"] == 3


def test_request_state_change_is_seen_as_power_state_and_event(xenapi, wbem):
    ref = vm_named(xenapi, "db-2")
    token = xenapi.event_from(["VM"], "", 5.0)["token"]
    code, out = wbem.InvokeMethod("RequestStateChange", cs_path(xenapi, ref), RequestedState=pywbem.Uint16(2))
    assert code == 4096
    job = out["Job"]
    assert job.classname == "Xen_ConcreteJob"
    wait_until(lambda: wbem.GetInstance(job)["JobState"] == 7)
    assert xenapi.VM.get_power_state(ref) == "Running"
    states = []
    while "Running" not in states:
        batch = xenapi.event_from(["VM"], token, 10.0)
        token = batch["token"]
        states += [e["snapshot"]["power_state"] for e in batch["events"] if e["ref"] == ref]
        assert batch["events"], "no event told of the change"
    code, out = wbem.InvokeMethod("RequestStateChange", cs_path(xenapi, ref), RequestedState=pywbem.Uint16(3))
    assert code == 4096
    wait_until(lambda: xenapi.VM.get_power_state(ref) == "Halted")


def test_an_async_task_and_its_job_show_the_same_progress(xenapi, wbem):
    ref = vm_named(xenapi, "db-2")
    task = xenapi.Async.VM.start(ref, False, False)
    uuid = xenapi.task.get_uuid(task)
    path = pywbem.CIMInstanceName("Xen_ConcreteJob", {"InstanceID": f"Xen:{uuid}"}, namespace="root/cimv2")
    compared = 0

    def same():
        nonlocal compared
        before = xenapi.task.get_record(task)
        job = wbem.GetInstance(path)
        after = xenapi.task.get_record(task)
        low, high = (int(float(r["progress"]) * 100) for r in (before, after))
        assert low <= job["PercentComplete"] <= high
        if before["status"] == after["status"]:
            assert job["JobState"] == {"pending": 4, "success": 7}[before["status"]]
        compared += 1
        return after["status"] == "success"

    wait_until(same)
    assert compared >= 2
    assert wbem.GetInstance(path)["PercentComplete"] == 100
    xenapi.VM.hard_shutdown(ref)
    xenapi.task.destroy(task)
    assert wbem.GetInstance(path)["JobState"] == 7  # for as long as TimeBeforeRemoval says


def test_a_failing_task_is_a_job_with_an_error(xenapi, wbem):
    ref = vm_named(xenapi, "web-0")
    task = xenapi.Async.VM.start(ref, False, False)
    wait_until(lambda: xenapi.task.get_status(task) == "failure")
    uuid = xenapi.task.get_uuid(task)
    path = pywbem.CIMInstanceName("Xen_ConcreteJob", {"InstanceID": f"Xen:{uuid}"}, namespace="root/cimv2")
    job = wbem.GetInstance(path)
    assert job["JobState"] == 10
    assert job["ErrorDescription"].startswith("VM_BAD_POWER_STATE")


@pytest.mark.parametrize(
    ("name", "state", "code"), [("web-0", 2, 0), ("app-2", 9, 4097), ("web-0", 77, 5), ("web-0", 7, 1)]
)
def test_impossible_requests_get_the_return_codes_of_the_profile(xenapi, wbem, name, state, code):
    path = cs_path(xenapi, vm_named(xenapi, name))
    answer, out = wbem.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(state))
    assert answer == code
    assert out.get("Job") is None


def test_a_vm_created_and_destroyed_appears_and_disappears_in_cim(xenapi, wbem):
    source = vm_named(xenapi, "build-2")
    copy = xenapi.VM.clone(source, "both-faces")
    path = cs_path(xenapi, copy)
    assert wbem.GetInstance(path)["ElementName"] == "both-faces"
    disks = [xenapi.VBD.get_VDI(v) for v in xenapi.VM.get_VBDs(copy)]
    xenapi.VM.destroy(copy)
    with pytest.raises(pywbem.CIMError) as error:
        wbem.GetInstance(path)
    assert error.value.status_code == pywbem.CIM_ERR_NOT_FOUND
    for vdi in disks:
        if vdi != "OpaqueRef:NULL":
            xenapi.VDI.destroy(vdi)


def test_free_memory_is_told_from_the_start_and_by_both_faces(xenapi, wbem):
    pools = {pool["PoolID"]: pool for pool in wbem.EnumerateInstances("Xen_MemoryPool")}
    for host, record in xenapi.host.get_all_records().items():
        metrics = xenapi.host_metrics.get_record(record["metrics"])
        assert int(metrics["memory_free"]) == int(xenapi.host.compute_free_memory(host))
        (pool,) = [pool for name, pool in pools.items() if record["uuid"] in name]
        unit = {"byte": 1, "byte*2^10": 1 << 10}[pool["AllocationUnits"]]
        assert 0 < pool["Reserved"] * unit == int(metrics["memory_total"]) - int(metrics["memory_free"])
