"""mof/ is MOF for everybody: pywbem's own compiler takes it as it is, alone and beside the DMTF's schema."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import pywbem
from test_mof_dmtf import ours, schema_zip

from cim_provider.schema.compare import experimental
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.graph import ClassGraph

NAMESPACE = "root/cimv2"


def compiled(*files: Path, search: tuple[Path, ...] = ()) -> dict[str, pywbem.CIMClass]:
    """The classes that pywbem's compiler makes of MOF files and what they include or need, by lower-case name."""
    repository = pywbem.MOFWBEMConnection()
    compiler = pywbem.MOFCompiler(repository, search_paths=[str(folder) for folder in search], log_func=None)
    for file in files:
        compiler.compile_file(str(file), NAMESPACE)
    return {name.lower(): cls for name, cls in repository.classes[NAMESPACE].items()}


def whole() -> ClassGraph:
    return load_graph([mof_root() / "dmtf", mof_root() / "xen"])


def test_our_mof_compiles_by_itself_and_is_what_the_server_shows() -> None:
    dmtf = mof_root() / "dmtf"  # a class may need another in a reference that comes later: compilers look for it there
    found = compiled(dmtf / "xencim_dmtf.mof", mof_root() / "xen" / "xencim.mof", search=(dmtf,))
    graph = whole()
    assert found.keys() == graph.classes.keys()
    for name, cls in graph.classes.items():
        assert (found[name].superclass or "") == cls.superclass
        assert {prop.lower() for prop in found[name].properties} <= cls.properties.keys()
        assert {method.lower() for method in found[name].methods} <= cls.methods.keys()


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DMTF's schema as a folder."""
    folder = tmp_path_factory.mktemp("schema")
    with zipfile.ZipFile(schema_zip()) as archive:
        archive.extractall(folder)
    return folder


def test_our_classes_compile_upon_the_dmtfs_schema(unpacked: Path, tmp_path: Path) -> None:
    outside = [cls.name for cls in ours().classes.values() if experimental(cls)]
    for name in outside:  # what the final schema does not have
        (tmp_path / f"{name}.mof").write_text((mof_root() / "dmtf" / f"{name}.mof").read_text("utf-8"), "utf-8")
    qualifiers = [next(unpacked.rglob(f"{name}.mof")) for name in ("qualifiers", "qualifiers_optional")]
    found = compiled(*qualifiers, mof_root() / "xen" / "xencim.mof", search=(unpacked, tmp_path))
    xen = {name for name in whole().classes if name.startswith("xen_")}
    assert xen <= found.keys()
    # it is the DMTF's own declaration that they are built upon: ours have no such qualifier
    assert "UMLPackagePath" in found["cim_basemetricvalue"].qualifiers
