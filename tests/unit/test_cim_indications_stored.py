"""Lifecycle indications of instances that clients wrote: in any namespace, with both states, by the classes there."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path as File
from typing import Any

import pytest
from cim_pool import ROOT
from test_cim_indications_delivery import World, listening, running_world

from cim_provider.operations.api import Operation
from cim_provider.operations.models import load_models
from cim_provider.operations.static import StaticWriter
from cim_provider.schema.objects import CimError, Instance, Path

MOF = """
class LAB_Thing { [Key] string Id; uint32 Size = 5; string Note; };
class LAB_Sub : LAB_Thing { boolean Open; };
[Association] class LAB_Link { [Key] LAB_Thing REF Left; [Key] LAB_Thing REF Right; };
"""
INSTANCES = "SELECT * FROM CIM_InstIndication"
GROWN = (
    "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA LAB_Sub AND "
    "SourceInstance.LAB_Thing::Size > PreviousInstance.LAB_Thing::Size"
)


class Lab:
    """A world with a model in a namespace, and a client of it."""

    def __init__(self, world: World, folder: File, namespace: str = "lab") -> None:
        self.world, self.namespace = world, namespace
        (folder / "lab.mof").write_text(MOF)
        load_models(world.provider, [(folder / "lab.mof", namespace)])
        self.writer = StaticWriter(world.provider)

    def op(self, name: str) -> Operation:
        return Operation(name, self.namespace, {}, ROOT, self.world.provider)

    def make(self, classname: str, **values: Any) -> Path:
        return self.writer.create(self.op("CreateInstance"), Instance(classname, values))

    def change(self, path: Path, **values: Any) -> None:
        self.writer.modify(self.op("ModifyInstance"), path, Instance(path.classname, values))

    def delete(self, path: Path) -> None:
        self.writer.delete(self.op("DeleteInstance"), path)

    def subscribe(self, url: str, query: str, name: str = "one", spaces: tuple[str, ...] = ("lab",)) -> None:
        create = self.world.create
        chosen = create(
            "CIM_IndicationFilter", Name=name, Query=query, QueryLanguage="DMTF:CQL", SourceNamespaces=spaces
        )
        handler = create("CIM_ListenerDestinationCIMXML", Name=name, Destination=url)
        create("CIM_IndicationSubscription", Filter=chosen, Handler=handler)


@asynccontextmanager
async def running_lab(folder: File, namespace: str = "lab") -> AsyncIterator[tuple[World, Lab]]:
    """A world that sends indications, and a lab in it."""
    async with running_world() as world:
        yield world, Lab(world, folder, namespace)


def kind(body: str) -> str:
    return re.search(r'<INSTANCE CLASSNAME="(\w+)">', body)[1]


def inside(body: str, name: str) -> str:
    """The embedded instance of an indication."""
    return html.unescape(re.search(rf'NAME="{name}"[^>]*><VALUE>([^<]*)<', body)[1])


@pytest.mark.parametrize("namespace", ["lab", "root/cimv2", "interop"])
async def test_creation_modification_and_deletion_are_told_in_order_with_their_instances(
    tmp_path: File, namespace: str
) -> None:
    async with running_lab(tmp_path, namespace) as (world, lab), listening() as listener:
        lab.subscribe(listener.url, INSTANCES, spaces=(namespace,))
        path = lab.make("LAB_Thing", Id="a", Note="<&>")
        lab.change(path, Size=6, Note=None)
        lab.delete(path)
        await world.until(lambda: len(listener.bodies) == 3)
        made, changed, gone = listener.bodies
        assert [kind(body) for body in listener.bodies] == [
            "CIM_InstCreation", "CIM_InstModification", "CIM_InstDeletion",
        ]  # fmt: skip
        assert "<VALUE>5</VALUE>" in inside(made, "SourceInstance")
        assert "<VALUE>&lt;&amp;&gt;</VALUE>" in inside(changed, "PreviousInstance")
        assert "<VALUE>6</VALUE>" in inside(changed, "SourceInstance")
        assert "<VALUE>6</VALUE>" in inside(gone, "SourceInstance")
        assert re.search(r'NAME="ChangedPropertyNames".*?</PROPERTY.ARRAY>', changed)[0].count("<VALUE>") == 2
        assert set(listener.values("SourceInstanceModelPath")) == {f'{namespace}:LAB_Thing.Id="a"'}
        (pool,) = world.store.all("pool").values()
        assert set(listener.values("SourceInstanceHost")) == {world.store.get(pool["master"])["address"]}


@pytest.mark.parametrize(
    ("select", "sent"),
    [
        ("IndicationTime, e.SourceInstance.LAB_Thing::Size", {"IndicationTime", "SourceInstance"}),
        ("CIM_InstModification.previousinstance", {"PreviousInstance"}),
        ("IndicationTime, e.*", None),
        ("SourceInstance.LAB_Thing::Size AS Size, ChangedPropertyNames", {"SourceInstance", "ChangedPropertyNames"}),
    ],
)
async def test_an_indication_has_the_properties_that_its_filter_selects(
    tmp_path: File, select: str, sent: set[str] | None
) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        lab.subscribe(listener.url, f"SELECT {select} FROM CIM_InstModification e", "some")
        lab.subscribe(listener.url, "SELECT * FROM CIM_InstModification", "all")
        lab.change(lab.make("LAB_Thing", Id="a"), Size=6)
        await world.until(lambda: len(listener.bodies) == 2)
        named = dict(zip(listener.values("IndicationFilterName"), listener.bodies, strict=True))
        found = {name: set(re.findall(r'<PROPERTY(?:.ARRAY)? NAME="(\w+)"', body)) for name, body in named.items()}
        always = {"SequenceContext", "SequenceNumber", "IndicationFilterName"}
        assert {"SourceInstance", "PreviousInstance", "IndicationIdentifier"} < found["all"]
        assert found["some"] == (found["all"] if sent is None else sent | always)


async def test_a_change_that_changes_no_value_is_no_indication(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        path = lab.make("LAB_Thing", Id="a")
        lab.subscribe(listener.url, INSTANCES)
        lab.change(path, Size=5)
        lab.delete(path)
        await world.until(lambda: listener.bodies)
        assert [kind(body) for body in listener.bodies] == ["CIM_InstDeletion"]


async def test_conditions_are_read_with_the_classes_of_the_namespace(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        lab.subscribe(listener.url, GROWN)
        thing, sub = lab.make("LAB_Thing", Id="a"), lab.make("LAB_Sub", Id="b")
        for path in (thing, sub):
            lab.change(path, Size=4)
            lab.change(path, Size=9)
        await world.until(lambda: listener.bodies)
        (body,) = listener.bodies
        assert 'CLASSNAME="LAB_Sub"' in inside(body, "SourceInstance")
        assert "<VALUE>4</VALUE>" in inside(body, "PreviousInstance")


async def test_a_filter_hears_nothing_of_namespaces_it_does_not_name(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        lab.subscribe(listener.url, INSTANCES, "elsewhere", ("root/cimv2",))
        lab.subscribe(listener.url, INSTANCES, "here", ("LAB",))
        lab.make("LAB_Thing", Id="a")
        world.vm("web")
        await world.until(lambda: len(listener.bodies) >= 2)
        named = dict(zip(listener.values("IndicationFilterName"), listener.bodies, strict=True))
        assert 'CLASSNAME="LAB_Thing"' in inside(named["here"], "SourceInstance")
        assert 'CLASSNAME="LAB_Thing"' not in inside(named["elsewhere"], "SourceInstance")


async def test_a_namespace_that_went_does_not_silence_a_filter_of_others(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        world.provider.spaces.create("gone")
        lab.subscribe(listener.url, INSTANCES, "both", ("gone", "lab"))
        world.provider.spaces.delete("gone")
        lab.make("LAB_Thing", Id="a")
        lab.subscribe(listener.url, INSTANCES, "later")
        lab.make("LAB_Thing", Id="b")
        await world.until(lambda: len(listener.bodies) == 3)
        assert sorted(listener.values("IndicationFilterName")) == ["both", "both", "later"]


async def test_associations_are_told_with_what_they_refer_to(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        ends = [lab.make("LAB_Thing", Id=name) for name in "ab"]
        lab.subscribe(listener.url, "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA LAB_Link")
        lab.make("LAB_Thing", Id="c")
        lab.make("LAB_Link", Left=ends[0], Right=ends[1])
        await world.until(lambda: listener.bodies)
        (body,) = listener.bodies
        assert inside(body, "SourceInstance").count("<VALUE.REFERENCE>") == 2


async def test_a_class_written_after_the_filter_counts_from_then_on(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        lab.subscribe(listener.url, "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA LAB_Thing")
        lab.make("LAB_Thing", Id="a")
        (tmp_path / "more.mof").write_text("class LAB_Later : LAB_Thing { };")
        load_models(world.provider, [(tmp_path / "more.mof", "lab")])
        lab.make("LAB_Later", Id="b")
        await world.until(lambda: len(listener.bodies) == 2)
        assert 'CLASSNAME="LAB_Later"' in inside(listener.bodies[1], "SourceInstance")


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_filter_whose_class_was_away_is_used_again_when_the_class_is_back(
    tmp_path: File, restarted: bool
) -> None:
    """Meanwhile the subscriptions were looked at anew: another was written, or the service began again."""
    async with running_lab(tmp_path) as (world, lab), listening() as listener:
        lab.subscribe(listener.url, "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA LAB_Sub")
        spaces = world.provider.spaces
        space = spaces.get("lab")
        declared = space.declared["lab_sub"]
        spaces.delete_class(space, "LAB_Sub")
        if restarted:
            await world.indications.stop()
            await world.indications.start()
        else:
            lab.subscribe(listener.url, GROWN.replace("LAB_Sub", "LAB_Thing"), "other")
        lab.make("LAB_Thing", Id="a")
        spaces.create_class(space, declared)
        lab.make("LAB_Sub", Id="b")
        await world.until(lambda: listener.bodies)
        assert listener.values("IndicationFilterName") == ["one"]


async def test_a_filter_about_a_class_its_namespace_does_not_have_is_refused(tmp_path: File) -> None:
    async with running_lab(tmp_path) as (_world, lab):
        for spaces in (("root/cimv2",), ("lab", "root/cimv2")):
            with pytest.raises(CimError) as error:
                lab.subscribe("http://127.0.0.1:1", GROWN, spaces=spaces)
            assert error.value.status == 15  # INVALID_QUERY
