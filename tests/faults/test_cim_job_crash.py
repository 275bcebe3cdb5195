"""kill -9 in the middle of DefineSystem: the next start takes back what was made, whichever step it had come to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import pywbem
from server_client import complaints
from server_process import ServerProcess, start_server
from test_server_crash import Caller, check_whole, read_all

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
