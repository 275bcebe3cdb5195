"""Rules of the mapping language: values, kinds, identifiers that lead back to a record, times."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool
from hypothesis import given
from hypothesis import strategies as st

from cim_provider.mapping.rule import (
    CimDateTime,
    Kind,
    UnknownKindError,
    computed,
    const,
    field,
    interval,
    item_text,
    moment,
    timestamp,
    via,
    xen_id,
)
from cim_provider.mapping.subject import Subject
from xenapi_core.model.catalog import SCHEMA

VM = SCHEMA["VM"]


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", tags=("a", "b"), metrics={"start_time": 1_767_225_600})
    return pool


def subject(pool: SmallPool, item: Any = None) -> Subject:
    return Subject(pool.source, pool.version("web"), item)


def test_a_field_rule_reads_stored_inverse_and_computed_fields(pool: SmallPool) -> None:
    disk = pool.disk("d", "web")
    web = subject(pool)
    assert field("name_label").read(web) == "web"
    assert field("VBDs").read(web) == (disk,)
    assert "start" in field("allowed_operations").read(web)


def test_via_reads_the_record_behind_a_reference_and_is_null_without_one(pool: SmallPool) -> None:
    assert via("metrics", field("uuid")).read(subject(pool)) == pool.uuid("web/metrics")
    assert via("guest_metrics", field("uuid")).read(subject(pool)) is None


def test_table_looks_up_and_falls_back(pool: SmallPool) -> None:
    assert field("power_state").table({"Halted": 3}).read(subject(pool)) == 3
    assert field("power_state").table({"Running": 2}, 0).read(subject(pool)) == 0


def explained(vm: Subject) -> tuple[str, ...] | None:
    return ()


def unexplained(vm: Subject):  # type: ignore[no-untyped-def]
    return 1


def when(vm: Subject) -> CimDateTime | None:
    return None


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (field("name_label"), Kind("string")),
        (field("power_state"), Kind("string")),
        (field("is_a_template"), Kind("boolean")),
        (field("memory_target"), Kind("integer")),
        (field("tags"), Kind("string", array=True)),
        (field("power_state").table({"Halted": 3}), Kind("integer")),
        (via("metrics", field("hvm")), Kind("boolean")),
        (const((2, 5)), Kind("integer", array=True)),
        (computed(explained), Kind("string", array=True)),
        (computed(when), Kind("datetime")),
        (moment("snapshot_time"), Kind("datetime")),
        (xen_id(field("uuid")), Kind("string")),
        (item_text("{}"), Kind("string")),
    ],
)
def test_a_rule_tells_the_kind_of_its_values_before_there_are_any(rule: Any, kind: Kind) -> None:
    assert rule.kind_of(SCHEMA, VM) == kind


@pytest.mark.parametrize(
    "rule",
    [field("nonsense"), via("nonsense", field("uuid")), computed(unexplained), const((1, "a")), field("other_config")],
)
def test_a_rule_whose_kind_cannot_be_told_says_so(rule: Any) -> None:
    with pytest.raises(UnknownKindError):
        rule.kind_of(SCHEMA, VM)


def test_an_identifier_with_the_records_own_uuid_leads_back_to_it(pool: SmallPool) -> None:
    rule = xen_id(field("uuid"), "vcpu", item_text("{}"))
    text = rule.read(subject(pool, 1))
    assert text == f"Xen:{pool.uuid('web')}/vcpu/1"
    assert rule.uuid_of is not None
    assert rule.uuid_of(text) == pool.uuid("web")
    assert rule.uuid_of("Xen:short") is None


def test_an_identifier_whose_uuid_is_another_records_leads_nowhere() -> None:
    assert xen_id(via("metrics", field("uuid"))).uuid_of is None


@pytest.mark.parametrize(
    ("instant", "text"),
    [(1_767_225_600, "20260101000000.000000+000"), (1, "19700101000001.000000+000"), (0, None), (1 << 60, None)],
)
def test_instants_are_cim_timestamps_in_utc(instant: int, text: str | None) -> None:
    assert timestamp(instant) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00000000000000.000000:000"),
        (300, "00000000000500.000000:000"),
        (90_061, "00000001010101.000000:000"),
        (-5, "00000000000000.000000:000"),
    ],
)
def test_durations_are_cim_intervals(seconds: int, text: str) -> None:
    assert interval(seconds) == text


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_times_always_have_the_length_of_a_cim_datetime(number: int) -> None:
    assert len(interval(number)) == 25
    assert timestamp(number) is None or len(str(timestamp(number))) == 25
