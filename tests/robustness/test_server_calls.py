"""Every message of the schema, called with arguments no client should send, on a real server: each gets a reply."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from server_client import Wire, answers, api_result, check_sound, json_call, login, xml_call

from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.types import (
    BoolType,
    DateTimeType,
    EnumType,
    FloatType,
    IntType,
    MapType,
    Mismatch,
    OptionType,
    RecordType,
    RefType,
    SetType,
    Type,
)

# These end the session of the walk or its connection, wait for something that does not come, or lock its account out.
NOT_WALKED = {
    "session.logout", "session.local_logout", "session.change_password", "session.logout_subject_identifier",
    "session.login_with_password", "event.next", "event.from", "host.restart_agent", "host.set_https_only",
    "pool.set_https_only",
}  # fmt: skip
WRONG: tuple[Any, ...] = (
    17, -1, 1.5, True, None, "", "x", [], ["x"], {}, {"a": "b"}, [[[]]], [{"a": []}], {"a": {"b": [None]}}, 10**30,
)  # fmt: skip
# What an INTERNAL_ERROR may say (API reference: wrong types, fields missing in a record, what the reference server
# has no code for); anything else is a bug of ours.
TOLD = ('Failure("Expected ', "Server_helpers.Dispatcher_FieldNotFound(", "missing column", "Cannot_eject_master")


def in_session(name: str, session: str, args: list[Any]) -> list[Any]:
    return [session, *args] if SCHEMA.methods[name].message.session else args


def fits(name: str, args: list[Any]) -> bool:
    """Whether each argument has the type of its parameter."""
    with suppress(Mismatch):
        for param, arg in zip(SCHEMA.methods[name].params, args, strict=False):
            param.type.accept(arg)
        return True
    return False


def check(name: str, args: list[Any], status: str, value: Any) -> None:
    if status == "Failure":
        assert value, (name, args)
        assert value[0] not in ("SESSION_INVALID",), (name, "ended the session of the walk")
        if value[0] == "INTERNAL_ERROR":
            assert value[1].startswith(TOLD), (name, args, value)
            assert "log id" not in value[1]


def wrongly_typed() -> Iterator[tuple[str, list[Any]]]:
    """Each message with several wrong values for all its parameters, for the required ones, too many and too few."""
    for number, (name, method) in enumerate(SCHEMA.methods.items()):
        if name in NOT_WALKED:
            continue
        # a message that only reads one field has little to get wrong
        step = 5 if method.message.derived == "get" else 2
        for value in WRONG[number % step :: step]:
            yield name, [value] * len(method.params)
            if method.required < len(method.params):
                yield name, [value] * method.required
        yield name, ["x"] * (len(method.params) + 1)
        if method.required:
            yield name, ["x"] * (method.required - 1)


def test_every_message_answers_wrongly_typed_arguments_over_json(server):
    calls = list(wrongly_typed())
    assert len(calls) > 10_000
    session = login(server)
    with Wire(server, "xenapi") as wire:
        requests = (json_call(name, in_session(name, session, args)) for name, args in calls)
        for (name, args), reply in zip(calls, answers(wire, requests), strict=True):
            status, value = api_result(reply)
            check(name, args, status, value)
            assert status == "Failure" or fits(name, args), (name, args)
    check_sound(server)


def test_every_message_answers_wrongly_typed_arguments_over_xml(server):
    calls = [call for call in wrongly_typed() if 10**30 not in call[1]][::3]
    session = login(server)
    with Wire(server, "socket") as wire:
        requests = (xml_call(name, *in_session(name, session, args)) for name, args in calls)
        for (name, args), reply in zip(calls, answers(wire, requests), strict=True):
            check(name, args, *api_result(reply))
    check_sound(server)


STRINGS = (
    "0", "1", "web-0", "eth0", "nfs", "user", "iso", "", "x", "\0", "a" * 700, "OpaqueRef:NULL", "é\U0001f600",
    "%s%n{0}", "../../etc/passwd", "-1", "20260101T00:00:00Z", "\x1b[31m", "\ufffe", "]]>&<", "'; --",
)  # fmt: skip
INTS = (0, 1, 2, 5, 4096, 1 << 30, -1, (1 << 63) - 1, -(1 << 63), 1 << 31, "7")
FLOATS = (0.0, 1.0, -1.0, 1e308, 5e-324, "nan", "inf", "-inf")
TIMES = ("00010101T00:00:00Z", "99991231T23:59:59+23:59", "19700101T00:00:00Z", 0, -(1 << 62), 1 << 62)
NOWHERE = ("", "OpaqueRef:NULL", "OpaqueRef:00000000-0000-0000-0000-000000000000", "nonsense")


class Hostile:
    """Values that have the right type and make no sense; references mostly name real objects."""

    def __init__(self, seed: int, refs: dict[str, list[str]]) -> None:
        self.random = random.Random(seed)
        self.refs = refs

    def of(self, kind: Type, depth: int = 0) -> Any:
        pick = self.random.choice
        match kind:
            case EnumType():
                return pick(kind.values)
            case RefType():
                chance = self.random.random()
                if chance < 0.9 and kind.cls in self.refs:
                    return pick(self.refs[kind.cls])
                return pick(self.refs[pick(list(self.refs))] if chance < 0.95 else NOWHERE)
            case SetType():
                return [self.of(kind.item, depth + 1) for _ in range(1 if depth else pick((0, 1, 2, 2, 50)))]
            case MapType():
                size = 1 if depth else pick((0, 1, 3, 50))
                return {str(self.of(kind.key, depth + 1)): self.of(kind.value, depth + 1) for _ in range(size)}
            case RecordType():
                fields = SCHEMA[kind.cls].fields
                return {f.name: self.of(f.type, depth + 1) for f in fields if self.random.random() < 0.97}
            case OptionType():
                return self.of(kind.item, depth)
        values = {IntType: INTS, FloatType: FLOATS, BoolType: (True, False), DateTimeType: TIMES}
        return pick(values.get(type(kind), STRINGS))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_message_answers_arguments_that_make_no_sense(serve, seed):
    """In random order, each several times, so that later calls meet what earlier ones made of the pool."""
    server = serve("--speed", "1000")
    session = login(server)
    with Wire(server, "xenapi") as wire:
        refs: dict[str, list[str]] = {}
        for cls in SCHEMA.classes:
            if f"{cls}.get_all" in SCHEMA.methods:
                status, found = api_result(wire.ask(json_call(f"{cls}.get_all", [session])))
                if status == "Success" and found:
                    refs[cls] = found
        assert {"VM", "host", "VBD", "VIF", "VDI", "SR", "network", "PIF"} <= set(refs)
        hostile = Hostile(seed, refs)
        names = [name for name in SCHEMA.methods if name not in NOT_WALKED]
        reads = [name for name in names if SCHEMA.methods[name].message.derived == "get"]
        acts = [name for name in names if SCHEMA.methods[name].message.derived != "get"]
        order = [*reads, *acts, *acts, *acts]
        hostile.random.shuffle(order)
        done = 0
        for name in order:
            args = [hostile.of(param.type) for param in SCHEMA.methods[name].params]
            status, value = api_result(wire.ask(json_call(name, in_session(name, session, args))))
            check(name, args, status, value)
            done += status == "Success"
        assert done > 1000
        # what they left behind can be read, in both spellings, and by CIM (check_sound)
        for cls in refs:
            for call in (xml_call(f"{cls}.get_all_records", session), json_call(f"{cls}.get_all_records", [session])):
                assert api_result(wire.ask(call))[0] == "Success"
    check_sound(server)


@pytest.mark.parametrize(
    "name",
    [".", "VM", "VM.", ".start", "VM.no_such", "no_such.start", "Async.", "Async.Async.VM.start", "VM.start.",
     "__class__.__init__", "VM.__class__", "VM_", "_", "a" * 5000, "VM.st\nart", "é", "system.", "system.no_such"],
)  # fmt: skip
def test_names_that_are_no_message_are_unknown(server, name):
    session = login(server)
    with Wire(server, "xenapi") as wire:
        for call in (json_call(name, [session]), json_call(name, []), xml_call(name, session), xml_call(name)):
            status, value = api_result(wire.ask(call))
            assert (status, value[0]) == ("Failure", "MESSAGE_METHOD_UNKNOWN")
    check_sound(server, ("xenapi",))


@pytest.mark.parametrize("classes", [[""], ["VM/"], ["/"], ["no such"], ["*/x"], ["vm/OpaqueRef:x", "*"], ["a" * 9000]])
@pytest.mark.parametrize("token", ["", "x", "1,2,3", "-1,-1", "9" * 40 + ",0", "00000000000000000000,\0"])
@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_event_from_answers_any_subscription_and_token(server, classes, token, timeout):
    session = login(server)
    with Wire(server, "xenapi") as wire:
        status, value = api_result(wire.ask(json_call("event.from", [session, classes, token, timeout])))
        assert status == "Success" or value[0] in (
            "EVENT_SUBSCRIPTION_PARSE_FAILURE", "EVENT_FROM_TOKEN_PARSE_FAILURE", "EVENTS_LOST"
        )  # fmt: skip
        assert status != "Success" or "token" in value
    check_sound(server, ("xenapi",))


def test_a_vm_has_no_more_processors_than_can_be_listed(server):
    """CIM shows each processor as an object: without a bound one VM would make every listing endless."""
    session = login(server)
    with Wire(server, "xenapi") as wire:

        def call(name: str, *args: Any) -> tuple[str, Any]:
            return api_result(wire.ask(json_call(name, [session, *args])))

        (vm,) = call("VM.get_by_name_label", "build-2")[1]
        huge = 1 << 30
        assert call("VM.set_VCPUs_max", vm, huge) == ("Failure", ["INVALID_VALUE", "VCPUs_max", str(huge)])
        record = call("VM.get_record", vm)[1]
        for field in ("VCPUs_max", "VCPUs_at_startup"):
            status, value = call("VM.create", {**record, field: huge})
            assert (status, value) == ("Failure", ["INVALID_VALUE", field, str(huge)])
        assert call("VM.set_VCPUs_max", vm, 64)[0] == "Success"


def test_interfaces_that_stand_on_each_other_in_a_circle_end(server):
    """VLAN.pool_introduce writes records as they are given, unless they have no end."""
    session = login(server)
    with Wire(server, "xenapi") as wire:

        def call(name: str, *args: Any) -> tuple[str, Any]:
            return api_result(wire.ask(json_call(name, [session, *args])))

        pif, other = call("PIF.get_all")[1][:2]
        refused = ("Failure", ["INVALID_VALUE", "untagged_PIF", pif])
        assert call("VLAN.pool_introduce", pif, pif, 7, {}) == refused
        assert call("VLAN.pool_introduce", other, pif, 7, {})[0] == "Success"
        assert call("VLAN.pool_introduce", pif, other, 7, {})[1][:2] == ["INVALID_VALUE", "untagged_PIF"]
        status, network = call("PIF.get_network", pif)
        assert status == "Success"
        for name, arg in (
            ("pool.management_reconfigure", network), ("PIF.plug", pif), ("PIF.unplug", pif),
            ("host.management_reconfigure", pif), ("PIF.forget", pif),
        ):  # fmt: skip
            status, value = call(name, arg)
            assert status == "Success" or value[0] != "INTERNAL_ERROR", (name, value)
    check_sound(server)
