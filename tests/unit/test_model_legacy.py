"""What API 1.0 has and later versions lack is declared too: data/xenapi_1_0_facts.json has its facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xenapi_core.api.signature import OPTIONAL
from xenapi_core.model.catalog import ONLY_1_0, REFERENCE, SCHEMA
from xenapi_core.model.classes.legacy.messages import LEGACY_MESSAGES
from xenapi_core.model.schema import Method

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "xenapi_1_0_facts.json").read_text())

# The document lists these with a signature that its own text and the server of its time contradict.
MISPRINTED = {"VM.get_pool_name": 1, "ACMPolicy.get_xml": 1}
# Queries of a class that keeps no records, which that server registered for every class alike.
MEANINGLESS = {f"event.{name}" for name in ("get_all", "get_all_records", "get_by_uuid", "get_record", "get_uuid")}
# What the document gives another type than its getters do, or a type that is a number on the wire.
TYPES = {
    "cpu_pool.ncpu": "int", "cpu_pool.host_CPUs": "host_cpu ref set", "XSPolicy.type": "int", "XSPolicy.flags": "int",
    "ACMPolicy.type": "int", "ACMPolicy.flags": "int",
}  # fmt: skip
# Calls of 1.0 that later versions gave other parameters: api/legacy_calls.py understands what a 1.0 client sends.
OTHER_PARAMETERS = {"VTPM.create"}


def counts(method: Method) -> range:
    """How many parameters a call of `method` may have."""
    return range(method.required - len(OPTIONAL.get(method.wire_name, ())), len(method.params) + 1)


@pytest.mark.parametrize("cls", FACTS["documented"])
def test_every_documented_message_can_be_called_with_the_parameters_of_1_0(cls: str) -> None:
    wrong = {}
    for name, given in FACTS["documented"][cls].items():
        wire_name = f"{cls}.{name}"
        method = SCHEMA.methods.get(wire_name)
        given = MISPRINTED.get(wire_name, given)
        if method is None or (given not in counts(method) and wire_name not in OTHER_PARAMETERS):
            wrong[wire_name] = given
    assert not wrong


@pytest.mark.parametrize("cls", FACTS["real"])
def test_messages_that_were_served_without_documentation_are_declared(cls: str) -> None:
    wrong = {}
    for name, given in FACTS["real"][cls].items():
        wire_name = f"{cls}.{name}"
        method = SCHEMA.methods.get(wire_name)
        if wire_name not in MEANINGLESS and (method is None or given not in counts(method)):
            wrong[wire_name] = given
    assert not wrong


@pytest.mark.parametrize("cls", FACTS["fields"])
def test_classes_of_1_0_alone_have_its_fields(cls: str) -> None:
    facts = [line.split("|")[:2] for line in FACTS["fields"][cls]]
    expected = [(name, TYPES.get(f"{cls}.{name}", type_)) for name, type_ in facts]
    assert [(f.name, f.type.name) for f in SCHEMA[cls].fields] == (expected or [("uuid", "string")])


def test_the_classes_of_1_0_alone_are_those_of_the_document() -> None:
    assert {cls.name for cls in ONLY_1_0} == set(FACTS["fields"])


def test_messages_of_1_0_are_shown_apart_and_replace_nothing() -> None:
    later = {cls.name: {m.name for m in cls.messages} for cls in REFERENCE}
    for cls, messages in LEGACY_MESSAGES.items():
        assert all(message.legacy for message in messages)
        assert not later[cls] & {message.name for message in messages}


def test_differences_that_are_named_here_are_real() -> None:
    for wire_name, count in MISPRINTED.items():
        cls, name = wire_name.split(".")
        assert FACTS["documented"][cls][name] != count
    assert not MEANINGLESS & SCHEMA.methods.keys()
    for wire_name in OTHER_PARAMETERS:
        cls, name = wire_name.split(".")
        assert FACTS["documented"][cls][name] not in counts(SCHEMA.methods[wire_name])


def test_every_documented_message_is_listed_to_clients() -> None:
    later = json.loads((Path(__file__).parent / "data" / "xenapi_facts.json").read_text())
    documented = {
        f"{cls}.{line.split('|')[0]}"
        for cls, facts in later["classes"].items()
        for line in (*facts["messages"], *facts["implicit"])
        if "hidden" not in line.split("|")[6].split() and line.split("|")[5] != "removed"
    }
    earlier = {f"{cls}.{name}" for cls, names in FACTS["documented"].items() for name in names}
    recorded = {"VDI.set_virtual_size"}  # the server's own in later documents
    methods = SCHEMA.methods
    only_1_0 = {name for name in earlier - recorded if name in methods and methods[name].message.state != "removed"}
    listed = set(SCHEMA.listed())
    assert documented | only_1_0 <= listed
    assert listed <= SCHEMA.methods.keys()
