"""Disks and VMs in and out of real servers, with real clients: PyPI XenAPI and plain HTTP, and npm's xen-api."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from clients import logged_in, vm_named
from server_process import ServerProcess, start_server

SCRIPT = Path(__file__).parent / "node" / "resources.mjs"
MIB = 1 << 20
DATA = random.Random(3).randbytes(5 * MIB)


def request(server: ServerProcess, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    address = urlsplit(server.ready["xenapi"])
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()


def disk_of(xenapi: Any, size: int = 6 * MIB) -> str:
    sr = xenapi.pool.get_default_SR(xenapi.pool.get_all()[0])
    record = {"name_label": "new", "SR": sr, "virtual_size": str(size), "type": "user", "sharable": False}
    return xenapi.VDI.create({**record, "read_only": False, "other_config": {}})


def test_a_disk_is_written_and_read_and_its_bytes_survive_a_kill(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"))
    server = start_server(tmp_path / "first", *options)
    try:
        with contextlib.ExitStack() as stack:
            session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
            disk = disk_of(session.xenapi)
            task = session.xenapi.task.create("import", "")
            path = f"/import_raw_vdi?session_id={session._session}&vdi={disk}&task_id={task}"
            assert request(server, "PUT", path, DATA)[0] == 200
            assert session.xenapi.task.get_status(task) == "success"
    finally:
        server.kill()
    server = start_server(tmp_path / "second", *options)
    try:
        with contextlib.ExitStack() as stack:
            session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
            status, body = request(server, "GET", f"/export_raw_vdi?session_id={session._session}&vdi={disk}")
            assert (status, body) == (200, DATA.ljust(6 * MIB, b"\0"))
    finally:
        assert server.stop() == 0


def test_a_vm_moves_from_one_server_to_another(tmp_path: Path) -> None:
    servers = [start_server(tmp_path / name) for name in ("from", "to")]
    try:
        with contextlib.ExitStack() as stack:
            source, target = (logged_in(stack, s.ready["xenapi"], s.user, s.password) for s in servers)
            vm, disk = vm_named(source.xenapi, "db-2"), disk_of(source.xenapi)
            vbd = {"VM": vm, "VDI": disk, "userdevice": "7", "bootable": False, "mode": "RW", "type": "Disk"}
            source.xenapi.VBD.create({**vbd, "empty": False, "other_config": {}, "qos_algorithm_type": "",
                                      "qos_algorithm_params": {}})  # fmt: skip
            put = f"/import_raw_vdi?session_id={source._session}&vdi={disk}"
            assert request(servers[0], "PUT", put, DATA)[0] == 200
            status, archive = request(servers[0], "GET", f"/export?session_id={source._session}&ref={vm}")
            assert status == 200
            task = target.xenapi.task.create("import", "")
            status, _ = request(servers[1], "PUT", f"/import?session_id={target._session}&task_id={task}", archive)
            assert (status, target.xenapi.task.get_status(task)) == (200, "success")
            (made,) = re.findall(r"OpaqueRef:[0-9a-f-]+", target.xenapi.task.get_result(task))
            assert target.xenapi.VM.get_name_label(made) == "db-2"
            for field in ("memory_static_max", "VCPUs_max", "platform", "HVM_boot_policy", "name_description"):
                one, other = (s.xenapi.VM.get_record(ref)[field] for s, ref in ((source, vm), (target, made)))
                assert one == other, field
            records = [target.xenapi.VBD.get_record(ref) for ref in target.xenapi.VM.get_VBDs(made)]
            (arrived,) = [record["VDI"] for record in records if record["userdevice"] == "7"]
            get = f"/export_raw_vdi?session_id={target._session}&vdi={arrived}"
            assert request(servers[1], "GET", get)[1] == DATA.ljust(6 * MIB, b"\0")
            target.xenapi.VM.start(made, False, False)
            assert target.xenapi.VM.get_power_state(made) == "Running"
    finally:
        ends = [server.stop() for server in servers]
    assert ends == [0, 0]


@pytest.mark.usefixtures("xenapi")
def test_the_client_of_xen_orchestra_moves_disks_and_vms(server: ServerProcess) -> None:
    done = subprocess.run(
        ["node", str(SCRIPT), server.ready["xenapi"], server.user, server.password],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["length"], told["same"]) == (4 * MIB, True)
    assert told["endless"] == [4 * MIB, "more", "data", 0]
    assert "OpaqueRef:" in json.dumps(told["result"])
    assert told["refused"] == [500]
