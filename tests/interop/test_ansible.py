"""Ansible's modules of community.general manage guests here: the playbooks of ansible/, and what the server says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import vm_named, wait_until
from server_process import ServerProcess, start_server, until_done

PLAYBOOKS = Path(__file__).parent / "ansible"
GIB, MIB = 1 << 30, 1 << 20
DEADLINE = 300  # seconds until a playbook that hangs is a failed test; the first run may have to fetch Ansible


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of our own, in which guests boot faster: the modules look only every two seconds."""
    yield from until_done(start_server(tmp_path_factory.mktemp("server"), "--speed", "40"))


def play(server: Any, name: str, *options: str) -> int:
    """Run a playbook that must succeed; how many of its tasks changed something."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XENSERVER_HOST": server.ready["xenapi"],
        "XENSERVER_USER": server.user,
        "XENSERVER_PASSWORD": server.password,
    }
    done = subprocess.run(
        [str(PLAYBOOKS / "playbook"), str(PLAYBOOKS / name), *options], env=environment, capture_output=True, text=True,
        timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    recap = re.search(r"^localhost +: ok=\d+ +changed=(\d+) ", done.stdout, re.M)
    assert recap, done.stdout
    return int(recap[1])


def disks(xenapi: Any, vm: str) -> list[tuple[str, int]]:
    """Name and size of the disks of a VM, in order."""
    found = [xenapi.VBD.get_record(vbd) for vbd in xenapi.VM.get_VBDs(vm)]
    found = sorted((vbd for vbd in found if vbd["type"] == "Disk"), key=lambda vbd: int(vbd["userdevice"]))
    records = [xenapi.VDI.get_record(vbd["VDI"]) for vbd in found]
    return [(record["name_label"], int(record["virtual_size"])) for record in records]


def nics(xenapi: Any, vm: str) -> list[dict[str, Any]]:
    """The records of the NICs of a VM, in order; the network by its name."""
    records = sorted(map(xenapi.VIF.get_record, xenapi.VM.get_VIFs(vm)), key=lambda vif: int(vif["device"]))
    return [{**record, "network": xenapi.network.get_name_label(record["network"])} for record in records]


def addresses(xenapi: Any, vm: str) -> dict[str, str]:
    return xenapi.VM_guest_metrics.get_networks(xenapi.VM.get_guest_metrics(vm))


def test_a_guest_is_made_kept_changed_and_retired_by_playbooks(server, xenapi):
    before = set(xenapi.VM.get_all()), set(xenapi.VDI.get_all())
    assert play(server, "guest.yml", "--check") == 1
    assert (set(xenapi.VM.get_all()), set(xenapi.VDI.get_all())) == before

    assert play(server, "guest.yml") == 2
    vm = vm_named(xenapi, "shop")
    record = xenapi.VM.get_record(vm)
    assert (record["name_description"], record["power_state"]) == ("Sells things", "Running")
    assert (record["VCPUs_max"], record["VCPUs_at_startup"], record["platform"]["cores-per-socket"]) == ("4", "4", "2")
    assert {record[f"memory_{bound}"] for bound in ("dynamic_min", "dynamic_max", "static_max")} == {str(4096 * MIB)}
    assert xenapi.host.get_name_label(record["affinity"]) == "host-1"
    assert record["other_config"]["folder"] == "/shops"
    assert record["HVM_boot_params"] == {"order": "ncd", "firmware": "bios"}
    assert record["tags"] == ["shop"]
    assert disks(xenapi, vm) == [("shop system", 12 * GIB), ("shop-1", 3 * GIB // 2)]
    (cd,) = (vbd for vbd in map(xenapi.VBD.get_record, record["VBDs"]) if vbd["type"] == "CD")
    assert xenapi.VDI.get_name_label(cd["VDI"]) == "debian-12.iso"
    assert [nic["network"] for nic in nics(xenapi, vm)] == ["lan-0", "lan-1"]
    assert nics(xenapi, vm)[0]["MAC"] == "aa:bb:dd:00:11:22"

    assert play(server, "guest.yml") == 0

    # the guest runs: it is shut down for that, and started again
    assert play(server, "guest.yml", "-e", "cpus=2", "-e", "memory_mb=2048", "-e", "disk_gb=20") == 1
    record = xenapi.VM.get_record(vm)
    assert (record["power_state"], record["VCPUs_max"]) == ("Running", "2")
    assert record["memory_static_max"] == str(2048 * MIB)
    assert disks(xenapi, vm) == [("shop system", 20 * GIB), ("shop-1", 3 * GIB // 2)]

    wait_until(lambda: "1/ip" in addresses(xenapi, vm))
    assert play(server, "address.yml") == 1
    assert [nic["network"] for nic in nics(xenapi, vm)] == ["lan-2", "lan-1", "lan-3"]
    assert nics(xenapi, vm)[1]["ipv4_addresses"] == ["10.1.2.3/24"]
    wait_until(lambda: addresses(xenapi, vm).get("2/ip") == "10.7.7.7")
    assert {"1/ip": "10.1.2.3", "1/ipv6/0": "fd00::5"}.items() <= addresses(xenapi, vm).items()
    assert play(server, "address.yml") == 0

    assert play(server, "power.yml") == 1
    assert xenapi.VM.get_power_state(vm) == "Halted"

    assert play(server, "retire.yml") == 3
    assert (set(xenapi.VM.get_all()), set(xenapi.VDI.get_all())) == before


def test_refusals_reach_the_author_of_a_playbook_with_their_codes(server):
    assert play(server, "refused.yml") == 0
