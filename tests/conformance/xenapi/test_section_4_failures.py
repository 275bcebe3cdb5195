"""Generic failures, row by row: what each wrong call is told, word for word."""

from __future__ import annotations

import pytest
from server_client import post
from xenapi_rows import document, failure, success


def text(words: str) -> str:
    return f"<value>{words}</value>"


SESSION, VM = text("$session"), text("$vm")
NO_ASYNC = "No async mode for this operation (rpc: {})"
LOGIN = "session.login_with_password"
INVALID = ("SESSION_INVALID", "no")


def expected(kind: str) -> tuple[str, str]:
    return "INTERNAL_ERROR", f"Failure(&quot;Expected {kind}, got 'S(x)'&quot;)"


# method, parameters, ErrorDescription
ROWS = [
    ("VM.no_such", [text("no")], INVALID),
    ("VM.no_such", [SESSION], ("MESSAGE_METHOD_UNKNOWN", "VM.no_such")),
    ("VM.no_such", [], ("MESSAGE_METHOD_UNKNOWN", "VM.no_such")),
    ("no_such", [SESSION, VM], ("MESSAGE_METHOD_UNKNOWN", "no_such")),
    ("Async.VM.no_such", [text("no")], INVALID),
    ("Async.VM.no_such", [SESSION], ("MESSAGE_METHOD_UNKNOWN", "Async.VM.no_such")),
    ("VM.get_all", [], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_all", "0", "-1")),
    ("VM.get_all", [SESSION, text("a")], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_all", "0", "1")),
    ("VM.get_uuid", [SESSION], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_uuid", "1", "0")),
    ("VM.get_uuid", [SESSION, VM, VM], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_uuid", "1", "2")),
    ("VM.get_uuid", [text("no"), VM, VM], INVALID),
    ("VM_get_uuid", [SESSION], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_uuid", "1", "0")),
    ("VM.snapshot", [SESSION, VM], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.snapshot", "2", "1")),
    ("Async.VM.start", [SESSION, VM, *[text("0")] * 3], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.start", "3", "4")),
    ("session.logout", [], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "session.logout", "0", "-1")),
    ("VM.snapshot_with_quiesce", [SESSION, VM, text("a")], ("MESSAGE_REMOVED",)),
    ("VM.snapshot_with_quiesce", [SESSION], ("MESSAGE_REMOVED",)),
    ("VM.snapshot_with_quiesce", [text("no")], INVALID),
    ("Async.VM.get_all", [SESSION], ("Fault", NO_ASYNC.format("VM.get_all"))),
    ("Async.VM.get_uuid", [SESSION, VM], ("Fault", NO_ASYNC.format("VM.get_uuid"))),
    (f"Async.{LOGIN}", [text("a"), text("b")], ("Fault", NO_ASYNC.format(LOGIN))),
    ("Async.event.next", [SESSION], ("Fault", NO_ASYNC.format("event.next"))),
    ("VM.set_is_default_template", [SESSION, VM, text("x")], expected("bool")),
    ("VM.set_actions_after_crash", [SESSION, VM, text("x")], expected("enum on_crash_behaviour")),
    ("VM.set_ha_restart_priority", [SESSION, VM, text("x")], ("INVALID_VALUE", "ha_restart_priority", "x")),
    ("VM.create", [SESSION, text("x")], expected("VM record")),
    ("VM.get_all", [text("no")], INVALID),
    ("VM.get_all", [text("")], ("SESSION_INVALID", "")),
    ("VM.get_all", [VM], ("SESSION_INVALID", "$vm")),
    ("VM.get_record", [SESSION, text("OpaqueRef:no")], ("HANDLE_INVALID", "VM", "OpaqueRef:no")),
    ("VM.get_record", [SESSION, text("OpaqueRef:NULL")], ("HANDLE_INVALID", "VM", "OpaqueRef:NULL")),
    ("host.get_record", [SESSION, VM], ("HANDLE_INVALID", "host", "$vm")),
    ("VM.start_on", [SESSION, VM, VM, text("0"), text("0")], ("HANDLE_INVALID", "host", "$vm")),
    ("Async.VM.start", [SESSION, text("OpaqueRef:no"), text("0"), text("0")], ("HANDLE_INVALID", "VM", "OpaqueRef:no")),
    ("VM.get_by_uuid", [SESSION, text("no")], ("UUID_INVALID", "VM", "no")),
    ("host.get_by_uuid", [SESSION, text("")], ("UUID_INVALID", "host", "")),
    ("VM.create_new_blob", [SESSION, VM], ("MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.create_new_blob", "3", "1")),
    ("VM.query_services", [SESSION, VM], ("NOT_IMPLEMENTED", "VM.query_services")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params", "words"), ROWS, ids=[f"{m} {' '.join(p)}" for m, p, _ in ROWS])
def test_a_wrong_call_is_told_what_is_wrong(client, vm, method, params, words):
    def filled(template: str) -> str:
        return template.replace("$session", client.session).replace("$vm", vm)

    reply = client.ask(post(document(method, *map(filled, params))))
    assert (reply.status, reply.body) == (200, failure(*map(filled, words)))


def test_no_match_by_name_is_an_empty_set(client):
    assert client.raw("VM.get_by_name_label", text("no such name")) == success(
        "<value><array><data></data></array></value>"
    )


def test_a_key_that_exists_is_a_duplicate_and_a_missing_one_is_no_failure(client, vm):
    client.call("VM.set_other_config", vm, {})
    assert client.call("VM.add_to_other_config", vm, "k", "1") == ""
    assert client.refusal("VM.add_to_other_config", vm, "k", "2") == [
        "MAP_DUPLICATE_KEY",
        "VM",
        "other_config",
        vm,
        "k",
    ]
    assert client.call("VM.get_other_config", vm) == {"k": "1"}
    assert client.call("VM.remove_from_other_config", vm, "k") == ""
    assert client.call("VM.remove_from_other_config", vm, "k") == ""
    assert client.call("VM.get_other_config", vm) == {}


def test_extra_arguments_are_ignored_where_some_have_defaults(client, vm):
    snapshot = client.call("VM.snapshot", vm, "row", [], "and", "more")
    client.call("VM.destroy", snapshot)


def test_a_failed_write_changes_nothing(client, vm):
    before = client.call("VM.get_record", vm)
    for method, value in (("VM.set_tags", "x"), ("VM.set_VCPUs_max", "0"), ("VM.set_ha_restart_priority", "x")):
        client.refusal(method, vm, value)
    assert client.call("VM.get_record", vm) == before
