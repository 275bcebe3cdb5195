"""Clients of API 1.0 on this server, one row of the comparison of both APIs after the other: calls and their forms.

Where bytes matter the request is written as xm or libxen sends it; the others go through an encoder.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from api_pool import TCP, ApiPool, Refused, api_pool, value_of

from xenapi_core.clock import VirtualClock
from xenapi_core.ids import NULL_REF
from xenapi_core.testing.virtual_time import drive

ROWS = (
    "name_label", "name_description", "user_version", "is_a_template", "memory_static_max", "memory_dynamic_max",
    "memory_dynamic_min", "memory_static_min", "VCPUs_params", "VCPUs_max", "VCPUs_at_startup",
    "actions_after_shutdown", "actions_after_reboot", "actions_after_crash", "PV_bootloader", "PV_kernel", "PV_ramdisk",
    "PV_args", "PV_bootloader_args", "HVM_boot_policy", "HVM_boot_params", "platform", "PCI_bus", "other_config",
)  # fmt: skip


def vm_record(**more: Any) -> dict[str, Any]:
    """The constructor record of a VM as a client of 1.0 writes it."""
    values = dict.fromkeys(ROWS, "")
    numbers = dict.fromkeys((name for name in ROWS if name.startswith("memory")), str(1 << 28))
    maps: dict[str, Any] = {name: {} for name in ("VCPUs_params", "HVM_boot_params", "platform", "other_config")}
    return {
        **values, **numbers, **maps, "name_label": "made", "user_version": "1", "is_a_template": 0, "VCPUs_max": "2",
        "VCPUs_at_startup": "2", "actions_after_shutdown": "destroy", "actions_after_reboot": "restart",
        "actions_after_crash": "rename_restart", "PV_bootloader": "pygrub", **more,
    }  # fmt: skip


def param(value: str) -> str:
    return f"<param>\n<value>{value}</value>\n</param>\n"


def text(value: str) -> str:
    return f"<string>{value}</string>"


async def post(pool: ApiPool, method: str, *values: str) -> Any:
    """The value of a request in the very form of that time's xmlrpclib. Raises Refused."""
    body = (
        f"<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>\n"
        f"{''.join(map(param, values))}</params>\n</methodCall>\n"
    )
    reply = pool.dispatcher.handle(pool.codec.decode(body.encode()), pool.codec, TCP)
    clock = pool.clock
    assert isinstance(clock, VirtualClock)
    return value_of(await drive(clock, reply) if inspect.isawaitable(reply) else reply)


# login args


async def test_login_takes_two_arguments_or_more() -> None:
    async with api_pool() as pool:
        session = await post(pool, "session.login_with_password", text("root"), text("secret"))
        assert await post(pool, "session.get_uuid", text(session), text(session))
        for more in (("1.0",), ("1.0", "xm"), ("1.0", "xm", "left", "over")):
            assert await pool.call("session.login_with_password", "root", "secret", *more)
        assert (await pool.refusal("session.login_with_password", "root"))[0] == "MESSAGE_PARAMETER_COUNT_MISMATCH"


# VM.start / resume


@pytest.mark.parametrize("paused", ["<int>0</int>", "<string>0</string>", "<boolean>0</boolean>", "0"])
@pytest.mark.parametrize("message", ["VM.start", "VM.resume"])
async def test_start_and_resume_take_numbers_for_booleans_and_no_force(message: str, paused: str) -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(power_state="Paused")
        expected = await pool.refusal(message, session, vm, False)
        assert expected[:2] == ["VM_BAD_POWER_STATE", vm]
        with pytest.raises(Refused) as refused:
            await post(pool, message, text(session), text(vm), paused)
        assert refused.value.description == expected


# VM.clone / VM.snapshot


async def test_clone_without_a_name_has_the_name_of_its_source() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(name_label="source")
        same = await post(pool, "VM.clone", text(session), text(vm))
        other = await pool.call("VM.clone", session, vm, "other")
        assert await pool.call("VM.get_name_label", session, same) == "source"
        assert await pool.call("VM.get_name_label", session, other) == "other"


# host.disable


async def test_host_is_disabled_with_and_without_the_later_parameter() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        for more in ((), ("<boolean>0</boolean>",)):
            await post(pool, "host.disable", text(session), text(pool.host), *more)
            assert await pool.call("host.get_enabled", session, pool.host) is False
            pool.change(pool.host, enabled=True)


