"""What clients wrote is on disk before they are told, and comes back; a disk that fails is told, too."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path as File

import pytest
import pywbem
from cim_repository import RepositoryWorld, status
from hypothesis import given
from hypothesis import strategies as st
from pywbem import CIMClass, CIMInstance, CIMProperty, CIMQualifier, MOFCompiler

from cim_provider.repository.disk import Disk, DiskError
from cim_provider.repository.json_values import dumps, loads, path_key
from cim_provider.schema.objects import Instance, Path

KEY = CIMClass("TST_T", properties=[CIMProperty("Id", None, "string", qualifiers=[CIMQualifier("Key", True)])])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts
names = st.from_regex(r"[A-Z][a-z]{0,5}", fullmatch=True)
plain = st.builds(Path.of, names, st.dictionaries(names, texts, max_size=3), names)
paths = plain | st.builds(Path.of, names, st.dictionaries(names, plain | texts, max_size=3), names)
instances = st.builds(Instance, names, st.dictionaries(names, scalars | paths, max_size=3))
anything = scalars | paths | instances | st.lists(scalars | instances, max_size=4).map(tuple)


@given(anything)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    assert loads(dumps(value)) == value


def test_a_real_that_is_no_number_comes_back() -> None:
    assert math.isnan(loads(dumps(math.nan)))


@given(paths, paths)
def test_paths_have_the_same_key_only_if_they_are_the_same(one: Path, other: Path) -> None:
    assert (path_key(one) == path_key(other)) == (one == other)


def test_all_that_was_written_is_there_after_a_restart(tmp_path: File) -> None:
    world = RepositoryWorld(tmp_path)
    client = world.client()
    client.CreateClass(KEY)
    paths = [client.CreateInstance(CIMInstance("TST_T", {"Id": f"{n}"})) for n in range(3)]
    client.DeleteInstance(paths[1])
    client.CreateClass(CIMClass("TST_Gone", superclass="TST_T"))
    client.CreateClass(CIMClass("TST_Sub", superclass="TST_T"))
    client.DeleteClass("TST_Gone")
    client.SetQualifier(pywbem.CIMQualifierDeclaration("Mine", "string", scopes={"CLASS": True}))
    world.client("interop").CreateInstance(CIMInstance("CIM_Namespace", {"Name": "kept"}))
    again = world.restarted()
    client = again.client()
    assert [p["Id"] for p in client.EnumerateInstanceNames("TST_T")] == ["0", "2"]
    assert client.EnumerateClassNames(ClassName="TST_T") == ["TST_Sub"]
    assert client.GetQualifier("Mine").type == "string"
    assert "kept" in again.provider.namespaces


def test_an_embedded_class_comes_back_as_it_was_written(tmp_path: File) -> None:
    world = RepositoryWorld(tmp_path)
    client = world.client("interop")
    holder = (
        "class TST_Holder { [Key] string Id; [EmbeddedObject] string Held; [EmbeddedObject] string Many[]; "
        '[EmbeddedInstance("TST_Holder")] string Own; };'
    )
    MOFCompiler(client, log_func=None).compile_string(holder, "interop")
    written = client.GetClass("CIM_ListenerDestination", LocalOnly=False, IncludeQualifiers=True)
    written.properties["Name"].value = "<&> é"
    part = CIMInstance("TST_Holder", {"Id": "part"})
    path = client.CreateInstance(
        CIMInstance(
            "TST_Holder",
            [CIMProperty("Id", "a"), CIMProperty("Held", written), CIMProperty("Many", [part, written], type="string")],
        )
    )
    again = world.restarted()
    found = again.client("interop").GetInstance(path)
    for told in (found["Held"], found["Many"][1]):
        assert isinstance(told, CIMClass)
        assert (told.classname, told.superclass) == ("CIM_ListenerDestination", "CIM_ManagedElement")
        assert {name: prop.type for name, prop in told.properties.items()} == {
            name: prop.type for name, prop in written.properties.items()
        }
        assert told.properties["Name"].value == "<&> é"
        assert told.qualifiers["Version"].value == written.qualifiers["Version"].value
    assert found["Many"][0]["Id"] == "part"
    with pytest.raises(pywbem.CIMError):
        client.CreateInstance(CIMInstance("TST_Holder", [CIMProperty("Id", "b"), CIMProperty("Own", written)]))
    assert again.disk is not None
    again.disk.close()


def test_a_class_that_stands_before_its_superclass_on_disk_is_restored(tmp_path: File) -> None:
    world = RepositoryWorld(tmp_path)
    client = world.client()
    client.CreateClass(KEY)
    client.CreateClass(CIMClass("TST_Sub", superclass="TST_T"))
    assert world.disk is not None
    rows = dict(world.disk.rows("class"))
    world.disk.drop("class", "root/cimv2\ntst_t")
    asyncio.run(_settled(world.disk))
    world.disk.put("class", "root/cimv2\ntst_t", rows["root/cimv2\ntst_t"])
    again = world.restarted()
    assert again.disk is not None
    assert [key for key, _ in again.disk.rows("class")] == ["root/cimv2\ntst_sub", "root/cimv2\ntst_t"]
    assert again.client().GetClass("TST_Sub").superclass == "TST_T"


async def _settled(disk: Disk) -> None:
    later = disk.settled()
    if later is not None:
        await later


def test_a_client_is_told_when_its_change_cannot_be_kept(tmp_path: File) -> None:
    world = RepositoryWorld(tmp_path)
    world.client().CreateClass(KEY)
    assert world.disk is not None
    world.disk._connection.execute("PRAGMA query_only=ON")  # as a disk that takes no more
    with pytest.raises(pywbem.CIMError) as error:
        world.client().CreateInstance(CIMInstance("TST_T", {"Id": "lost"}))
    assert status(error.value) == "FAILED"
    with pytest.raises(pywbem.CIMError, match="read-only"):
        world.client().CreateInstance(CIMInstance("TST_T", {"Id": "refused"}))
    assert "refused" not in [p["Id"] for p in world.client().EnumerateInstanceNames("TST_T")]
    assert world.restarted().client().EnumerateInstanceNames("TST_T") == []


def test_many_changes_of_one_thing_are_written_with_few_transactions(tmp_path: File) -> None:
    disk = Disk(tmp_path)
    before = disk._connection.total_changes
    for n in range(1000):
        disk.put("k", "same", str(n).encode())
    asyncio.run(_settled(disk))
    assert disk.rows("k") == [("same", b"999")]
    assert disk._connection.total_changes - before < 1000
    disk.close()


def test_a_file_that_is_not_ours_or_newer_is_refused_in_one_sentence(tmp_path: File) -> None:
    newer = ["CREATE TABLE t (a)", "PRAGMA application_id=2019913335", "PRAGMA user_version=99"]
    for name, statements, words in (
        ("other", ["CREATE TABLE t (a)"], "is not a file of"),
        ("newer", newer, "has format 99"),
    ):
        (tmp_path / name).mkdir()
        connection = sqlite3.connect(tmp_path / name / "cim.db")
        for statement in statements:
            connection.execute(statement)
        connection.close()
        with pytest.raises(DiskError, match=f"cim.db {words}"):
            Disk(tmp_path / name)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "cim.db").write_bytes(b"no database " * 100)
    with pytest.raises(DiskError, match=r"cim.db cannot be used"):
        Disk(tmp_path / "damaged")


def test_a_row_that_cannot_be_read_is_left_alone(tmp_path: File) -> None:
    disk = Disk(tmp_path)
    disk.put("instance", "nonsense", b"{")
    disk.put("instance", path_key(Path.of("TST_None", {"Id": "a"}, "root/cimv2")), b"{}")
    disk.put("provided", "nonsense", b"{")
    disk.close()
    world = RepositoryWorld(tmp_path)
    assert len(world.provider.static) == 0
    assert world.disk is not None
    assert len(world.disk.rows("instance")) == 2
    world.disk.close()
