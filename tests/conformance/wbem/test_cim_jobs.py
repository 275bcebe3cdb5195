"""Tasks of the Xen-API as jobs (DSP1103), whoever started them, and hosts: both faces of a real server agree."""

from __future__ import annotations

from typing import Any

import pytest
import pywbem
from odd_machines import new_machine
from waiting import wait_until

# task status -> JobState, OperationalStatus
STATES = {
    "pending": (4, [2]),
    "success": (7, [17, 2]),
    "failure": (10, [17, 6]),
    "cancelling": (6, [9]),
    "cancelled": (8, [17, 10]),
}


def job_path(uuid: str) -> pywbem.CIMInstanceName:
    return pywbem.CIMInstanceName("Xen_ConcreteJob", {"InstanceID": f"Xen:{uuid}"}, namespace="root/cimv2")


def ended(xenapi: Any, task: str) -> dict[str, Any]:
    """The record of a task that has ended."""
    wait_until(lambda: xenapi.task.get_status(task) not in ("pending", "cancelling"))
    record: dict[str, Any] = xenapi.task.get_record(task)
    return record


def compare(wbem: pywbem.WBEMConnection, record: dict[str, Any]) -> pywbem.CIMInstance:
    """The job of a task that has ended, after looking that it says the same."""
    job = wbem.GetInstance(job_path(record["uuid"]))
    assert (job["JobState"], job["OperationalStatus"]) == STATES[record["status"]]
    assert (job["Name"], job["Description"]) == (record["name_label"], record["name_description"])
    assert job["PercentComplete"] == 100
    assert job["ErrorDescription"] == (" ".join(record["error_info"]) or None)
    assert (job["ErrorCode"] != 0) == (record["status"] == "failure")
    created, finished = (str(record[name]).replace("T", "").replace(":", "")[:14] for name in ("created", "finished"))
    assert str(job["StartTime"])[:14] == str(job["TimeSubmitted"])[:14] == created
    assert str(job["TimeOfLastStateChange"])[:14] == finished
    return job


@pytest.fixture
def machine(xenapi: Any) -> str:
    return new_machine(xenapi, "for jobs")


def test_a_task_that_succeeds_is_a_completed_job_that_affects_its_machine(
    xenapi: Any, wbem: pywbem.WBEMConnection, machine: str
) -> None:
    path = pywbem.CIMInstanceName(
        "Xen_ComputerSystem",
        {"CreationClassName": "Xen_ComputerSystem", "Name": xenapi.VM.get_uuid(machine)},
        namespace="root/cimv2",
    )
    value, out = wbem.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(2))
    assert value == 4096
    record = ended(xenapi, xenapi.task.get_by_uuid(out["Job"]["InstanceID"].removeprefix("Xen:")))
    compare(wbem, record)
    for one, other in ((path, out["Job"]), (out["Job"], path)):
        (found,) = wbem.AssociatorNames(one, AssocClass="CIM_AffectedJobElement")
        assert found.keybindings == other.keybindings


def test_a_job_is_written_back_whole_with_the_parameters_of_its_call(
    xenapi: Any, wbem: pywbem.WBEMConnection, machine: str
) -> None:
    uuid = xenapi.VM.get_uuid(machine)
    keys = {"CreationClassName": "Xen_ComputerSystem", "Name": uuid}
    path = pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/cimv2")
    (service,) = wbem.AssociatorNames(path, ResultClass="CIM_VirtualSystemManagementService")
    asked = pywbem.CIMInstance("Xen_VirtualSystemSettingData", {"InstanceID": f"Xen:{uuid}", "Notes": ["ours", "<&"]})
    value, out = wbem.InvokeMethod("ModifySystemSettings", service, SystemSettings=asked)
    assert value == 4096
    ended(xenapi, xenapi.task.get_by_uuid(out["Job"]["InstanceID"].removeprefix("Xen:")))
    job = wbem.GetInstance(out["Job"])
    given = job["JobInParameters"]
    assert given.classname == "__JobInParameters"
    assert dict(given["SystemSettings"]) == dict(asked)
    assert job["JobOutParameters"]["__ReturnValue"] == 0
    job["TimeBeforeRemoval"] = pywbem.CIMDateTime("00000000000700.000000:000")
    wbem.ModifyInstance(job)
    assert str(wbem.GetInstance(job.path)["TimeBeforeRemoval"]) == "00000000000700.000000:000"
    given["SystemSettings"]["Notes"] = ["theirs"]
    with pytest.raises(pywbem.CIMError) as refused:
        wbem.ModifyInstance(job)
    assert refused.value.status_code == pywbem.CIM_ERR_NOT_SUPPORTED
    (result,) = wbem.Associators(job.path, AssocClass="CIM_AssociatedJobMethodResult")
    before, after = result["PreCallIndication"], result["PostCallIndication"]
    assert (before["MethodName"], before["PreCall"], after["PreCall"]) == ("ModifySystemSettings", True, False)
    assert (before["ReturnValue"], after["ReturnValue"]) == (None, "0")
    assert dict(before["MethodParameters"]["SystemSettings"]) == dict(asked)


