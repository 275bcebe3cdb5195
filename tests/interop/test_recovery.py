"""Recovery after a disaster, with PyPI XenAPI: the server is killed, its storage comes back, and so does a VM."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from clients import logged_in, opened
from server_process import start_server

PLACE = {"server": "filer.example", "serverpath": "/site"}


def lose(xenapi: Any, sr: str) -> None:
    """The storage is disconnected and forgotten."""
    for pbd in xenapi.SR.get_PBDs(sr):
        xenapi.PBD.unplug(pbd)
    xenapi.SR.forget(sr)


def test_a_vm_comes_back_from_storage_that_outlived_a_killed_server(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--speed", "50")
    server = start_server(tmp_path / "first", *options)
    try:
        with contextlib.ExitStack() as stack:
            xenapi = logged_in(stack, server.ready["xenapi"], server.user, server.password).xenapi
            sr = xenapi.SR.create(xenapi.host.get_all()[0], PLACE, "0", "site", "", "nfs", "user", True, {})
            uuid = xenapi.SR.get_uuid(sr)
            records = xenapi.VM.get_all_records().items()
            source = next(
                ref for ref, vm in records if vm["power_state"] == "Halted" and not vm["is_a_template"] and vm["VBDs"]
            )
            xenapi.SR.enable_database_replication(sr)
            vm = xenapi.VM.copy(source, "shop", sr)
            identity = xenapi.VM.get_uuid(vm)
            xenapi.pool.sync_database()
    finally:
        server.kill()
    server = start_server(tmp_path / "second", *options)
    try:
        with contextlib.ExitStack() as stack:
            session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
            xenapi = session.xenapi
            (pool,) = xenapi.pool.get_all()
            (written,) = xenapi.pool.get_metadata_VDIs(pool)
            assert xenapi.VDI.read_database_pool_uuid(written) == xenapi.pool.get_uuid(pool)
            lose(xenapi, sr)
            xenapi.VM.destroy(vm)

            task = xenapi.DR_task.create("nfs", {"server": PLACE["server"]}, [uuid])
            (brought,) = xenapi.DR_task.get_introduced_SRs(task)
            disks = {disk: xenapi.VDI.get_type(disk) for disk in xenapi.SR.get_VDIs(brought)}
            (metadata,) = [disk for disk, kind in disks.items() if kind == "metadata"]
            copy = opened(stack, server.ready["xenapi"])
            copy._session = xenapi.VDI.open_database(metadata)
            (lost,) = copy.xenapi.VM.get_by_name_label("shop")
            copy.xenapi.VM.assert_can_be_recovered(lost, session._session)
            copy.xenapi.VM.recover(lost, session._session, False)
            found = xenapi.VM.get_by_uuid(identity)
            xenapi.VM.start(found, False, False)
            assert xenapi.VM.get_power_state(found) == "Running"
            xenapi.DR_task.destroy(task)
            assert xenapi.SR.get_by_uuid(uuid) == brought
    finally:
        assert server.stop() == 0, server.output
