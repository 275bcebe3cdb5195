"""A real client gives a real server process a workload balancing server, uses it, and keeps it over a restart."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import XenAPI
from clients import logged_in
from server_process import ServerProcess
from wlb_server import ACCOUNT, wlb_thread


def test_a_client_balances_a_pool_with_a_server_outside_of_it(
    serve: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    options = ("--hosts", "3", "--vms", "1", "--speed", "200", "--log-level", "debug", "--state", str(tmp_path / "s"))

    def hosts(xenapi: Any, *stars: str) -> list[str]:
        """The hosts, which get these stars."""
        records = xenapi.host.get_all_records()
        wlb.stars = {record["uuid"]: each for record, each in zip(records.values(), stars, strict=True)}
        return list(records)

    with ExitStack() as stack:
        wlb = stack.enter_context(wlb_thread())
        server = serve(*options)
        session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
        xenapi = session.xenapi
        (pool,) = xenapi.pool.get_all()
        if xenapi.pool.get_tls_verification_enabled(pool):
            xenapi.pool.install_ca_certificate("wlb", wlb.identity.pem)
        with pytest.raises(XenAPI.Failure) as failure:
            xenapi.pool.retrieve_wlb_configuration()
        assert failure.value.details == ["WLB_NOT_INITIALIZED"]
        xenapi.pool.initialize_wlb(wlb.place, *ACCOUNT, "wlb-agent", "its pass")
        record = xenapi.pool.get_record(pool)
        assert (record["wlb_url"], record["wlb_username"], record["wlb_enabled"]) == (wlb.place, ACCOUNT[0], False)
        assert (ACCOUNT[1] in repr(record), "wlb_password" in record) == (False, False)
        assert wlb.pools[record["uuid"]]["UserName"] == "wlb-agent"
        xenapi.pool.set_wlb_enabled(pool, True)
        vm = next(ref for ref, one in xenapi.VM.get_all_records().items() if not (
            one["is_a_template"] or one["is_control_domain"] or one["is_a_snapshot"]
        ))  # fmt: skip
        if xenapi.VM.get_power_state(vm) != "Halted":
            xenapi.VM.hard_shutdown(vm)
        for best in (2, 1):
            refs = hosts(xenapi, *("9" if number == best else "1" for number in range(3)))
            assert xenapi.VM.retrieve_wlb_recommendations(vm)[refs[best]] == ["WLB", "9", str(best)]
            xenapi.VM.start(vm, False, False)
            assert xenapi.VM.get_resident_on(vm) == refs[best]
            xenapi.VM.hard_shutdown(vm)
        wlb.reports["health"] = "<Report/>"
        url = f"{server.ready['xenapi']}/wlb_report?report=health&session_id={session._session}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            assert reply.read() == b"<Report/> []"
        source = {"hostname": "esx.example", "username": "ann", "password": "its pass", "vm-name": "old"}
        with pytest.raises(XenAPI.Failure) as failure:
            xenapi.VM.import_convert("ESXServer", "root", "its pass", xenapi.SR.get_all()[0], source)
        assert failure.value.details == ["XENAPI_MISSING_PLUGIN", "conversion"]
        assert server.stop() == 0

        server = serve(*options)
        xenapi = logged_in(stack, server.ready["xenapi"], server.user, server.password).xenapi
        assert xenapi.pool.get_record(pool)["wlb_enabled"] is True
        xenapi.pool.send_wlb_configuration({"OptimizationMode": "1"})
        assert xenapi.pool.retrieve_wlb_configuration() == {"OptimizationMode": "1"}
        xenapi.pool.deconfigure_wlb()
        assert (wlb.pools, xenapi.secret.get_all()) == ({}, [])
        for log in tmp_path.rglob("log.txt"):
            assert not any(word in log.read_text(encoding="utf-8") for word in (ACCOUNT[1], "its pass"))
