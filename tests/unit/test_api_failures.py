"""Generic failures, row by row (API reference: unknown messages, counts, types, references, Async forms)."""

from __future__ import annotations

import json

import pytest
from api_pool import TCP, api_pool

from xenapi_core.wire.jsonrpc import JsonRpc


async def test_unknown_method_with_params_checks_the_session_first():
    async with api_pool() as pool:
        assert await pool.refusal("VM.fly", "OpaqueRef:nobody") == ["SESSION_INVALID", "OpaqueRef:nobody"]
        session = await pool.login()
        assert await pool.refusal("VM.fly", session) == ["MESSAGE_METHOD_UNKNOWN", "VM.fly"]


async def test_unknown_method_without_params_is_unknown():
    async with api_pool() as pool:
        assert await pool.refusal("VM.fly") == ["MESSAGE_METHOD_UNKNOWN", "VM.fly"]


async def test_underscore_form_of_a_name_is_accepted():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm(name_label="one")
        assert await pool.call("VM_get_name_label", session, vm) == "one"
        assert await pool.call("VM.get_name_label", session, vm) == "one"


@pytest.mark.parametrize(("extra", "received"), [((), "0"), (("a", "b"), "2")])
async def test_wrong_parameter_count_is_told_without_the_session(extra, received):
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("VM.get_name_label", session, *extra) == [
            "MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_name_label", "1", received,
        ]  # fmt: skip


async def test_missing_session_counts_as_minus_one():
    async with api_pool() as pool:
        assert await pool.refusal("VM.get_all") == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_all", "0", "-1"]


async def test_extra_arguments_are_ignored_only_with_default_arguments():
    async with api_pool() as pool:
        session = await pool.call("session.login_with_password", "root", "secret", "1.0", "test", "more", "and more")
        assert session.startswith("OpaqueRef:")
        described = await pool.refusal("VM.get_all", session, "more")
        assert described == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_all", "0", "1"]
        assert (await pool.refusal("session.login_with_password", "root"))[0] == "MESSAGE_PARAMETER_COUNT_MISMATCH"


async def test_arguments_api_1_0_clients_leave_out_get_defaults():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm(power_state="Running")
        described = await pool.refusal("VM.start", session, vm, False)
        assert described == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
        described = await pool.refusal("VM.start", session)
        assert described == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.start", "3", "0"]


async def test_removed_message_is_told_after_the_session_check():
    async with api_pool() as pool:
        assert (await pool.refusal("VM.snapshot_with_quiesce", "x", "y", "z"))[0] == "SESSION_INVALID"
        session = await pool.login()
        assert await pool.refusal("VM.snapshot_with_quiesce", session, "y", "z") == ["MESSAGE_REMOVED"]


async def test_async_form_of_a_synchronous_message_is_a_fault():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm()
        assert await pool.refusal("Async.VM.get_record", session, vm) == [
            "Fault",
            "No async mode for this operation (rpc: VM.get_record)",
        ]
        assert (await pool.refusal("Async.session.login_with_password", "root", "secret"))[0] == "Fault"


async def test_wrong_type_is_an_internal_error_that_names_what_was_expected():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm()
        assert await pool.refusal("VM.set_is_a_template", session, vm, "x") == [
            "INTERNAL_ERROR",
            "Failure(\"Expected bool, got 'S(x)'\")",
        ]


async def test_unknown_enum_value_is_an_internal_error():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm()
        code, text = await pool.refusal("VM.set_actions_after_shutdown", session, vm, "explode")
        assert code == "INTERNAL_ERROR"
        assert "on_normal_exit" in text


async def test_missing_mandatory_field_of_a_record_is_named():
    async with api_pool() as pool:
        session = await pool.login()
        described = await pool.refusal("VDI.create", session, {"name_label": "disk"})
        assert described == ["INTERNAL_ERROR", 'Server_helpers.Dispatcher_FieldNotFound("SR")']