# VTPM.create


async def test_vtpm_is_created_from_a_record_or_from_parameters() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        modern = await outcome(pool, "VTPM.create", session, vm, False)
        assert await outcome(pool, "VTPM.create", session, {"VM": vm, "backend": "", "other_config": {}}) == modern
        missing = await pool.refusal("VTPM.create", session, {"backend": ""})
        assert missing == ["INTERNAL_ERROR", 'Server_helpers.Dispatcher_FieldNotFound("VM")']
        nobody = await pool.refusal("VTPM.create", session, {"VM": "OpaqueRef:none"})
        assert nobody == ["HANDLE_INVALID", "VM", "OpaqueRef:none"]
        counted = await pool.refusal("VTPM.create", session, vm)
        assert counted == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VTPM.create", "2", "1"]


async def outcome(pool: ApiPool, method: str, session: str, *params: Any) -> str:
    """ "made", after which what was made is gone again; or the code of the refusal."""
    try:
        made = await pool.call(method, session, *params)
    except Refused as refused:
        return refused.description[0]
    await pool.call(method.replace("create", "destroy"), session, made)
    return "made"


# VBD.create etc.


async def test_vbd_record_names_the_device_and_leaves_out_what_is_younger() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        disk = pool.add("VDI", SR=pool.add("SR"), type="user", virtual_size=1 << 20, managed=True)
        record = {
            "VM": vm, "VDI": disk, "device": "xvdb", "bootable": 1, "mode": "rw", "type": "disk", "uuid": "mine",
            "currently_attached": 0, "status_code": "0", "runtime_properties": {}, "metrics": "", "driver": "tap",
        }  # fmt: skip
        vbd = await pool.call("VBD.create", session, record)
        made = await pool.call("VBD.get_record", session, vbd)
        assert (made["userdevice"], made["mode"], made["type"]) == ("xvdb", "RW", "Disk")
        assert made["bootable"] is True
        assert made["uuid"] != "mine"
        drive_ref = await pool.call(
            "VBD.create", session, {"VM": vm, "VDI": "", "device": "hdc:cdrom", "mode": "RO", "type": "Disk"}
        )
        made = await pool.call("VBD.get_record", session, drive_ref)
        assert (made["userdevice"], made["type"], made["empty"], made["VDI"]) == ("hdc", "CD", True, NULL_REF)


async def test_vif_record_with_empty_texts_gets_the_next_place_and_the_networks_mtu() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        network = pool.add("network", MTU=1500)
        made = [
            await pool.call(
                "VIF.create", session, {"VM": vm, "network": network, "device": device, "MAC": "", "MTU": mtu}
            )
            for device, mtu in (("", ""), ("eth3", "9000"), ("", 1400))
        ]
        records = [await pool.call("VIF.get_record", session, vif) for vif in made]
        assert [(r["device"], r["MTU"]) for r in records] == [("0", "1500"), ("3", "9000"), ("1", "1400")]
        assert all(r["MAC"] for r in records)


async def test_vm_record_of_1_0_is_complete_and_its_own_settings_are_kept() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        record = vm_record(
            auto_power_on=1, power_state="Crashed", security_label="", resident_on="", pool_name="fast"
        )  # fmt: skip
        vm = await pool.call("VM.create", session, record)
        made = await pool.call("VM.get_record", session, vm)
        assert made["power_state"] == "Halted"
        assert made["actions_after_crash"] == "rename_restart"
        assert await pool.call("VM.get_auto_power_on", session, vm) is True
        assert await pool.call("VM.get_pool_name", session, vm) == "fast"
        without = vm_record()
        del without["PV_bootloader"]
        error = await pool.refusal("VM.create", session, without)
        assert error == ["INTERNAL_ERROR", 'Server_helpers.Dispatcher_FieldNotFound("PV_bootloader")']


async def test_network_record_of_1_0_keeps_its_gateway() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        record = {"name_label": "lan", "name_description": "", "default_gateway": "192.0.2.1", "default_netmask": ""}
        network = await pool.call("network.create", session, {**record, "other_config": {}})
        assert await pool.call("network.get_default_gateway", session, network) == "192.0.2.1"
        assert await pool.call("network.get_other_config", session, network) == {"default_gateway": "192.0.2.1"}


