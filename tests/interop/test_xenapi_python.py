"""The PyPI XenAPI client over TCP, TLS and the Unix socket."""

from __future__ import annotations

import contextlib
import time
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

import pytest
import XenAPI
from clients import logged_in, vm_named, wait_until


def test_login_lists_the_demo_pool(xenapi):
    vms = [r for r in xenapi.VM.get_all_records().values() if not r["is_a_template"] and not r["is_control_domain"]]
    assert len(vms) == 12
    assert sum(r["power_state"] == "Running" for r in vms) == 9
    assert len(xenapi.host.get_all()) == 3
    assert len(xenapi.network.get_all()) == 4
    assert len(xenapi.SR.get_all()) == 2


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


def test_login_over_tls(server, stack):
    session = logged_in(stack, server.ready["xenapi_tls"], server.user, server.password, ignore_ssl=True)
    assert len(session.xenapi.pool.get_all()) == 1


def test_unix_socket_accepts_any_password(server, stack):
    # the client's Unix transport spells "/" as "_" in the host part of its URL
    host = server.ready["socket"].replace("/", "_")
    session = logged_in(stack, f"http://{host}/", "root", "", transport=XenAPI.UDSTransport())
    assert len(session.xenapi.host.get_all()) == 3


def test_wrong_password_is_refused(serve, stack):
    server = serve("--speed", "100")
    with pytest.raises(XenAPI.Failure) as failure:
        logged_in(stack, server.ready["xenapi"], "root", "wrong")
    assert failure.value.details[0] == "SESSION_AUTHENTICATION_FAILED"


def test_a_call_after_logout_is_session_invalid(server, stack):
    session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
    ref = session._session
    session.logout()
    with xmlrpc.client.ServerProxy(server.ready["xenapi"]) as raw:
        assert raw.VM.get_all(ref) == {"Status": "Failure", "ErrorDescription": ["SESSION_INVALID", ref]}


def test_start_and_hard_shutdown(xenapi):
    ref = vm_named(xenapi, "db-2")
    assert xenapi.VM.get_power_state(ref) == "Halted"
    assert "start" in xenapi.VM.get_allowed_operations(ref)
    xenapi.VM.start(ref, False, False)
    record = xenapi.VM.get_record(ref)
    assert record["power_state"] == "Running"
    assert record["resident_on"] in xenapi.host.get_all()
    assert int(record["domid"]) > 0
    assert all(xenapi.VBD.get_currently_attached(vbd) for vbd in record["VBDs"])
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.VM.start(ref, False, False)
    assert failure.value.details == ["VM_BAD_POWER_STATE", ref, "halted", "running"]
    xenapi.VM.hard_shutdown(ref)
    assert xenapi.VM.get_power_state(ref) == "Halted"
    assert xenapi.VM.get_resident_on(ref) == "OpaqueRef:NULL"


def test_async_start_is_a_task_with_progress_and_a_result(xenapi):
    ref = vm_named(xenapi, "db-2")
    task = xenapi.Async.VM.start(ref, False, False)
    assert xenapi.task.get_name_label(task) == "Async.VM.start"
    seen = []

    def finished():
        record = xenapi.task.get_record(task)
        seen.append(float(record["progress"]))
        return record if record["status"] != "pending" else None

    record = wait_until(finished)
    assert record["status"] == "success"
    assert record["result"] == "<value></value>"
    assert float(record["progress"]) == 1.0
    assert seen == sorted(seen)
    xenapi.task.destroy(task)
    xenapi.VM.hard_shutdown(ref)


def test_async_failure_carries_the_error_of_the_synchronous_call(xenapi):
    ref = vm_named(xenapi, "web-0")
    task = xenapi.Async.VM.start(ref, False, False)
    wait_until(lambda: xenapi.task.get_status(task) != "pending")
    assert xenapi.task.get_status(task) == "failure"
    assert xenapi.task.get_error_info(task) == ["VM_BAD_POWER_STATE", ref, "halted", "running"]
    xenapi.task.destroy(task)


