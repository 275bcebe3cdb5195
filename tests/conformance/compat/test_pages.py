"""The pages about moving: every line of their tables is what a server in that mode shows."""

from __future__ import annotations

import re
from pathlib import Path as File
from typing import Any

import pytest
from compat_pool import ModePool, graph, provider_in

from cim_provider.compat import libvirt_inputs, modes, xs_cim
from xenapi_core.cli.serve import serve

DOCS = File(__file__).parents[3] / "docs"
MODES = ("libvirt-cim", "xs-cim")
STATE_OF = {"Halted": "off", "Running": "web", "Paused": "held", "Suspended": "asleep"}
# What the pages call the records of identifiers.
RECORDS = {"VM": "web", "VBD": "web-disk", "VIF": "web-nic", "SR": "sr", "network": "lan", "host": "host-0"}


@pytest.fixture(scope="module", params=MODES)
def pool(request: pytest.FixtureRequest) -> ModePool:
    found = ModePool(request.param)
    found.name = request.param
    return found


def tables(mode: str, section: str) -> list[list[list[str]]]:
    """The tables under a heading: rows of cells, without the heads, and without quotes."""
    text = (DOCS / f"moving-from-{mode}.md").read_text(encoding="utf-8")
    part = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        found.append([[cell.strip("`") if cell.count("`") == 2 else cell for cell in row] for row in rows[2:]])
    return found


def with_uuids(pool: ModePool, value: str) -> str:
    names = {word: pool.uuid(record) for word, record in RECORDS.items()}
    return re.sub(r"\b(?:VM|VBD|VIF|SR|network|host)\b", lambda found: names[found[0]], value)


def test_identifiers_are_those_of_instances(pool: ModePool) -> None:
    (rows,) = tables(pool.name, "Identifiers")
    assert len(rows) > 10
    for what, where, value in rows:
        classname, _, name = where.partition(".")
        wanted = value if pool.name == "libvirt-cim" else with_uuids(pool, value)
        assert wanted in [one.values[name] for one in pool.shown(classname)], what


def test_the_table_of_classes_is_complete(pool: ModePool) -> None:
    renamed, _ = tables(pool.name, "Classes")
    mode = provider_in(pool.name, pool.source).mode
    faces = {view.cim: face.cim for view, face in mode.faces.items() if face.cim and face.cim != view.cim}
    assert dict(renamed) == faces


def test_the_table_of_private_properties_is_complete(pool: ModePool) -> None:
    _, private = tables(pool.name, "Classes")
    told = {cls: set(re.findall(r"\w+", names)) for cls, names in private}
    mode = provider_in(pool.name, pool.source).mode
    plain, found = graph(), graph(*mode.mof)
    added: dict[str, set[str]] = {}
    for low, cls in found.classes.items():
        before = plain.classes.get(low) or plain.find(cls.superclass) or found.find(cls.superclass)
        new = {prop.name for name, prop in cls.properties.items() if before is None or name not in before.properties}
        if new:
            added[cls.name] = new
    assert told == added


def test_the_table_of_states_is_what_machines_show(pool: ModePool) -> None:
    names = [
        "EnabledState",
        "OperationalStatus",
        *(["HealthState", "OperatingStatus"] if "lib" in pool.name else ["Status"]),
    ]
    rows = tables(pool.name, "States")[0]
    assert [row[0] for row in rows] == list(STATE_OF)
    for state, *cells in rows:
        values = pool.values("Xen_ComputerSystem", STATE_OF[state])
        assert cells == [plain(values[name]) for name in names]


def plain(value: Any) -> str:
    return str(value[0]) if isinstance(value, tuple) else str(value)


def test_the_table_of_requests_has_every_state_that_can_be_requested() -> None:
    rows = tables("xs-cim", "States")[1]
    assert tuple(int(row[0]) for row in rows) == xs_cim.REQUESTED_STATES
    told = {int(state): set(re.findall(r"\w+", operations)) for state, operations in rows}
    for operation, states in xs_cim.REQUESTS.items():
        assert all(operation in told[state] for state in states if state != xs_cim.SHUT_DOWN), operation


def test_the_errors_of_state_changes_are_told_with_their_texts() -> None:
    (rows,) = tables("libvirt-cim", "Methods")
    told = {(int(status), text) for _, status, text in rows}
    assert {*libvirt_inputs.STATE_ERRORS.values(), libvirt_inputs.NOT_RUNNING} <= told


def test_the_tables_of_methods_name_their_parameters() -> None:
    known = graph(*provider_in("xs-cim", ModePool("xs-cim").source).mode.mof)
    services, more = tables("xs-cim", "Methods")
    rows = [(row[0], row[1], row[3]) for row in services] + [(row[0], row[1], row[2]) for row in more]
    classname = ""
    for cls, methods, parameters in rows:
        classname = cls or classname
        for method in re.findall(r"\w+", methods):
            declared = known.classes[classname.lower()].methods[method.lower()]
            told = set() if parameters in ("none", "as there") else set(re.findall(r"\b[A-Z]\w+", parameters))
            if parameters != "as there":
                assert told == {one.name for one in declared.parameters.values()}, method


def test_every_class_of_a_page_exists(pool: ModePool) -> None:
    text = (DOCS / f"moving-from-{pool.name}.md").read_text(encoding="utf-8").partition("## What differs")[0]
    mode = provider_in(pool.name, pool.source).mode
    known = graph(*mode.mof)
    for name in set(re.findall(r"\bXen_(?!Tools_)\w+\b(?!\.{3})", text)):
        assert known.find(name) is not None, name


def test_there_is_a_page_for_every_mode_that_serve_takes() -> None:
    (option,) = [param for param in serve.params if param.name == "cim_compat"]
    assert tuple(option.type.choices) == MODES == tuple(modes.MODES)  # type: ignore[attr-defined]
    assert {page.name for page in DOCS.glob("moving-from-*.md")} == {f"moving-from-{mode}.md" for mode in MODES}