# ints in args


async def test_integers_come_as_text_or_as_numbers() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for value in ("<int>3</int>", "<string>4</string>", "<i4>5</i4>", "6"):
            await post(pool, "VM.set_user_version", text(session), text(vm), value)
            assert (
                await pool.call("VM.get_user_version", session, vm)
                == value[-1 if value == "6" else value.index(">") + 1]
            )


# events


async def test_event_next_tells_the_uuid_and_the_record_of_what_changed() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        empty = "<array><data>\n</data></array>"
        assert await post(pool, "event.register", text(session), empty) == ""
        await pool.call("VM.set_name_label", session, vm, "renamed")
        (event,) = await post(pool, "event.next", text(session))
        uuid = await pool.call("VM.get_uuid", session, vm)
        assert {key: event[key] for key in ("class", "operation", "ref", "obj_uuid")} == {
            "class": "vm", "operation": "mod", "ref": vm, "obj_uuid": uuid,
        }  # fmt: skip
        assert event["snapshot"]["name_label"] == "renamed"
        batch = await pool.call("event.from", session, ["VM"], "", 0.0)
        assert {event["class"] for event in batch["events"]} == {"vm"}
        assert all("obj_uuid" not in event for event in batch["events"])
        await post(pool, "event.unregister", text(session), empty.replace("\n", "<value><string>*</string></value>"))
        assert await pool.refusal("event.next", session) == ["SESSION_NOT_REGISTERED", session]


# task.result


async def test_task_result_is_wrapped_and_progress_is_a_fraction() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        task = await post(pool, "Async.VM.clone", text(session), text(vm))
        while await pool.call("task.get_status", session, task) == "pending":
            await pool.clock.advance(1)
        record = await pool.call("task.get_record", session, task)
        assert record["result"].startswith("<value>OpaqueRef:")
        assert record["progress"] == 1.0
        assert isinstance(record["progress"], float)


# refs


async def test_uuid_stands_for_a_reference_of_its_class_wherever_one_belongs() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        uuid = await pool.call("VM.get_uuid", session, vm)
        host = await pool.call("host.get_uuid", session, pool.host)
        assert await post(pool, "VM.get_name_label", text(session), text(uuid)) == "vm"
        await pool.call("VM.set_affinity", session, uuid, host)
        assert await pool.call("VM.get_affinity", session, vm) == pool.host
        network = pool.add("network", MTU=1500)
        network_uuid = await pool.call("network.get_uuid", session, network)
        vif = await pool.call("VIF.create", session, {"VM": uuid, "network": network_uuid})
        assert await pool.call("VIF.get_VM", session, vif) == vm
        group = pool.add("VM_group", placement="normal")
        group_uuid = await pool.call("VM_group.get_uuid", session, group)
        await pool.call("VM.set_groups", session, uuid, [group_uuid])
        assert await pool.call("VM.get_groups", session, vm) == [group]
        wrong_class = await pool.refusal("VM.get_name_label", session, network_uuid)
        assert wrong_class == ["HANDLE_INVALID", "VM", network_uuid]


async def test_uuid_of_a_session_is_no_session() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        uuid = await pool.call("session.get_uuid", session, session)
        assert await pool.refusal("VM.get_all", uuid) == ["SESSION_INVALID", uuid]
        assert await pool.refusal("session.get_record", session, uuid) == ["HANDLE_INVALID", "session", uuid]


# errors


async def test_errors_are_those_of_later_versions() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        assert await pool.refusal("VM.start", session) == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.start", "3", "0"]
        for message in ("VM.start", "VM.resume"):  # both APIs ask for start_paused
            refused = await pool.refusal(message, session, vm)
            assert refused == ["MESSAGE_PARAMETER_COUNT_MISMATCH", message, "3", "1"]
        assert await pool.refusal("VM.pause", session, vm) == ["VM_BAD_POWER_STATE", vm, "running", "halted"]
        refused = await pool.refusal("session.login_with_password", "root", "wrong")
        assert refused[:2] == ["SESSION_AUTHENTICATION_FAILED", "root"]


# get_by_name_label


