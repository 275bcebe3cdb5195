"""The DMTF classes in mof/dmtf are those of the official CIM schema 2.49, property by property.

The schema's zip file (cim_schema_2.49.0Final-MOFs.zip) is looked for where XENCIM_DMTF_SCHEMA_ZIP says, then in the
user's cache folder; scripts/test puts it there.
"""

from __future__ import annotations

import os
import zipfile
from functools import cache
from pathlib import Path

import pytest

from cim_provider.schema.compile import cache_folder, graph_of, load_graph, mof_root
from cim_provider.schema.graph import CimClass, ClassGraph, Qualifier
from cim_provider.schema.mof import declarations

NAME = "cim_schema_2.49.0Final-MOFs.zip"
# What our declarations leave out: prose, and pointers into other documents.
LEFT_OUT = {"description", "mappingstrings", "umlpackagepath", "modelcorrespondence", "displayname"}


def schema_zip() -> Path:
    named = os.environ.get("XENCIM_DMTF_SCHEMA_ZIP")
    path = Path(named) if named else cache_folder() / NAME
    assert path.is_file(), (
        f"the DMTF schema is not at {path}: set XENCIM_DMTF_SCHEMA_ZIP to {NAME}, or run the tests with scripts/test, "
        "which fetches it"
    )
    return path


@cache
def ours() -> ClassGraph:
    return load_graph([mof_root() / "dmtf"])


@cache
def official() -> ClassGraph:
    """The classes of the zip that we have too."""
    wanted = [c.name for c in ours().classes.values() if "experimental" not in c.qualifiers]
    with zipfile.ZipFile(schema_zip()) as archive:
        by_stem = {Path(n).stem: n for n in archive.namelist() if n.endswith(".mof")}
        missing = [name for name in wanted if name not in by_stem]
        assert missing == [], f"not in the official schema: {missing}"
        names = ["qualifiers", "qualifiers_optional", *wanted]
        texts = [(Path(by_stem[name]), archive.read(by_stem[name]).decode("utf-8")) for name in names]
    return graph_of(declarations(texts))


def facts(qualifiers: dict[str, Qualifier]) -> dict[str, object]:
    return {k: (q.type, q.value, q.propagated) for k, q in qualifiers.items() if k not in LEFT_OUT}


def described(cls: CimClass) -> dict[str, object]:
    found: dict[str, object] = {
        "superclass": cls.superclass,
        "keys": cls.keys,
        "qualifiers": facts(cls.qualifiers),
        "properties": [p.name for p in cls.properties.values()],
        "methods": [m.name for m in cls.methods.values()],
    }
    for p in cls.properties.values():
        shape = (p.type, p.array, p.array_size, p.reference_class, p.embedded, p.default, p.origin, p.propagated)
        found[f"property {p.name}"] = (shape, facts(p.qualifiers))
    for m in cls.methods.values():
        found[f"method {m.name}"] = (m.return_type, m.origin, m.propagated, list(m.parameters), facts(m.qualifiers))
        for a in m.parameters.values():
            shape = (a.name, a.type, a.array, a.array_size, a.reference_class, a.embedded, a.input, a.output)
            found[f"parameter {m.name}.{a.name}"] = (shape, facts(a.qualifiers))
    return found


def test_every_class_is_as_the_dmtf_declares_it():
    differences = []
    for name, theirs in official().classes.items():
        mine, wanted = described(ours().classes[name]), described(theirs)
        differences += [
            f"{theirs.name}, {key}: {mine.get(key)} instead of {wanted.get(key)}"
            for key in {**mine, **wanted}
            if mine.get(key) != wanted.get(key)
        ]
    assert differences == []
    assert len(official().classes) > 250


def test_qualifier_types_are_as_the_dmtf_declares_them():
    assert ours().qualifier_declarations == official().qualifier_declarations


def test_only_classes_outside_the_final_schema_are_marked_experimental():
    marked = {c.name for c in ours().classes.values() if "experimental" in c.qualifiers}
    with zipfile.ZipFile(schema_zip()) as archive:
        final = {Path(n).stem for n in archive.namelist()}
    assert marked == {
        "CIM_VirtualSystemMigrationService",
        "CIM_VirtualSystemMigrationCapabilities",
        "CIM_MostCurrentSnapshotInBranch",
    }
    assert not marked & final


@pytest.mark.parametrize("path", sorted((mof_root() / "dmtf").glob("CIM_*.mof")), ids=lambda p: p.stem)
def test_each_file_declares_the_class_it_is_named_after_and_describes_it(path):
    cls = ours().classes[path.stem.lower()]
    description = cls.qualifiers["description"]
    assert not description.propagated
    assert description.value.endswith(".")
    assert f"class {path.stem} " in path.read_text()