async def test_bad_session_is_session_invalid():
    async with api_pool() as pool:
        for bad in ("OpaqueRef:NULL", "", "OpaqueRef:00000000-0000-0000-0000-000000000000"):
            assert await pool.refusal("VM.get_all", bad) == ["SESSION_INVALID", bad]


async def test_bad_reference_is_handle_invalid_with_its_class():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm()
        assert await pool.refusal("VM.get_record", session, "OpaqueRef:x") == ["HANDLE_INVALID", "VM", "OpaqueRef:x"]
        assert await pool.refusal("VM.get_record", session, pool.host) == ["HANDLE_INVALID", "VM", pool.host]
        assert await pool.refusal("VM.get_record", session, "") == ["HANDLE_INVALID", "VM", "OpaqueRef:NULL"]
        assert await pool.refusal("VM.set_affinity", session, vm, vm) == ["HANDLE_INVALID", "host", vm]


async def test_null_reference_is_a_value_where_it_means_nothing():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm(affinity=pool.host)
        await pool.call("VM.set_affinity", session, vm, "OpaqueRef:NULL")
        assert await pool.call("VM.get_affinity", session, vm) == "OpaqueRef:NULL"


async def test_uuid_stands_for_a_reference_of_its_class():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm(name_label="one")
        uuid = await pool.call("VM.get_uuid", session, vm)
        assert await pool.call("VM.get_name_label", session, uuid) == "one"
        assert await pool.refusal("host.get_uuid", session, uuid) == ["HANDLE_INVALID", "host", uuid]


async def test_bad_uuid_is_uuid_invalid():
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("VM.get_by_uuid", session, "nope") == ["UUID_INVALID", "VM", "nope"]


async def test_name_without_an_object_is_an_empty_set():
    async with api_pool() as pool:
        assert await pool.call("VM.get_by_name_label", await pool.login(), "nobody") == []


async def test_message_without_behaviour_is_not_implemented_in_both_forms():
    async with api_pool() as pool:
        session = await pool.login()
        assert await pool.refusal("host.license_remove", session, pool.host) == [
            "NOT_IMPLEMENTED",
            "host.license_remove",
        ]
        assert (await pool.refusal("Async.host.license_remove", session, pool.host))[0] == "NOT_IMPLEMENTED"


async def test_exception_is_an_internal_error_with_a_log_id(caplog):
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm(VCPUs_max="not a number")  # a record no setter would make
        code, text = await pool.refusal("VM.set_VCPUs_at_startup", session, vm, "1")
        assert code == "INTERNAL_ERROR"
        logged = caplog.records[-1].getMessage()
        assert text.split("log id ")[1].rstrip(")") in logged
        assert "Traceback" in logged


async def test_list_methods_is_a_bare_list_without_a_session():
    async with api_pool() as pool:
        names = await pool.call("system.listMethods")
        assert {"VM.start", "VM.get_all_records", "session.login_with_password"} <= set(names)
        assert not {"VM.snapshot_with_quiesce", "VM.get_all_where"} & set(names)
        assert await pool.call("host.list_methods", await pool.login()) == names


async def test_is_alive_answers_with_its_argument():
    async with api_pool() as pool:
        assert await pool.call("system.isAlive:1", "hello") == "hello"


async def test_json_rpc_gets_the_same_answers():
    async with api_pool() as pool:
        session, codec = await pool.login(), JsonRpc()
        vm = pool.add_vm(name_label="one")

        def ask(method, *params):
            body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}).encode()
            return json.loads(pool.dispatcher.handle(codec.decode(body), codec, TCP))

        assert ask("VM.get_name_label", session, vm) == {"jsonrpc": "2.0", "id": 7, "result": "one"}
        assert ask("VM.get_all_records", session)["result"][vm]["name_label"] == "one"
        failure = ask("VM.get_name_label", session, "OpaqueRef:x")["error"]
        assert (failure["message"], failure["data"]) == ("HANDLE_INVALID", ["VM", "OpaqueRef:x"])