async def test_get_by_name_label_is_a_set() -> None:
    async with api_pool() as pool:
        session, one, two = await pool.login(), pool.add_vm(name_label="same"), pool.add_vm(name_label="same")
        assert sorted(await post(pool, "VM.get_by_name_label", text(session), text("same"))) == sorted([one, two])
        assert await post(pool, "VM.get_by_name_label", text(session), text("none")) == []


# enums


async def test_enumerations_are_the_union_of_both_apis_in_any_case() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for value in ("rename_restart", "preserve", "coredump_and_destroy"):
            await pool.call("VM.set_actions_after_crash", session, vm, value)
            assert await pool.call("VM.get_actions_after_crash", session, vm) == value
        await pool.call("VM.set_actions_after_shutdown", session, vm, "RESTART")
        assert await pool.call("VM.get_actions_after_shutdown", session, vm) == "restart"
        for state in ("Crashed", "unknown"):
            made = await pool.call("VM.create", session, vm_record(power_state=state))
            assert await pool.call("VM.get_power_state", session, made) == "Halted"


# calls that only test clients


async def test_debug_calls_fail_wait_and_make_objects() -> None:
    async with api_pool() as pool:
        session = await pool.login()
        assert (await pool.refusal("debug.return_failure", session))[0] == "OPERATION_NOT_ALLOWED"
        assert await pool.refusal("debug.wait", session, 3601.0) == ["INVALID_VALUE", "time", "3601"]
        waiting = asyncio.ensure_future(pool.call("debug.wait", session, 2.5))
        await pool.clock.advance(2.4)
        assert not waiting.done()
        await pool.clock.advance(0.2)
        assert await waiting == ""
        made = await pool.call("debug.create", session, {})
        assert await pool.call("debug.get_all", session) == [made]
        await pool.call("debug.destroy", session, made)
        assert await pool.call("debug.get_all", session) == []


async def test_sessions_are_listed_to_their_owner_only() -> None:
    async with api_pool() as pool:
        session, other = await pool.login(), await pool.login("read-only")
        assert await pool.call("session.get_all", session) == [session]
        assert list(await pool.call("session.get_all_records", other)) == [other]


async def test_mandatory_access_control_is_off_and_cannot_be_switched_on() -> None:
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        assert await pool.call("XSPolicy.get_xstype", session) == "0"
        assert await pool.call("XSPolicy.getenforce", session) == "0"
        assert await pool.call("XSPolicy.get_labeled_resources", session) == {}
        assert await pool.call("XSPolicy.get_resource_label", session, "vdi") == ""
        assert await pool.call("VM.get_security_label", session, vm) == ""
        state = await pool.call("XSPolicy.get_xspolicy", session)
        assert (state["type"], state["flags"], state["xs_ref"], state["xserr"]) == ("0", "0", "", "0")
        vif, vdi, policy = pool.add("VIF", VM=vm), pool.add("VDI"), pool.add("XSPolicy")
        for number, *call in (
            (-0x100F, "XSPolicy.set_xspolicy", 1, "<xml/>", 3, True),
            (-0x100F, "XSPolicy.reset_xspolicy", 1),
            (-0x100F, "XSPolicy.setenforce", 1),
            (-0x100F, "XSPolicy.activate_xspolicy", policy, 1),
            (-0x1016, "XSPolicy.rm_xsbootpolicy"),
            (-0x1016, "ACMPolicy.get_VM_ssidref", vm),
            (-0x1007, "XSPolicy.can_run", "blue"),
            (-0x100A, "XSPolicy.can_run", "FLASK:example:blue"),
            (-0x1014, "XSPolicy.can_run", "ACM:example:blue"),
            (-0x1008, "XSPolicy.set_resource_label", "phy:/dev/sda", "", ""),
            (-0x1014, "XSPolicy.set_resource_label", "phy:/dev/sda", "ACM:example:blue", ""),
            (-0x1014, "VM.set_security_label", vm, "ACM:example:blue", ""),
            (-0x1007, "VIF.set_security_label", vif, "ACM::blue", ""),
            (-0x1008, "VDI.set_security_label", vdi, "", ""),
        ):
            assert (await pool.refusal(call[0], session, *call[1:]))[:2] == ["SECURITY_ERROR", str(number)]
        nowhere = ["HANDLE_INVALID", "ACMPolicy", "OpaqueRef:none"]
        assert await pool.refusal("ACMPolicy.get_header", session, "OpaqueRef:none") == nowhere
