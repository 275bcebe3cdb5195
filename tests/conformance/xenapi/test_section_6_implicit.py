"""Implicit methods and the filter language, row by row."""

from __future__ import annotations

import pytest

from xenapi_core.model.catalog import SCHEMA

MISSING = ["INTERNAL_ERROR", "missing column"]


@pytest.fixture(scope="module")
def vms(client, vm):
    client.call("VM.set_tags", vm, ["a", "b"])
    client.call("VM.set_other_config", vm, {"k": "v", "l": "w"})
    client.call("VM.set_blocked_operations", vm, {})
    return client.call("VM.get_all_records")


# expression, and which records it is true of
FILTERS = [
    ("true", lambda r: True),
    ("false", lambda r: False),
    ("not false", lambda r: True),
    ("not not false", lambda r: False),
    ('"a" = "a"', lambda r: True),
    ('"a"="b"', lambda r: False),
    ('"a" = "A"', lambda r: False),
    ('field "name__label" = "rows"', lambda r: r["name_label"] == "rows"),
    ('field "name_label" = "rows"', lambda r: r["name_label"] == "rows"),
    ('"rows" = field "name__label"', lambda r: r["name_label"] == "rows"),
    ('field "name__label" = field "name__label"', lambda r: True),
    ('field "name__label" = "ROWS"', lambda r: False),
    ('\tfield\n"name__label"\r="rows" ', lambda r: r["name_label"] == "rows"),
    ('not field "name__label" = "rows" and true', lambda r: r["name_label"] != "rows"),
    ('(not (field "name__label" = "rows"))', lambda r: r["name_label"] != "rows"),
    ("true or true and false", lambda r: False),
    ("true or (true and false)", lambda r: True),
    ("false and true or true", lambda r: True),
    ("not true or true", lambda r: True),
    ('field "is_a_template" = "true"', lambda r: r["is_a_template"]),
    ('field "is_a_template" = "false"', lambda r: not r["is_a_template"]),
    ('field "is_a_template" = "1"', lambda r: False),
    ('field "VCPUs__max" = "4"', lambda r: r["VCPUs_max"] == "4"),
    ('field "VCPUs_max" = "04"', lambda r: False),
    ('field "power_state" = "Running"', lambda r: r["power_state"] == "Running"),
    ('field "power_state" = "running"', lambda r: False),
    ('field "memory__static_max" = "2147483648"', lambda r: r["memory_static_max"] == "2147483648"),
    ('field "HVM__boot_policy" = ""', lambda r: r["HVM_boot_policy"] == ""),
    ('field "PV__args" = ""', lambda r: r["PV_args"] == ""),
    ('field "snapshot_time" = "19700101T00:00:00Z"', lambda r: str(r["snapshot_time"]) == "19700101T00:00:00Z"),
    ("field \"tags\" = \"('a' 'b')\"", lambda r: r["tags"] == ["a", "b"]),
    ("field \"tags\" = \"('b' 'a')\"", lambda r: False),
    ("field \"other_config\" = \"(('k' 'v') ('l' 'w'))\"", lambda r: r["other_config"] == {"k": "v", "l": "w"}),
    ('field "blocked_operations" = "()"', lambda r: r["blocked_operations"] == {}),
    ('field "resident_on" = "OpaqueRef:NULL"', lambda r: r["resident_on"] == "OpaqueRef:NULL"),
]


@pytest.mark.parametrize(("expression", "is_true"), FILTERS, ids=[e for e, _ in FILTERS])
def test_a_filter_finds_the_records_it_is_true_of(client, vms, expression, is_true):
    expected = {ref for ref, record in vms.items() if is_true(record)}
    found = client.call("VM.get_all_records_where", expression)
    assert set(found) == expected
    assert set(client.call("VM.get_all_where", expression)) == expected
    assert all(found[ref]["uuid"] == vms[ref]["uuid"] for ref in expected)


def test_filter_by_reference(client, vms):
    ref = next(iter(vms))
    assert list(client.call("VM.get_all_records_where", f'field "_ref" = "{ref}"')) == [ref]


@pytest.mark.parametrize(
    "expression",
    ["", " ", "TRUE", "field", 'field "a"', 'field "name__label" = ', "= = =", "(true", "true)", "true and", "and true",
     "true true", "not", "name__label = 'x'", "'a' = 'a'", '"a" == "a"', '"a', "field name = \"x\"", "true;",
     "(" * 5000 + "true" + ")" * 5000],
    ids=lambda text: text[:30] or "empty",
)  # fmt: skip
def test_what_is_no_filter(client, expression):
    words = client.refusal("VM.get_all_records_where", expression)
    assert (words[0], len(words)) == ("INVALID_VALUE", 3)
    assert words[1] == expression
    assert client.refusal("VM.get_all_where", expression) == words


@pytest.mark.parametrize("column", ["nope", "name__Label", "", "name", "__class__"])
def test_a_column_that_is_missing(client, column):
    words = client.refusal("VM.get_all_records_where", f'field "{column}" = "x"')
    assert (words[:2], words[-1]) == (MISSING, column)


def test_records_and_their_fields_are_one(client, vm):
    record = client.call("VM.get_record", vm)
    assert client.call("VM.get_all_records")[vm] == record
    assert vm in client.call("VM.get_all")
    for field, value in record.items():
        told = client.result(f"VM.get_{field}", vm)
        removed = SCHEMA.methods[f"VM.get_{field}"].message.state == "removed"
        assert told == (("Failure", ["MESSAGE_REMOVED"]) if removed else ("Success", value)), field


def test_members_of_sets_are_added_once_and_removed_quietly(client, vm):
    client.call("VM.set_tags", vm, ["a"])
    for call, after in (("add", ["a", "b"]), ("add", ["a", "b"]), ("remove", ["a"]), ("remove", ["a"])):
        assert client.call(f"VM.{call}_tags", vm, "b") == ""
        assert client.call("VM.get_tags", vm) == after


def test_setters_have_no_async_form_and_read_only_fields_no_setter(client, vm):
    assert client.refusal("Async.VM.set_name_label", vm, "x") == [
        "Fault",
        "No async mode for this operation (rpc: VM.set_name_label)",
    ]
    for name in ("VM.set_uuid", "VM.set_power_state", "VM.add_to_name_label", "VM.remove_from_tags"):
        assert client.refusal(name, vm, "x") == ["MESSAGE_METHOD_UNKNOWN", name]


def test_a_create_that_only_makes_a_record_has_an_async_form(client):
    task = client.call("Async.network.create", {"name_label": "row", "other_config": {}})
    record = client.ended(task)
    assert record["status"] == "success", record
    network = record["result"].removeprefix("<value>").removesuffix("</value>")
    assert client.call("network.get_name_label", network) == "row"
    gone = client.ended(client.call("Async.network.destroy", network))
    assert (gone["status"], gone["result"]) == ("success", "<value></value>")
