"""A backup of a real server, brought back by a restart."""

from __future__ import annotations

import base64
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clients import logged_in, vm_named
from server_process import ServerProcess, start_server


def request(server: ServerProcess, method: str, path: str, body: bytes | None = None) -> bytes:
    credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    asked = urllib.request.Request(
        f"{server.ready['xenapi']}{path}", body, {"Authorization": f"Basic {credentials}"}, method=method
    )
    with urllib.request.urlopen(asked, timeout=20) as reply:
        return bytes(reply.read())


def test_a_restart_brings_the_backup_back(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    server = start_server(tmp_path / "one", "--state", state)
    with ExitStack() as stack:
        xenapi: Any = logged_in(stack, server.ready["xenapi"], server.user, server.password).xenapi
        vm = vm_named(xenapi, "web-0")
        backup = request(server, "GET", "/host_backup")
        xenapi.VM.set_name_label(vm, "renamed")
        assert b"starts next" in request(server, "PUT", "/host_restore", backup)
        assert xenapi.VM.get_name_label(vm) == "renamed"
    assert server.stop() == 0
    server = start_server(tmp_path / "two", "--state", state)
    with ExitStack() as stack:
        xenapi = logged_in(stack, server.ready["xenapi"], server.user, server.password).xenapi
        assert xenapi.VM.get_name_label(vm) == "web-0"
        assert xenapi.VM.get_power_state(vm) == "Running"
    assert server.stop() == 0
    assert "has been restored" in server.output
