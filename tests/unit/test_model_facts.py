"""The data model says what the API reference says: data/xenapi_facts.json has its facts, one a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xenapi_core.model import catalog
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.classes.legacy.messages import LEGACY_MESSAGES
from xenapi_core.model.schema import Class, Field, Message, Param, derive
from xenapi_core.model.types import EnumType, MapType, OptionType, SetType, Type

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "xenapi_facts.json").read_text())
CLASSES = tuple(FACTS["classes"])
# The reference describes the answer of event.from in words; it is a class here, so that it can be described as others.
OURS = {"event_batch"}
# Fields that the server keeps for itself; no client sees them.
OUR_FIELDS = {("VM", "requested_state"), ("host", "requested_state"), ("Certificate", "pem"), ("pool", "crls")}
OUR_FIELDS |= {("VM", "reverted_to"), ("VM", "cpu_pool"), ("host", "resident_cpu_pools")}
OUR_FIELDS |= {("pool", "binary_storage"), ("pool", "ha_restarts_from"), ("host", "joined_from")}
OUR_FIELDS |= {("VDI", name) for name in ("static_on", "ha_hosts", "ha_pool", "redo_log_pools")} | {("VM", "tmem")}
OUR_FIELDS |= {("host", name) for name in ("ha_metadata_vdi", "ha_generation", "ha_daemon", "local_database")}
OUR_FIELDS |= {("host", "proposed_coordinator"), ("host", "proposed_at"), ("host", "clock_skewed")}
# The reference forgets these when the server restarts; here they are kept, as in every other class with metrics.
KEPT = {("VM_metrics", "other_config")}
OUR_FIELDS |= {("Certificate", "member_files"), ("Certificate", "member_bundle")}
ONLY_1_0 = {cls.name for cls in catalog.ONLY_1_0}


def spelled(value: Any) -> str:
    """An internal default value, as the facts spell it."""
    return json.dumps(value, separators=(",", ":"))


def field_line(f: Field, fact_default: str) -> str:
    # The reference gives no default for most runtime fields; ours is then free.
    free = f.access == "DynamicRO" and fact_default == "-"
    default = "-" if f.required or free else spelled(f.default)
    flags = " ".join(name for name, on in (("internal", f.internal), ("volatile", not f.persist)) if on)
    return "|".join((f.name, f.type.name, f.access, default, f.column, f.state, flags))


def param_text(p: Param) -> str:
    return f"{p.name}:{p.type.name}" + ("" if p.required else f"={spelled(p.default)}")


def message_line(m: Message, secret: bool) -> str:
    """`secret` is the reference's opinion; we may keep more to ourselves, never less."""
    flags = {
        "hidden": m.hidden,
        "pool_internal": m.pool_internal,
        "no_session": not m.session,
        "secret": m.secret and secret,
    }
    return "|".join(
        (
            m.name,
            ",".join(map(param_text, m.params)),
            m.result.name if m.result else "void",
            f"{m.role}+client-cert" if m.client_cert else str(m.role),
            "async" if m.asynchronous else "sync",
            m.state,
            " ".join(name for name, on in flags.items() if on),
            ",".join(f"{key}={role}" for key, role in sorted(m.key_roles.items())),
        )
    )


def message_lines(messages: list[Message], facts: list[str]) -> list[str]:
    secret = {line.split("|")[0] for line in facts if "secret" in line.split("|")[6].split()}
    return sorted(message_line(m, m.name in secret) for m in messages)


def written(name: str) -> list[Message]:
    """The messages of the class's own file; those of API 1.0 alone are compared in test_model_legacy.py."""
    legacy = LEGACY_MESSAGES.get(name, ())
    return [message for message in SCHEMA[name].messages if message not in legacy]


def differences(ours: list[str], facts: list[str]) -> list[str]:
    ours_by_name = {line.split("|")[0]: line for line in ours}
    facts_by_name = {line.split("|")[0]: line for line in facts}
    names = sorted(ours_by_name.keys() | facts_by_name.keys())
    pairs = ((facts_by_name.get(name), ours_by_name.get(name)) for name in names)
    return [f"\n  reference: {fact}\n  model:     {our}" for fact, our in pairs if fact != our]


