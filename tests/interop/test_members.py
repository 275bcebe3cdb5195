"""What members of a pool are told, at a real server: by an administrator, and by a host of the pool (the socket)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import XenAPI
from clients import logged_in, wait_until
from server_process import ServerProcess

from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.dump import decode_file

OPTIONS = ("--hosts", "2", "--vms", "2", "--speed", "50")
NEW = "11111111-2222-3333-4444-555555555555"


def people(stack: ExitStack, server: ServerProcess) -> Any:
    return logged_in(stack, server.ready["xenapi"], server.user, server.password).xenapi


def member(stack: ExitStack, server: ServerProcess) -> Any:
    url = f"http://{server.ready['socket'].replace('/', '_')}/"
    return logged_in(stack, url, "root", "", transport=XenAPI.UDSTransport()).xenapi


def other_host(xenapi: Any) -> str:
    (pool,) = xenapi.pool.get_all_records().values()
    return next(host for host in xenapi.host.get_all() if host != pool["master"])


def refusal(call: Callable[..., Any], *args: Any) -> list[str]:
    with pytest.raises(XenAPI.Failure) as refused:
        call(*args)
    return refused.value.details


def test_member_has_copies_of_what_the_pool_keeps(serve: Callable[..., ServerProcess], tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ExitStack() as stack:
        server = serve(*OPTIONS, "--state", str(state))
        xenapi, host = people(stack, server), other_host(member(stack, server))
        place = state / "copies" / xenapi.host.get_uuid(host)
        xenapi.host.sync_data(host)
        assert float(xenapi.host.get_other_config(host)["last_blob_sync_time"]) > 0
        assert (state / "measurements.xencim").exists()
        member(stack, server).host.request_backup(host, "1", True)
        copied = decode_file(SCHEMA, (place / "pool.xencimdb").read_bytes()).store
        assert {vm["uuid"] for vm in copied.all("VM").values()} == {
            record["uuid"] for record in xenapi.VM.get_all_records().values()
        }


def test_a_server_without_state_has_no_disk_for_members(serve: Callable[..., ServerProcess]) -> None:
    with ExitStack() as stack:
        xenapi = people(stack, serve(*OPTIONS))
        assert refusal(xenapi.host.sync_data, other_host(xenapi)) == ["NOT_IMPLEMENTED", "host.sync_data"]


def test_what_members_said_outlasts_a_restart(serve: Callable[..., ServerProcess], tmp_path: Path) -> None:
    options = (*OPTIONS, "--state", str(tmp_path / "state"))
    with ExitStack() as stack:
        server = serve(*options)
        told, xenapi = member(stack, server), people(stack, server)
        host = other_host(xenapi)
        new = told.host.create(NEW, "third", "", "third", "192.0.2.3", "", "", {}, {}, "", {}, "OpaqueRef:NULL", {})
        xenapi.pool.add_to_guest_agent_config(xenapi.pool.get_all()[0], "auto_update_enabled", "false")
        told.host.prepare_for_poweroff(host)
        server.stop()
    with ExitStack() as stack:
        xenapi = people(stack, server := serve(*options))
        assert xenapi.host.get_by_uuid(NEW) == new
        assert xenapi.host_metrics.get_live(xenapi.host.get_metrics(new)) is False
        assert refusal(xenapi.host.enable, new) == ["HOST_OFFLINE", new]
        assert refusal(xenapi.host.enable, host) == ["HOST_DISABLED_UNTIL_REBOOT", host]
        assert not any(xenapi.PBD.get_currently_attached(pbd) for pbd in xenapi.host.get_PBDs(host))
        xenapi.host.reboot(host)
        wait_until(lambda: xenapi.host.get_enabled(host))
        wait_until(lambda: all(xenapi.PBD.get_currently_attached(pbd) for pbd in xenapi.host.get_PBDs(host)))
        xenapi.host.destroy(new)
        assert refusal(xenapi.host.get_by_uuid, NEW) == ["UUID_INVALID", "host", NEW]