def test_a_task_that_fails_is_a_job_with_its_error(xenapi: Any, wbem: pywbem.WBEMConnection, machine: str) -> None:
    record = ended(xenapi, xenapi.Async.VM.pause(machine))
    assert record["error_info"][0] == "VM_BAD_POWER_STATE"
    job = compare(wbem, record)
    for method, name in (("GetError", "Error"), ("GetErrors", "Errors")):
        value, out = wbem.InvokeMethod(method, job.path)
        assert value == 0
        (error,) = out[name] if method == "GetErrors" else [out[name]]
        assert isinstance(error, pywbem.CIMInstance)
        assert error["MessageID"] == "VM_BAD_POWER_STATE"
        assert error["MessageArguments"] == record["error_info"][1:]
        assert error["CIMStatusCode"] == job["ErrorCode"]


def test_a_job_that_has_ended_cannot_be_ended_again(xenapi: Any, wbem: pywbem.WBEMConnection, machine: str) -> None:
    job = compare(wbem, ended(xenapi, xenapi.Async.VM.start(machine, False, False)))
    for code, expected in ((4, 4097), (5, 4097), (2, 1), (3, 1), (77, 5), (None, 5)):
        requested = None if code is None else pywbem.Uint16(code)
        value, _ = wbem.InvokeMethod("RequestStateChange", job.path, [("RequestedState", requested)])
        assert value == expected, code


def test_a_task_made_by_a_client_is_a_job_that_follows_it(xenapi: Any, wbem: pywbem.WBEMConnection) -> None:
    task = xenapi.task.create("my task", "of a client")
    path = job_path(xenapi.task.get_uuid(task))
    assert (wbem.GetInstance(path)["JobState"], wbem.GetInstance(path)["PercentComplete"]) == (4, 0)
    xenapi.task.set_progress(task, 0.5)
    assert wbem.GetInstance(path)["PercentComplete"] == 50
    with pytest.raises(pywbem.CIMError) as error:
        wbem.InvokeMethod("GetError", path)
    assert error.value.status_code == pywbem.CIM_ERR_FAILED
    xenapi.task.set_status(task, "success")
    assert wbem.GetInstance(path)["JobState"] == 7
    xenapi.task.destroy(task)
    assert wbem.GetInstance(path)["JobState"] == 7  # as TimeBeforeRemoval promises (DSP1103)


def test_a_job_whose_task_was_destroyed_before_its_end_goes_with_its_end(
    xenapi: Any, wbem: pywbem.WBEMConnection
) -> None:
    task = xenapi.task.create("my task", "given up")
    path = job_path(xenapi.task.get_uuid(task))
    xenapi.task.destroy(task)
    assert wbem.GetInstance(path)["JobState"] == 4
    xenapi.task.set_status(task, "success")
    with pytest.raises(pywbem.CIMError) as error:
        wbem.GetInstance(path)
    assert error.value.status_code == pywbem.CIM_ERR_NOT_FOUND


def test_hosts_agree_with_their_records_also_in_maintenance(xenapi: Any, wbem: pywbem.WBEMConnection) -> None:
    (target,) = xenapi.host.get_by_name_label("host-2")
    for enabled in (True, False, True):
        (xenapi.host.enable if enabled else xenapi.host.disable)(target)
        found = {one["Name"]: one for one in wbem.EnumerateInstances("Xen_HostComputerSystem")}
        records = xenapi.host.get_all_records().values()
        assert found.keys() == {host["uuid"] for host in records}
        for host in records:
            one = found[host["uuid"]]
            assert (one["ElementName"], one["Description"]) == (host["name_label"], host["name_description"])
            assert one["EnabledState"] == (2 if host["enabled"] else 6)
            assert one["OtherIdentifyingInfo"] == [host["hostname"], host["address"]]
        assert found[xenapi.host.get_uuid(target)]["EnabledState"] == (2 if enabled else 6)
