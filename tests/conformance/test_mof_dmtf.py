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

from cim_provider.schema.compare import differences, dmtf_classes, official
from cim_provider.schema.compile import cache_folder, load_graph, mof_root
from cim_provider.schema.graph import ClassGraph

NAME = "cim_schema_2.49.0Final-MOFs.zip"


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


def test_every_class_and_qualifier_type_is_as_the_dmtf_declares_it():
    theirs = official(schema_zip(), dmtf_classes(ours()))
    assert differences(ours(), theirs) == []
    assert len(theirs.classes) > 250
    assert theirs.qualifier_declarations


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
