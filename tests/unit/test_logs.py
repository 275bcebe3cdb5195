"""Log lines: one per record, and nothing that opens doors."""

from __future__ import annotations

import io
import logging
import re

import pytest

from xenapi_core import logs

REF = "OpaqueRef:6b9e6b9e-0000-4000-8000-00000000000a"


@pytest.fixture
def lines():
    """A function giving the lines logged so far."""
    root = logging.getLogger()
    level, stream = root.level, io.StringIO()
    handler = logs.setup("INFO", stream)
    yield lambda: stream.getvalue().splitlines()
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_record_is_one_line_with_utc_time_level_and_logger(lines):
    logging.getLogger("a.b").warning("hello %s", "there")
    assert len(lines()) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING a\.b: hello there", lines()[0])


def test_line_breaks_and_tracebacks_stay_on_one_line(lines):
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("a").exception("forged\r\n2026-01-01T00:00:00Z INFO a: line")
    assert len(lines()) == 1
    assert "ValueError: first\\nsecond" in lines()[0]


def test_setting_up_again_replaces_the_handler(lines):
    second = io.StringIO()
    handler = logs.setup("INFO", second)
    logging.getLogger("a").info("once")
    assert lines() == []
    assert second.getvalue().count("once") == 1
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"session {REF} expired", REF),
        (f"GET /export?session_id={REF}&ref=x", REF),
        (f"{{'session_ref': '{REF}'}}", REF),
        ("login with password=hunter2 failed", "hunter2"),
        ("{'password': 'hunter2', 'user': 'root'}", "hunter2"),
        ('"pool_secret": "a b c"', "a b c"),
        ("Authorization: Basic cm9vdDpwdw==", "cm9vdDpwdw"),
    ],
)
def test_secrets_that_slip_through_are_masked(lines, text, secret):
    logging.getLogger("a").info(text)
    assert secret not in lines()[0]
    assert logs.MASK in lines()[0]


def test_other_references_stay_readable(lines):
    logging.getLogger("a").info("VM.start of %s failed", REF)
    assert REF in lines()[0]


def test_an_incident_is_logged_with_its_traceback_under_a_short_id_of_its_own(lines):
    try:
        raise KeyError("missing")
    except KeyError as error:
        numbers = [logs.incident(logging.getLogger("a"), "VM.start failed", error) for _ in range(100)]
    assert len(set(numbers)) == 100
    assert all(re.fullmatch(r"[0-9a-f]{8}", number) for number in numbers)
    assert f"ERROR a: incident {numbers[0]}: VM.start failed" in lines()[0]
    assert "KeyError: 'missing'" in lines()[0]
