"""Measurements of a real server: what a client is told after a restart goes back to before it."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from typing import Any

import pywbem
from clients import wait_until
from server_process import ServerProcess, start_server


def updates(server: ServerProcess, start: int) -> dict[int, dict[str, float]]:
    """Instant -> entry of the legend -> value, of the coordinator, its machines and its repositories."""
    credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    request = urllib.request.Request(
        f"{server.ready['xenapi']}/rrd_updates?start={start}&interval=5&cf=AVERAGE&host=true&sr_uuid=all&json=true",
        headers={"Authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        told: dict[str, Any] = json.load(reply)
    legend = told["meta"]["legend"]
    return {
        row["t"]: {entry: value for entry, value in zip(legend, row["values"], strict=True) if value is not None}
        for row in told["data"]
    }


def test_history_goes_back_to_before_a_restart(tmp_path):
    state, start = str(tmp_path / "state"), int(time.time()) - 300
    server = start_server(tmp_path / "one", "--state", state)
    wait_until(lambda: len(updates(server, start)) > 1)  # the first row is complete
    before = updates(server, start)
    assert server.stop() == 0
    server = start_server(tmp_path / "two", "--state", state)
    after = updates(server, start)
    first = min(before)
    assert {entry.split(":")[1] for entry in before[first]} == {"host", "vm", "sr"}
    assert after[first] == before[first]
    server.stop()


def test_times_of_requests_to_a_disk_are_told_by_both_interfaces(server, xenapi, wbem):
    vm, record = next(
        (ref, one)
        for ref, one in xenapi.VM.get_all_records().items()
        if one["power_state"] == "Running" and not one["is_control_domain"]
    )
    told = {one["name_label"]: one for one in xenapi.VM.get_data_sources(vm)}
    for name, units in (("read_latency", "\N{MICRO SIGN}s"), ("iops_read", "requests/s"), ("inflight", "requests")):
        source = told[f"vbd_xvda_{name}"]
        assert (source["units"], source["enabled"]) == (units, True)
        assert xenapi.VM.query_data_source(vm, f"vbd_xvda_{name}") > 0
    name = f"Xen:{record['uuid']}/Metric/vbd_xvda_read_latency"
    path = pywbem.CIMInstanceName("Xen_MetricValue", {"InstanceID": name})
    wait_until(lambda: told_by(wbem, path) is not None)
    shown = told_by(wbem, path)
    assert float(shown["MetricValue"]) == told["vbd_xvda_read_latency"]["value"]
    (definition,) = wbem.Associators(path, AssocClass="CIM_MetricInstance")
    assert (definition["Name"], definition["ProgrammaticUnits"]) == ("DiskReadLatency", "second*10^-6")
    (disk,) = wbem.AssociatorNames(path, AssocClass="CIM_MetricForME", ResultClass="CIM_LogicalDisk")
    assert xenapi.VBD.get_device(xenapi.VBD.get_by_uuid(disk["DeviceID"])) == "xvda"


def told_by(wbem: pywbem.WBEMConnection, path: pywbem.CIMInstanceName) -> pywbem.CIMInstance | None:
    """An instance; None before the first round of samples."""
    try:
        return wbem.GetInstance(path)
    except pywbem.CIMError as error:
        if error.status_code != pywbem.CIM_ERR_NOT_FOUND:
            raise
        return None


def test_what_follows_from_other_data_sources_is_recorded_when_asked_for(server, xenapi):
    vm, record = next(
        (ref, one)
        for ref, one in xenapi.VM.get_all_records().items()
        if one["power_state"] == "Running" and not one["is_control_domain"]
    )
    name, start = "vbd_xvda_iops_total", int(time.time()) - 60

    def enabled() -> bool:
        return {one["name_label"]: one["enabled"] for one in xenapi.VM.get_data_sources(vm)}[name]

    assert not enabled()
    xenapi.VM.record_data_source(vm, name)
    assert enabled()
    entry = f"AVERAGE:vm:{record['uuid']}:{name}"
    wait_until(lambda: any(row.get(entry) for row in updates(server, start).values()))
    xenapi.VM.forget_data_source_archives(vm, name)
    assert not enabled()
