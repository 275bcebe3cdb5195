"""MOF at the start: what goes where, what is taken along, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from cim_repository import RepositoryWorld

from cim_provider.operations.models import load_models
from cim_provider.schema.mof_text import MofError


def loaded(world: RepositoryWorld, folder: Path, text: str, namespace: str = "lab") -> RepositoryWorld:
    file = folder / "model.mof"
    file.write_text(text)
    load_models(world.provider, [(file, namespace)])
    return world


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("class LAB_A {\n  [Key] string Id\n};\n", 3, ""),
        ("\nclass LAB_A : LAB_Missing { [Key] string Id; };\n", 2, "LAB_Missing"),
        ('\n\ninstance of LAB_Missing { A = "x"; };\n', 3, "LAB_Missing"),
        ("[Association] class LAB_A {\n [Key] LAB_B REF One; [Key] LAB_B REF Two; };\n", 1, "LAB_B"),
        ('class LAB_A { [Key] string Id; string B; };\n\ninstance of LAB_A { B = "x"; };\n', 3, "Id"),
        ('#pragma include ("missing.mof")\n', 1, "missing.mof"),
        ('class LAB_A { [Key] string Id; };\n\ninstance of LAB_A { B = "x"; };\n', 3, "'B'"),
        ('class LAB_A { [Key] uint8 Id; };\ninstance of LAB_A\n { Id = 300; };\n\n\nclass LAB_B {};', 2, "300"),
        ('class LAB_A { [Key] string Id; };\ninstance of LAB_A { Id = "\\xD800"; };\n', 2, "XML"),
        ("\nclass LAB_A { char16 C = '\\x0'; };\n", 2, "XML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_sentence_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(MofError) as error:
        loaded(RepositoryWorld(), tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'model.mof'}:{line}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MofError, match=r"nowhere.mof cannot be read: "):
        load_models(RepositoryWorld().provider, [(tmp_path / "nowhere.mof", "lab")])


def test_characters_are_what_their_literals_stand_for(tmp_path: Path) -> None:
    world = loaded(
        RepositoryWorld(),
        tmp_path,
        """class LAB_Part { char16 C; };
        class LAB_A { [Key] char16 Id; char16 C = '\\x20AC'; char16 Many[] = {'a', '\\''};
            [EmbeddedInstance("LAB_Part")] string Part; };
        instance of LAB_A { Id = '"'; Part = "instance of LAB_Part { C = 'p'; };"; };""",
    )
    with world.client("lab") as client:
        (found,) = client.EnumerateInstances("LAB_A")
        assert (found["Id"], found["C"], found["Many"], found["Part"]["C"]) == ('"', "€", ["a", "'"], "p")
        assert client.GetClass("LAB_A").properties["C"].value == "€"


def test_what_a_model_stands_on_is_taken_from_the_schema_of_the_server(tmp_path: Path) -> None:
    world = loaded(RepositoryWorld(), tmp_path, "class LAB_Disk : CIM_StorageExtent { [Write] string Colour; };")
    graph, whole = world.provider.graph("lab"), world.provider.graph("interop")
    assert graph.superclasses("LAB_Disk")[-1] == "CIM_ManagedElement"
    assert set(graph.classes["cim_storageextent"].properties) == set(whole.classes["cim_storageextent"].properties)
    assert "CIM_Processor" not in {cls.name for cls in graph.classes.values()}
    assert world.client("lab").GetClass("LAB_Disk").properties["Colour"].qualifiers["Write"].value is True


def test_a_class_may_refer_to_one_that_comes_later(tmp_path: Path) -> None:
    text = "[Association] class LAB_L { [Key] LAB_T REF A; [Key] LAB_T REF B; }; class LAB_T { [Key] string Id; };"
    assert "lab_t" in loaded(RepositoryWorld(), tmp_path, text).provider.graph("lab").classes


def test_loading_again_replaces_what_is_there(tmp_path: Path) -> None:
    text = 'class LAB_T { [Key] string Id; %s }; instance of LAB_T { Id = "a"; %s };'
    world = loaded(RepositoryWorld(), tmp_path, text % ("", ""))
    client = loaded(world, tmp_path, text % ("uint8 Size;", "Size = 3;")).client("lab")
    assert [(i["Id"], i["Size"]) for i in client.EnumerateInstances("LAB_T")] == [("a", 3)]


def test_a_pragma_names_the_namespace(tmp_path: Path) -> None:
    text = '#pragma namespace ("root/other")\nclass LAB_T { [Key] string Id; };'
    world = loaded(RepositoryWorld(), tmp_path, text)
    assert world.client("root/other").EnumerateClassNames() == ["LAB_T"]
    assert world.client("lab").EnumerateClassNames() == []


def test_classes_of_the_server_have_no_instances_from_mof(tmp_path: Path) -> None:
    text = 'instance of CIM_ComputerSystem { CreationClassName = "x"; Name = "y"; };'
    with pytest.raises(MofError, match="a class of the server"):
        loaded(RepositoryWorld(), tmp_path, text, "root/cimv2")