def test_pause_suspend_resume_and_reboot(xenapi):
    ref = vm_named(xenapi, "web-1")
    xenapi.VM.pause(ref)
    assert xenapi.VM.get_power_state(ref) == "Paused"
    xenapi.VM.unpause(ref)
    domid = xenapi.VM.get_domid(ref)
    xenapi.VM.suspend(ref)
    assert xenapi.VM.get_power_state(ref) == "Suspended"
    assert xenapi.VM.get_suspend_VDI(ref) != "OpaqueRef:NULL"
    xenapi.VM.resume(ref, False, False)
    assert xenapi.VM.get_power_state(ref) == "Running"
    assert xenapi.VM.get_suspend_VDI(ref) == "OpaqueRef:NULL"
    assert xenapi.VM.get_domid(ref) != domid
    xenapi.VM.clean_reboot(ref)
    xenapi.VM.hard_reboot(ref)
    assert xenapi.VM.get_power_state(ref) == "Running"


def test_events_tell_what_another_session_did(server, xenapi, login):
    other = login(server)
    ref = vm_named(xenapi, "app-2")
    token = xenapi.event_from(["VM"], "", 5.0)["token"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.event_from, ["vm"], token, 20.0)
        before = xenapi.VM.get_power_state(ref)
        xenapi.VM.set_name_description(ref, f"seen at {time.time()}")
        batch = waiting.result(30)
    events = [e for e in batch["events"] if e["ref"] == ref]
    assert [(e["class"], e["operation"]) for e in events] == [("vm", "mod")]
    assert events[0]["snapshot"]["power_state"] == before
    assert events[0]["snapshot"]["name_description"].startswith("seen at")
    assert batch["valid_ref_counts"]["vm"] == len(xenapi.VM.get_all())
    assert batch["token"] > token


def test_clone_provision_start_and_destroy_a_template(xenapi):
    (template,) = xenapi.VM.get_by_name_label("Debian 12")
    vm = xenapi.VM.clone(template, "from-template")
    xenapi.VM.provision(vm)
    assert not xenapi.VM.get_is_a_template(vm)
    (vbd,) = xenapi.VM.get_VBDs(vm)
    vdi = xenapi.VBD.get_VDI(vbd)
    assert int(xenapi.VDI.get_virtual_size(vdi)) == 8 << 30
    xenapi.VM.start(vm, False, False)
    xenapi.VM.hard_shutdown(vm)
    xenapi.VM.destroy(vm)
    assert xenapi.VM.get_by_name_label("from-template") == []
    xenapi.VDI.destroy(vdi)


def test_vdi_and_vbd_are_created_plugged_unplugged_and_destroyed(xenapi):
    vm = vm_named(xenapi, "web-0")
    (sr,) = xenapi.SR.get_by_name_label("shared-0")
    vdi = xenapi.VDI.create(
        {
            "name_label": "extra", "name_description": "", "SR": sr, "virtual_size": str(1 << 30), "type": "user",
            "sharable": False, "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {}, "tags": [],
        }
    )  # fmt: skip
    free = xenapi.VM.get_allowed_VBD_devices(vm)
    vbd = xenapi.VBD.create(
        {
            "VM": vm, "VDI": vdi, "userdevice": free[0], "bootable": False, "mode": "RW", "type": "Disk",
            "unpluggable": True, "empty": False, "other_config": {}, "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )  # fmt: skip
    xenapi.VBD.plug(vbd)
    assert xenapi.VBD.get_currently_attached(vbd)
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.VDI.destroy(vdi)
    assert failure.value.details[0] == "VDI_IN_USE"
    xenapi.VBD.unplug(vbd)
    xenapi.VBD.destroy(vbd)
    xenapi.VDI.destroy(vdi)
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.VDI.get_record(vdi)
    assert failure.value.details == ["HANDLE_INVALID", "VDI", vdi]


def test_a_message_without_behaviour_says_not_implemented(xenapi):
    (host,) = xenapi.host.get_by_name_label("host-0")
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.host.apply_edition(host, "free", False)
    assert failure.value.details == ["NOT_IMPLEMENTED", "host.apply_edition"]
