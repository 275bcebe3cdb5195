"""Transcendent memory of guests, asked for with the PyPI client, also by a server that was killed and starts again."""

from __future__ import annotations

import pytest
import XenAPI
from clients import vm_named
from server_process import start_server


def test_transcendent_memory_is_controlled_and_outlives_the_server(tmp_path, login):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state), "--speed", "50")
    xenapi = login(server)
    vm = xenapi.VM.clone(vm_named(xenapi, "db-2"), "thrifty")
    xenapi.VM.set_PV_args(vm, "ro tmem")
    xenapi.VM.start(vm, False, False)
    host, domid = xenapi.VM.get_resident_on(vm), xenapi.VM.get_domid(vm)
    assert int(xenapi.host.tmem_query_freeable_mb(host)) == 64
    assert xenapi.host.tmem_flush(host, "-1", "1024") == "1024"
    assert int(xenapi.host.tmem_query_freeable_mb(host)) == 63
    xenapi.host.tmem_set_weight(host, domid, "3")
    xenapi.host.tmem_set_compress(host, "-1", "1")
    xenapi.host.tmem_freeze(host, domid)
    told = xenapi.host.tmem_list(host, domid, False)
    assert told.startswith(f"C=CI:{domid},ww:3,ca:0,co:1,fr:1,")
    server.kill()
    server = start_server(tmp_path / "two", "--state", str(state), "--speed", "50")
    xenapi = login(server)
    assert xenapi.host.tmem_list(host, domid, False).startswith(f"C=CI:{domid},ww:3,ca:0,co:1,fr:1,")
    xenapi.host.tmem_thaw(host, domid)
    assert ",fr:0," in xenapi.host.tmem_list(host, "-1", True)
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.host.tmem_shared_auth(host, domid, "cluster", "1")
    assert failure.value.details == ["INVALID_VALUE", "uuid", "cluster"]
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.VM.query_services(vm)
    assert failure.value.details == ["NOT_IMPLEMENTED", "VM.query_services"]
    assert server.stop() == 0
