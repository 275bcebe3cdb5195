"""A VM moves from one server to another with the PyPI client: VM.migrate_send with what host.migrate_receive said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import XenAPI
from clients import logged_in, vm_named, wait_until
from server_process import ServerProcess


def maps(here: Any, there: Any, vm: str) -> tuple[dict[str, str], dict[str, str], str]:
    """VDI -> SR, VIF -> network, and the network the transfer uses."""
    sr = there.pool.get_default_SR(there.pool.get_all()[0])
    host = there.host.get_all()[0]
    network = next(r["network"] for r in there.PIF.get_all_records().values() if r["host"] == host and r["management"])
    vbds = [here.VBD.get_record(vbd) for vbd in here.VM.get_VBDs(vm)]
    vdi_map = {vbd["VDI"]: sr for vbd in vbds if vbd["type"] == "Disk"}
    return vdi_map, dict.fromkeys(here.VM.get_VIFs(vm), network), network


def test_a_running_vm_moves_to_another_pool_and_a_halted_one_is_copied(serve: Callable[..., ServerProcess]) -> None:
    first, second = serve("--demo", "--seed", "one"), serve("--demo", "--seed", "two")
    with contextlib.ExitStack() as stack:
        here, there = (logged_in(stack, s.ready["xenapi"], s.user, s.password).xenapi for s in (first, second))
        vm = next(
            ref for ref, one in here.VM.get_all_records().items()
            if one["power_state"] == "Running" and not one["is_control_domain"] and one["VIFs"]
        )  # fmt: skip
        uuid, name = here.VM.get_uuid(vm), here.VM.get_name_label(vm)
        vdi_map, vif_map, network = maps(here, there, vm)
        host = there.host.get_all()[0]
        dest = there.host.migrate_receive(host, network, {})
        assert dest["master"] == second.ready["xenapi_tls"]
        with pytest.raises(XenAPI.Failure) as failure:
            here.VM.migrate_send(vm, dest, True, {}, vif_map, {})
        assert failure.value.details[0] == "VDI_NOT_IN_MAP"
        here.VM.assert_can_migrate(vm, dest, True, vdi_map, vif_map, {})
        task = here.Async.VM.migrate_send(vm, dest, True, vdi_map, vif_map, {})
        wait_until(lambda: here.task.get_status(task) != "pending", 60)
        assert here.task.get_error_info(task) == []
        moved = there.VM.get_by_uuid(uuid)
        assert moved in here.task.get_result(task)
        assert there.VM.get_power_state(moved) == "Running"
        assert there.VM.get_resident_on(moved) == host
        assert there.VM.get_name_label(moved) == name
        assert {there.VIF.get_network(vif) for vif in there.VM.get_VIFs(moved)} == {network}
        with pytest.raises(XenAPI.Failure):
            here.VM.get_by_uuid(uuid)

        halted = vm_named(here, "db-2")
        vdi_map, vif_map, network = maps(here, there, halted)
        dest = there.host.migrate_receive(host, network, {})
        copy = here.VM.migrate_send(halted, dest, False, vdi_map, vif_map, {"copy": "true"})
        assert here.VM.get_power_state(halted) == "Halted"
        assert there.VM.get_uuid(copy) != here.VM.get_uuid(halted)
        there.VM.start(copy, False, False)
        session = dest["session_id"]
    for server in (first, second):
        assert session not in server.output
