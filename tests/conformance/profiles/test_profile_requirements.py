"""The profiles' requirements against the declarations: what is open has a reason, what is done stays done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cim_pool import graph

from cim_provider.mapping.pages import MADE_BY_CODE, METHODS_BY_CODE, Finding, findings, reason_of
from cim_provider.mapping.view import VIEWS
from cim_provider.operations.namespaces import SERVER_METHODS
from cim_provider.profiles.profile_registration import PROFILES

REQUIREMENTS: dict[str, Any] = json.loads((Path(__file__).parent / "requirements.json").read_text(encoding="utf-8"))
RATCHET = Path(__file__).parents[2] / "docs" / "profiles.json"
FOUND = findings(REQUIREMENTS, graph())
REASONS = REQUIREMENTS["reasons"]


def test_every_registered_profile_is_in_the_table_under_its_name() -> None:
    named = {number: profile["name"] for number, profile in REQUIREMENTS["profiles"].items()}
    del named["DSP1092"]  # profile_registration.py says why it is not registered
    assert {profile.number: profile.name for profile in PROFILES} == named


@pytest.mark.parametrize("one", FOUND, ids=lambda one: f"{one.profile} {one.cls}")
def test_what_is_open_has_a_reason(one: Finding) -> None:
    assert [member for _, member in one.open if reason_of(REASONS, one.cls, member) is None] == []


def test_no_mandatory_class_is_missing() -> None:
    assert [(one.profile, one.cls) for one in FOUND if one.level == "M" and not one.shown_by] == []


def test_every_mandatory_property_of_what_is_shown_is_there() -> None:
    left = {f"{one.cls}.{member}" for one in FOUND if one.shown_by for level, member in one.open if level == "M"}
    assert left == set()


def test_each_reason_is_needed() -> None:
    needed = {
        f"{one.cls}.{member.removesuffix('()')}" if member else one.cls for one in FOUND for _, member in one.open
    }
    assert set(REASONS) - needed == set()


def test_the_table_speaks_of_classes_and_members_that_exist() -> None:
    for number, profile in REQUIREMENTS["profiles"].items():
        for name, row in profile["classes"].items():
            cls = graph().find(name)
            assert cls is not None, (number, name)
            below = [cls, *(graph().classes[sub.lower()] for sub in graph().subclasses(name, deep=True))]
            for member in (member for level in "MCO" for member in row.get(level, ())):
                assert any(member.lower() in one.properties for one in below), (number, name, member)
            for method in (method for methods in row.get("methods", {}).values() for method in methods):
                assert method.lower() in cls.methods, (number, name, method)
            assert set(row.get("by", ())) <= set(VIEWS), (number, name)


def test_what_code_makes_are_properties_of_its_classes() -> None:
    for name, members in MADE_BY_CODE.items():
        assert {member.lower() for member in members} <= graph().classes[name.lower()].properties.keys(), name


def test_what_the_server_answers_itself_is_told() -> None:
    told = {(name, method) for name, methods in METHODS_BY_CODE.items() for method in methods}
    assert told == set(SERVER_METHODS)


def test_what_was_done_is_done() -> None:
    before = json.loads(RATCHET.read_text(encoding="utf-8"))
    now: dict[str, set[str]] = {}
    for one in FOUND:
        now.setdefault(one.profile, set()).update(one.names)
    gone = [f"{number} {name}" for number, names in before.items() for name in names if name not in now.get(number, ())]
    assert gone == [], "take names out of tests/docs/profiles.json by hand only, and say so in CHANGELOG.md"
