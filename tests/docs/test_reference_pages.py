"""The generated reference says everything that the model says to clients, and nothing that it keeps to itself."""

from __future__ import annotations

import pytest

from xenapi_core.api.lifecycle_page import lifecycle_page
from xenapi_core.api.reference_pages import reference_pages
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.lifecycle import OPERATIONS

PAGES = reference_pages(SCHEMA)


@pytest.mark.parametrize("name", SCHEMA.classes)
def test_a_page_names_every_field_and_message_that_clients_may_know(name: str) -> None:
    cls, page = SCHEMA[name], PAGES[f"{name}.md"]
    for field in cls.fields:
        assert (f"| {field.name} | {field.type.name} |" in page) is not field.internal
    for message in cls.messages:
        apart = message.hidden or message.legacy  # in tables of their own
        assert (f"### {name}.{message.name}\n" in page) is not apart
        assert message.doc.replace("|", "\\|") in page
        assert apart or all(error.code in page for error in message.errors)
    assert all(error.code in page for error in (*cls.create_errors, *cls.destroy_errors))


def test_the_list_leads_to_every_page() -> None:
    assert all(f"]({name})" in PAGES["README.md"] for name in PAGES if name != "README.md")


def test_pages_of_different_classes_are_different_files_everywhere() -> None:
    assert len({name.lower() for name in PAGES}) == len(PAGES)


def test_the_diagram_has_an_arrow_for_every_listed_change_of_state() -> None:
    page = lifecycle_page()
    arrows = {}
    for line in page.split("```")[1].splitlines():
        if " --> " in line and "[*]" not in line:
            path, names = line.strip().split(": ")
            arrows[tuple(path.split(" --> "))] = names.split(", ")
    for name, row in OPERATIONS.items():
        for state in row.states:
            drawn = name in arrows.get((state, row.ends), ())
            assert drawn == (row.ends is not None and row.listed), f"{name} in {state}"
        assert f"| {name} |" in page
