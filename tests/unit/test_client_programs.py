"""Which client programs are remembered, and what of their headers is not."""

from __future__ import annotations

import pytest

from xenapi_core.api.client_programs import LONGEST, MOST, ClientPrograms


def seen(*headers: str) -> dict[str, str]:
    programs = ClientPrograms()
    for header in headers:
        programs.note("", header)
    return dict(programs.of(""))


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("xen-api/4.7.1", {"xen-api": "4.7.1"}),
        ("Python-xmlrpc/3.11 (by root:secret)", {"Python-xmlrpc": "3.11"}),
        ("curl", {"curl": ""}),
        ("curl/", {}),
        ("", {}),
        ("root:secret", {}),
        ("a" * LONGEST + "/1", {"a" * LONGEST: "1"}),
        ("a" * (LONGEST + 1) + "/1", {}),
        ("a/" + "1" * (LONGEST + 1), {}),
        ("<script>/1", {}),
    ],
)
def test_only_the_first_product_of_a_header_is_kept(header: str, told: dict[str, str]) -> None:
    assert seen(header) == told


def test_a_program_has_the_version_that_was_seen_last() -> None:
    assert list(seen("a/1", "b/1", "a/2").items()) == [("b", "1"), ("a", "2")]


def test_the_program_seen_first_makes_room_for_one_more() -> None:
    found = seen(*(f"p{number}/1" for number in range(MOST)), "p0/2", "new/1")
    assert len(found) == MOST
    assert "p1" not in found
    assert found["p0"] == "2"


def test_programs_of_one_endpoint_are_not_those_of_another() -> None:
    programs = ClientPrograms()
    programs.note("a", "x/1")
    programs.note("b", "x/1")
    programs.note("b", "y/1")
    assert (dict(programs.of("a")), dict(programs.of("b"))) == ({"x": "1"}, {"x": "1", "y": "1"})
