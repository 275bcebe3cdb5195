"""kill -9 in the middle of a job: the next start takes back what was made, whichever step it had come to."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pywbem
from server_client import complaints
from server_process import ServerProcess, start_server
from test_server_crash import Caller, check_whole, read_all

from xenapi_core.model.lifecycle import POWER_ON_TIME

DISKS = 60
SIZE = 1 << 20
DEADLINE = 30.0


def begin(server: ServerProcess) -> pywbem.CIMInstanceName:
    """Start DefineSystem of a machine with many disks; the path of its job."""
    wbem = pywbem.WBEMConnection(server.ready["wbem"], (server.user, server.password), default_namespace="root/cimv2")
    disk = pywbem.CIMInstance("Xen_DiskSettingData")
    disk["VirtualQuantity"], disk["ElementName"] = pywbem.Uint64(SIZE), "victim-disk"
    system = pywbem.CIMInstance("Xen_VirtualSystemSettingData", {"ElementName": "victim"})
    (service, *_) = wbem.EnumerateInstanceNames("Xen_VirtualSystemManagementService")
    disks = [pywbem.CIMInstance("Xen_DiskSettingData", dict(disk.properties)) for _ in range(DISKS)]
    value, out = wbem.InvokeMethod("DefineSystem", service, SystemSettings=system, ResourceSettings=disks)
    assert value == 4096
    wbem.close()
    job: pywbem.CIMInstanceName = out["Job"]
    return job


def victims(caller: Caller) -> tuple[int, int]:
    """How many machines and disks of the test there are."""
    vms = [vm for vm in caller("VM.get_all_records").values() if vm["name_label"] == "victim"]
    disks = [vdi for vdi in caller("VDI.get_all_records").values() if vdi["name_label"] == "victim-disk"]
    return len(vms), len(disks)


@pytest.mark.parametrize("disks", [0, 1, 7])
def test_what_a_killed_server_had_begun_to_define_is_gone_after_the_next_start(tmp_path: Path, disks: int) -> None:
    state = ("--state", str(tmp_path / "state"))
    server = start_server(tmp_path / "server", *state)
    try:
        caller = Caller(server)
        before: dict[str, Any] = {cls: set(found) for cls, found in read_all(caller).items()}
        begin(server)
        deadline = time.monotonic() + DEADLINE
        while (found := victims(caller)) < (1, disks):
            assert time.monotonic() < deadline
        server.kill()
        caller.close()
        assert found[1] < DISKS, "the method was too fast: nothing was cut short"
        server = start_server(tmp_path / "server", *state)
        caller = Caller(server)
        assert victims(caller) == (0, 0)
        records = read_all(caller)
        check_whole(records)
        assert {cls: set(found) for cls, found in records.items()} == before
        caller.close()
        assert server.stop() == 0
        assert "steps are undone" in server.output
        assert not [line for line in complaints(server) if "was cut short" not in line]
    finally:
        server.kill()


def test_a_change_that_waited_when_the_server_was_killed_is_forgotten(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    server = start_server(tmp_path / "server", *state)
    try:
        caller = Caller(server)
        vm, record = next(
            (ref, one)
            for ref, one in caller("VM.get_all_records").items()
            if one["power_state"] == "Halted" and not one["is_a_template"] and not one["is_control_domain"]
        )
        wait_for_hours(server, record["uuid"])
        deadline = time.monotonic() + DEADLINE
        while POWER_ON_TIME not in caller("VM.get_other_config", vm):
            assert time.monotonic() < deadline
        server.kill()
        caller.close()
        server = start_server(tmp_path / "server", *state)
        caller = Caller(server)
        assert caller("VM.get_other_config", vm) == record["other_config"]
        assert caller("VM.get_power_state", vm) == "Halted"
        caller.close()
        assert server.stop() == 0
    finally:
        server.kill()


def wait_for_hours(server: ServerProcess, uuid: str) -> None:
    """Ask for a machine to be switched on in two hours."""
    machine = pywbem.CIMInstanceName(
        "Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": uuid}, namespace="root/cimv2"
    )
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace="root/cimv2"
    ) as wbem:
        (service, *_) = wbem.EnumerateInstanceNames("Xen_PowerManagementService")
        given = {"PowerState": pywbem.Uint16(2), "ManagedElement": machine}
        time_ = pywbem.CIMDateTime(timedelta(hours=2))
        assert wbem.InvokeMethod("RequestPowerStateChange", service, Time=time_, **given)[0] == 4096