def traits(cls: Class) -> str:
    on = {
        "creatable": cls.creatable,
        "get_all": cls.get_all,
        "events": cls.events,
        "persist": cls.persist,
        "in_database": cls.in_database,
    }
    return " ".join(name for name, value in on.items() if value) + f"|{cls.state}"


def test_the_model_has_the_classes_of_the_reference_in_its_order() -> None:
    assert [name for name in SCHEMA.classes if name not in OURS | ONLY_1_0] == list(CLASSES)
    assert len(CLASSES) == 73
    assert set(SCHEMA.classes) - set(CLASSES) == OURS | ONLY_1_0
    assert list(SCHEMA.classes)[-len(ONLY_1_0) :] == [cls.name for cls in catalog.ONLY_1_0]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_the_traits_of_the_reference(name: str) -> None:
    assert traits(SCHEMA[name]) == FACTS["classes"][name]["traits"]


@pytest.mark.parametrize("name", CLASSES)
def test_fields_have_the_types_access_defaults_and_states_of_the_reference(name: str) -> None:
    facts = FACTS["classes"][name]["fields"]
    defaults = {line.split("|")[0]: line.split("|")[3] for line in facts}
    assert all(f.internal for f in SCHEMA[name].fields if (name, f.name) in OUR_FIELDS)
    shared = (f for f in SCHEMA[name].fields if (name, f.name) not in OUR_FIELDS)
    volatile = (replace(f, persist=False) if (name, f.name) in KEPT else f for f in shared)
    ours = [field_line(f, defaults.get(f.name, "-")) for f in volatile]
    assert all(f.persist for f in SCHEMA[name].fields if (name, f.name) in KEPT)
    assert not (found := differences(ours, facts)), "".join(found)


@pytest.mark.parametrize("name", CLASSES)
def test_written_messages_have_the_signatures_and_roles_of_the_reference(name: str) -> None:
    facts = FACTS["classes"][name]["messages"]
    found = differences(message_lines(written(name), facts), facts)
    assert not found, "".join(found)


@pytest.mark.parametrize("name", CLASSES)
def test_derived_messages_are_exactly_the_implicit_messages_of_the_reference(name: str) -> None:
    facts = FACTS["classes"][name]["implicit"]
    found = differences(message_lines(list(derive(SCHEMA[name])), facts), facts)
    assert not found, "".join(found)


@pytest.mark.parametrize("name", CLASSES)
def test_written_messages_name_the_errors_of_the_reference_and_perhaps_more(name: str) -> None:
    ours = {m.name: {error.code for error in m.errors} for m in SCHEMA[name].messages}
    facts = FACTS["classes"][name]["errors"]
    missing = {message: set(codes) - ours[message] for message, codes in facts.items() if set(codes) - ours[message]}
    assert not missing


@pytest.mark.parametrize(("source", "inverse"), FACTS["relations"])
def test_the_many_end_of_a_relation_is_the_inverse_of_its_reference(source: str, inverse: str) -> None:
    cls, field = inverse.split(".")
    declared = SCHEMA[cls][field]
    if declared.inverse is None:  # a many-to-many relation is stored at one of its ends
        owner, reference = source.split(".")
        assert isinstance(declared.type, SetType)
        assert owner not in SCHEMA.classes or isinstance(SCHEMA[owner][reference].type, SetType)
    else:
        assert declared.inverse == source


def enums(type_: Type) -> list[EnumType]:
    if isinstance(type_, EnumType):
        return [type_]
    if isinstance(type_, SetType | OptionType):
        return enums(type_.item)
    if isinstance(type_, MapType):
        return enums(type_.key) + enums(type_.value)
    return []


def test_every_enumeration_in_use_has_the_members_of_the_reference() -> None:
    used: dict[str, tuple[str, ...]] = {}
    for method in SCHEMA.methods.values():
        for type_ in (*(p.type for p in method.params), method.message.result):
            for enum in enums(type_) if type_ else []:
                used[enum.name.removeprefix("enum ")] = enum.values
    for cls in SCHEMA.classes.values():
        for f in cls.fields:
            used.update((enum.name.removeprefix("enum "), enum.values) for enum in enums(f.type))
    assert {name: list(values) for name, values in used.items()} == FACTS["enums"]
