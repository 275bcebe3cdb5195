"""What once answered goes on answering, and what is documented is listed."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from xenapi_core.api.coverage import IMPLEMENTED, REASONS, STATUSES, about, answering, coverage, lost
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.actions.table import served

RATCHET = Path(__file__).parent / "coverage.json"


def test_no_message_that_answered_has_become_one_that_does_not() -> None:
    before = json.loads(RATCHET.read_text(encoding="utf-8"))
    gone = lost(before, {**answering(SCHEMA), "http": served()})
    assert not gone, (
        f"{', '.join(gone)}: answered before and do not now. Give them their behaviour back; if it was wrong to have"
        " it, take the names out of tests/docs/coverage.json by hand and say so in CHANGELOG.md. What answers newly is"
        " added by scripts/docs."
    )


def test_a_message_that_lost_its_behaviour_or_its_class_is_named() -> None:
    before = {"VM": ["start", "stop"], "shelf": ["dust"]}
    assert lost(before, {"VM": ["start", "pause"]}) == ["VM.stop", "shelf.dust"]
    assert lost(before, before) == []


def test_operations_count_as_implemented_because_they_have_plans() -> None:
    found = coverage(SCHEMA)
    assert found["VM"]["start"] == found["task"]["cancel"] == IMPLEMENTED


def test_totals_are_the_sums_over_the_classes() -> None:
    told = about(SCHEMA)
    assert sum(told["messages"].values()) == len(SCHEMA.methods)
    for word in STATUSES:
        assert told["messages"][word] == sum(numbers[word] for numbers in told["classes"].values())
    assert len(told["not_implemented"]) == told["messages"]["not implemented"]


def test_everything_without_behaviour_has_its_reason() -> None:
    told = about(SCHEMA)
    assert [name for name, why in told["why_not"].items() if not why] == []
    assert list(told["why_not"]) == told["not_implemented"]


@pytest.mark.parametrize("words", REASONS)
def test_no_reason_is_given_for_what_has_behaviour(words: str) -> None:
    names = [name for name, why in about(SCHEMA)["why_not"].items() if why == words]
    for pattern in REASONS[words]:
        assert any(fnmatchcase(name, pattern) for name in names), f"{pattern} fits nothing that is not implemented"
    assert words.endswith(".")
