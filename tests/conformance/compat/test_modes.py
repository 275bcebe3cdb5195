"""What holds in every mode: paths are unique and lead back, ends of associations exist, modes leave others alone."""

from __future__ import annotations

from pathlib import Path as File

import pytest
import pywbem
from cim_pool import elements, instance_values, run
from compat_pool import CIMV2, ModePool, provider_in

from cim_provider.compat.mode import PLAIN
from cim_provider.compat.modes import MODES, mode_named
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.view import VIEWS
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.mof_text import MofError
from cim_provider.schema.objects import INTEROP, Path
from xenapi_core.cli.serve import NAMESPACES


@pytest.fixture(scope="module", params=MODES)
def pool(request: pytest.FixtureRequest) -> ModePool:
    found = ModePool(request.param)
    found.subscribed()
    return found


def everything(pool: ModePool) -> list[Rendition]:
    return [one for view in VIEWS.values() for one in pool.provider.extent(view)]


def placed(path: Path) -> Path:
    """A path as seen in root/cimv2."""
    return Path(path.classname, path.keys, CIMV2)


def test_every_path_is_unique_and_leads_back(pool: ModePool) -> None:
    paths = [one.path for one in everything(pool)]
    assert len(set(paths)) == len(paths) > 100
    for path in paths:
        found = pool.provider.find(path, path.namespace)
        assert found is not None, path
        assert found.path == path


def test_every_system_that_a_key_names_exists(pool: ModePool) -> None:
    systems = {(one.values["CreationClassName"], one.values["Name"]) for one in pool.shown("CIM_ComputerSystem")}
    systems |= {("Xen_WBEMServer", "xencim")}
    for one in everything(pool):
        if one.path.key("SystemName") is not None and not one.path.classname.startswith("CIM_"):
            assert (one.path.key("SystemCreationClassName"), one.path.key("SystemName")) in systems, one.path


def test_every_end_of_an_association_exists(pool: ModePool) -> None:
    for namespace in (CIMV2, INTEROP):
        for association in pool.provider.associations(namespace):
            for link in association.links(pool.provider, namespace):
                for end in (link.left, link.right):
                    assert pool.provider.find(end.path, namespace) is not None, link.path
                again = pool.provider.find_link(link.path, namespace)
                assert again is not None, link.path
                assert placed(again.path) == placed(link.path)


def test_every_walk_goes_both_ways(pool: ModePool) -> None:
    for association in pool.provider.associations(CIMV2):
        forth = {placed(link.path) for link in association.links(pool.provider, CIMV2)}
        back = {
            placed(link.path)
            for view in {relation.right for relation in association.relations}
            for end in pool.provider.extent(view)
            for link in association.links_of(pool.provider, end, association.right)
        }
        assert forth == back, association.cim


def test_a_mode_with_no_name_changes_nothing(pool: ModePool) -> None:
    assert mode_named("", pool.source) is PLAIN


def test_another_provider_of_the_same_pool_shows_it_its_own_way(pool: ModePool) -> None:
    before = pool.one("Xen_StoragePool", "sr").values
    plain = provider_in("", pool.source)
    (found,) = plain.extent(VIEWS["Xen_StoragePool"]).of(pool.version("sr"))
    assert found.path.classname == "Xen_StoragePool"
    assert found.values["AllocationUnits"] == "byte"
    assert pool.one("Xen_StoragePool", "sr").values == before


@pytest.mark.parametrize("mode", ["", *MODES])
def test_a_path_that_is_a_value_leads_to_an_instance(mode: str) -> None:
    pool = ModePool(mode)
    pool.add("PIF", "card", host=pool.refs["host-0"], network=pool.refs["lan"], device="eth7", VLAN=-1, physical=True)
    found = [
        (name, path)
        for one in everything(pool)
        for name in ("HostResource", "AssociatedResourcePool")
        for path in one.values.get(name) or ()
    ]
    assert {name for name, _ in found} == {"HostResource", "AssociatedResourcePool"}
    for _, text in found:
        told = pywbem.CIMInstanceName.from_wbem_uri(f"/{text}")
        path = Path.of(told.classname, dict(told.keybindings), CIMV2)
        assert told.namespace == pool.provider.mode.spaces.get(CIMV2, CIMV2)
        assert pool.provider.find(path, CIMV2) is not None, text


@pytest.mark.parametrize("mode", MODES)
def test_an_instance_that_was_changed_is_shown_anew(mode: str) -> None:
    pool = ModePool(mode)
    reply = run(pool.provider, "EnumerateInstances", ClassName="Xen_ComputerSystem")
    assert "web" in {instance_values(one)["ElementName"] for one in elements(reply.values)}
    pool.set("web", name_label="shop")
    reply = run(pool.provider, "EnumerateInstances", ClassName="Xen_ComputerSystem")
    names = {instance_values(one)["ElementName"] for one in elements(reply.values)}
    assert "shop" in names
    assert "web" not in names


PLACE = """class T_Place { [Key] string Id; };
"""
MORE = """class T_Place { string Town; };
class T_Shop : T_Place { };
"""


def test_mof_of_a_mode_adds_properties_to_declared_classes(tmp_path: File) -> None:
    place, more = tmp_path / "place.mof", tmp_path / "more.mof"
    place.write_text(PLACE)
    more.write_text(MORE)
    qualifiers = mof_root() / "dmtf" / "qualifiers.mof"
    for _ in range(2):  # compiled, and from the cache
        graph = load_graph([qualifiers, place], tmp_path, amending=[more])
        assert [set(graph.classes[name].properties) for name in ("t_place", "t_shop")] == [{"id", "town"}] * 2
    with pytest.raises(MofError, match=r"more\.mof:1: T_Place is declared in .*place\.mof already"):
        load_graph([qualifiers, place, more], tmp_path)


def test_the_start_page_names_the_namespaces_as_the_mode_writes_them(pool: ModePool) -> None:
    mode = pool.provider.mode
    apart = [] if INTEROP in mode.also.get(CIMV2, ()) else [INTEROP]
    assert NAMESPACES[mode.name] == ", ".join(mode.spaces.get(name, name) for name in (CIMV2, *apart))
    assert NAMESPACES[None] == f"{CIMV2}, {INTEROP}"
    assert {None, *MODES} == set(NAMESPACES)
