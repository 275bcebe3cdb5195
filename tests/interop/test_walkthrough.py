"""The example programs of walkthrough/, run as a reader would run them; the server says whether they did it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clients import vm_named

from xenapi_core.engine.tasks import KEPT

PROGRAMS = Path(__file__).parent / "walkthrough"
LINES = 80
DEADLINE = 90  # seconds until a program that hangs is a failed test


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-u", str(PROGRAMS / program), *arguments]


def environment(server: Any, door: str = "xenapi") -> dict[str, str]:
    return {**os.environ, "XENCIM_URL": server.ready[door], "XENCIM_USER": server.user, "PYTHONWARNINGS": "error"}


def run(server: Any, program: str, *arguments: str, door: str = "xenapi") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(program, *arguments), env=environment(server, door), capture_output=True, text=True, timeout=DEADLINE,
        check=False,
    )  # fmt: skip


def output(server: Any, program: str, *arguments: str, door: str = "xenapi") -> str:
    """What a program that succeeds prints."""
    done = run(server, program, *arguments, door=door)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def running_guests(xenapi: Any) -> dict[str, dict[str, Any]]:
    return {
        ref: record
        for ref, record in xenapi.VM.get_all_records().items()
        if record["power_state"] == "Running" and not record["is_control_domain"]
    }


def disks_of(xenapi: Any, vm: str) -> set[str]:
    return {vdi for vbd in xenapi.VM.get_VBDs(vm) if (vdi := xenapi.VBD.get_VDI(vbd)) != "OpaqueRef:NULL"}


def open_sessions(xenapi: Any) -> int:
    return xenapi.event_from(["pool"], "", 5.0)["valid_ref_counts"]["session"]


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.py")), ids=lambda path: path.name)
def test_a_program_is_short_enough_to_be_read_as_documentation(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < LINES


@pytest.mark.parametrize("door", ["xenapi", "xenapi_tls"])
def test_list_vms_shows_every_guest_with_state_memory_and_host(server, xenapi, door):
    shown = [line.split() for line in output(server, "list_vms.py", door=door).splitlines()]
    records = [r for r in xenapi.VM.get_all_records().values() if not (r["is_a_template"] or r["is_control_domain"])]
    hosts = {"OpaqueRef:NULL": "-", **{ref: xenapi.host.get_name_label(ref) for ref in xenapi.host.get_all()}}
    assert shown == [
        [r["name_label"], r["power_state"], str(int(r["memory_dynamic_max"]) >> 20), "MiB", hosts[r["resident_on"]]]
        for r in sorted(records, key=lambda r: r["name_label"])
    ]
    assert len(shown) >= 12


def test_find_vm_tells_uuid_nics_and_disks(server, xenapi):
    ref = vm_named(xenapi, "db-1")
    text = output(server, "find_vm.py", "db-1")
    assert xenapi.VM.get_uuid(ref) in text
    assert all(xenapi.VIF.get_MAC(vif) in text for vif in xenapi.VM.get_VIFs(ref))
    disks = [vbd for vbd in xenapi.VM.get_VBDs(ref) if not xenapi.VBD.get_empty(vbd)]
    assert len(disks) == 2
    for vdi in map(xenapi.VBD.get_VDI, disks):
        assert f"{xenapi.VDI.get_name_label(vdi)}, {int(xenapi.VDI.get_virtual_size(vdi)) >> 30} GiB" in text
    assert re.search(r"CD +3: empty", text)


def test_find_vm_says_when_there_is_none(server):
    done = run(server, "find_vm.py", "nobody")
    assert done.returncode == 1
    assert done.stderr == "no VM is called nobody\n"


def test_start_vm_starts_it_and_a_second_start_is_refused_in_words(server, xenapi):
    ref = vm_named(xenapi, "db-2")
    assert xenapi.VM.get_power_state(ref) == "Halted"
    text = output(server, "start_vm.py", "db-2")
    try:
        assert xenapi.VM.get_power_state(ref) == "Running"
        assert text == f"db-2 is Running on {xenapi.host.get_name_label(xenapi.VM.get_resident_on(ref))}\n"
        again = run(server, "start_vm.py", "db-2")
        assert again.returncode == 1
        assert again.stderr == f"the server refused: VM_BAD_POWER_STATE {ref} halted running\n"
    finally:
        xenapi.VM.hard_shutdown(ref)


def test_every_program_logs_out_also_when_it_is_refused(server, xenapi):
    before = open_sessions(xenapi)
    output(server, "list_vms.py")
    assert run(server, "start_vm.py", "web-0").returncode == 1
    assert open_sessions(xenapi) == before


def test_clone_vm_draws_a_bar_up_to_100_percent_and_destroys_its_task(server, xenapi):
    text = output(server, "clone_vm.py", "build-2", "build-2-copy")
    clone = vm_named(xenapi, "build-2-copy")
    bars = re.findall(r"^\[([# ]{40})\] +(\d+)%$", text, re.M)
    percents = [int(percent) for _, percent in bars]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert all(abs(bar.count("#") - int(percent) * 0.4) < 1 for bar, percent in bars)
    assert text.endswith(f"build-2-copy has uuid {xenapi.VM.get_uuid(clone)}\n")
    assert "Async.VM.clone" not in [task["name_label"] for task in xenapi.task.get_all_records().values()]
    disks, copies = disks_of(xenapi, vm_named(xenapi, "build-2")), disks_of(xenapi, clone)
    assert len(copies) == len(disks) > 0
    assert copies.isdisjoint(disks)


def test_clone_vm_of_a_running_vm_fails_and_leaves_no_task(server, xenapi):
    ref = vm_named(xenapi, "web-0")
    done = run(server, "clone_vm.py", "web-0", "web-0-copy")
    assert done.returncode == 1
    assert done.stderr == f"failure: VM_BAD_POWER_STATE {ref} halted running\n"
    assert xenapi.VM.get_by_name_label("web-0-copy") == []
    assert "Async.VM.clone" not in [task["name_label"] for task in xenapi.task.get_all_records().values()]


def test_watch_events_prints_what_another_client_does(server, xenapi):
    ref = vm_named(xenapi, "app-2")
    with subprocess.Popen(
        command("watch_events.py", "--count", "3", "--seconds", str(DEADLINE)), env=environment(server),
        stdout=subprocess.PIPE, text=True,
    ) as watcher:  # fmt: skip
        assert watcher.stdout
        try:
            assert re.fullmatch(r"watching \d+ objects\n", watcher.stdout.readline())
            xenapi.VM.set_name_description(ref, "watched")
            first = watcher.stdout.readline()
            # by its own line each, so that no two of these are one event
            network = xenapi.network.create({"name_label": "watched-net", "name_description": "", "other_config": {}})
            second = watcher.stdout.readline()
            xenapi.network.destroy(network)
            third = watcher.stdout.readline()
            assert watcher.stdout.read() == ""
            assert watcher.wait(DEADLINE) == 0
        finally:
            watcher.kill()
    assert [first, second, third] == ["vm mod app-2\n", "network add watched-net\n", "network del watched-net\n"]


def test_watch_events_stops_after_its_time_when_nothing_happens(server):
    assert re.fullmatch(r"watching \d+ objects\n", output(server, "watch_events.py", "--seconds", "0.3"))


def test_rotate_vms_moves_every_running_vm_to_the_next_host_without_a_restart(server, xenapi):
    hosts = sorted(xenapi.host.get_all(), key=xenapi.host.get_name_label)
    following = dict(zip(hosts, hosts[1:] + hosts[:1], strict=True))
    before = running_guests(xenapi)
    started = {ref: xenapi.VM_metrics.get_start_time(r["metrics"]) for ref, r in before.items()}
    assert len(before) >= 9
    assert {r["resident_on"] for r in before.values()} == set(hosts)
    text = output(server, "rotate_vms.py")
    after = running_guests(xenapi)
    assert {ref: r["resident_on"] for ref, r in after.items()} == {
        ref: following[r["resident_on"]] for ref, r in before.items()
    }
    assert {ref: xenapi.VM_metrics.get_start_time(r["metrics"]) for ref, r in after.items()} == started
    assert len(text.splitlines()) == len(before)
    assert "Async.VM.pool_migrate" not in [task["name_label"] for task in xenapi.task.get_all_records().values()]


def test_rotate_vms_hears_of_more_moves_than_ended_tasks_are_kept(serve, login):
    server = serve("--hosts", "10", "--vms", "300", "--speed", "10")
    xenapi = login(server)
    assert len(running_guests(xenapi)) > KEPT
    text = output(server, "rotate_vms.py")
    assert len(text.splitlines()) == len(running_guests(xenapi))


def test_rotate_vms_reports_a_vm_that_could_not_move(serve, login):
    server = serve("--speed", "10")
    xenapi = login(server)
    stays = vm_named(xenapi, "web-0")
    xenapi.VM.add_to_blocked_operations(stays, "pool_migrate", "pinned by its owner")
    host = xenapi.VM.get_resident_on(stays)
    done = run(server, "rotate_vms.py")
    assert done.returncode == 1
    assert done.stderr == "1 of 9 VMs did not move\n"
    assert re.search(r"^web-0 .*OPERATION_BLOCKED", done.stdout, re.M)
    assert xenapi.VM.get_resident_on(stays) == host
