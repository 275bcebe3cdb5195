"""`xencim cim check`: our declarations are right, and each kind of difference from the DMTF's schema is told."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cim_provider.cli.commands import cim
from cim_provider.compat.modes import MODES, for_no_pool
from cim_provider.mapping.face import Face
from cim_provider.mapping.rule import const
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.profiles.memory import Memory
from cim_provider.schema.compare import differences, dmtf_classes, official
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.mof_text import MofError

THING = """
[Description ( "A thing." ), Version ( "1.0.0" )]
class CIM_Thing {
    [Key] string InstanceID;
    [ValueMap { "0", "1" }, Values { "Off", "On" }] uint16 State = 1;
    string Words[];
    uint32 Turn([In, Required] uint16 State, [In ( false ), Out] string Told);
};
[Association, Version ( "1.0.0" ), Description ( "Two things." )]
class CIM_Pair {
    [Key] CIM_Thing REF First;
    [Key, Max ( 1 )] CIM_Thing REF Second;
};
[Version ( "1.0.0" ), Description ( "A thing that stands above." )]
class CIM_Upper {
    [Key] string InstanceID;
};
"""


def schema(folder: Path, text: str = THING) -> Path:
    """A DMTF schema in a folder: a file for each class, and the qualifier types."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = text.split("\n[")
    for part in parts[1:]:
        name = part.partition("class ")[2].split()[0]
        (folder / f"{name}.mof").write_text(f"[{part}")
    qualifiers = (mof_root() / "dmtf" / "qualifiers.mof").read_text("utf-8")
    (folder / "qualifiers.mof").write_text(qualifiers)
    (folder / "qualifiers_optional.mof").write_text("")
    return folder


def told(tmp_path: Path, ours: str, theirs: str = THING) -> list[str]:
    """The differences between two texts of the same classes."""
    place = schema(tmp_path / "theirs", theirs)
    mine = tmp_path / "ours.mof"
    mine.write_text('#pragma include ("theirs/qualifiers.mof")\n' + ours)
    graph = load_graph([mine], tmp_path / "cache")
    return differences(graph, official(place, dmtf_classes(graph)))


def test_equal_declarations_do_not_differ(tmp_path: Path) -> None:
    assert told(tmp_path, THING) == []


def test_prose_may_differ(tmp_path: Path) -> None:
    assert told(tmp_path, THING.replace("A thing.", "Something else.")) == []


@pytest.mark.parametrize(
    ("mine", "instead", "mistake"),
    [
        ("uint16 State = 1", "uint32 State = 1", "CIM_Thing.State: shape"),
        ("uint16 State = 1", "uint16 State = 0", "CIM_Thing.State: default 0, the DMTF has 1"),
        ('"Off", "On"', '"Off", "Up"', "CIM_Thing.State: qualifier Values"),
        ('"0", "1"', '"0", "2"', "CIM_Thing.State: qualifier ValueMap"),
        ("string Words[]", "string Words", "CIM_Thing.Words: shape"),
        ("string Words[];", "", "CIM_Thing: no property Words, the DMTF has it"),
        ("string Words[];", "string Words[]; string More;", "CIM_Thing: property More, the DMTF has none"),
        ("[Key] string InstanceID;\n    [Val", "string InstanceID;\n    [Val", "CIM_Thing: keys ()"),
        ("uint32 Turn(", "uint16 Turn(", "CIM_Thing.Turn(): return type 'uint16'"),
        ("[In, Required] uint16 State", "[In] uint16 State", "CIM_Thing.Turn() State: qualifier Required"),
        ("[In ( false ), Out] string Told", "[In] string Told", "CIM_Thing.Turn() Told: shape"),
        (", [In ( false ), Out] string Told", "", "CIM_Thing.Turn(): parameters"),
        ("[Key, Max ( 1 )] CIM_Thing REF Second", "[Key] CIM_Thing REF Second", "CIM_Pair.Second: qualifier Max"),
        ("CIM_Thing REF Second", "CIM_Upper REF Second", "CIM_Pair.Second: shape"),
        ("class CIM_Upper {\n    [Key] string InstanceID;", "class CIM_Upper : CIM_Thing {", "CIM_Upper: superclass"),
        ("class CIM_Upper {", "class CIM_Uppermost {", "CIM_Uppermost: the DMTF has no such class"),
    ],
)
def test_each_kind_of_difference_is_told(tmp_path: Path, mine: str, instead: str, mistake: str) -> None:
    changed = THING.replace(mine, instead)
    assert changed != THING
    assert any(line.startswith(mistake) for line in told(tmp_path, changed))


def test_a_class_marked_experimental_is_not_compared(tmp_path: Path) -> None:
    mine = THING.replace("class CIM_Upper {", "class CIM_Uppermost {")
    marked = mine.replace('[Version ( "1.0.0" ), Desc', '[Experimental, Version ( "1.0.0" ), Desc')
    assert told(tmp_path, marked) == []


def test_a_zip_file_is_read_like_a_folder(tmp_path: Path) -> None:
    folder = schema(tmp_path / "theirs")
    packed = tmp_path / "schema.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"Core/{file.name}")
    assert official(packed, ["CIM_Thing"]).classes["cim_thing"].keys == ("InstanceID",)


def test_what_is_no_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    for place in ("empty", "text.zip"):
        with pytest.raises(MofError, match=place):
            official(tmp_path / place, ["CIM_Thing"])


def run(*words: str) -> Result:
    return CliRunner().invoke(cim, ["check", *words], env={"XENCIM_DMTF_SCHEMA_ZIP": None})


def test_our_declarations_have_no_mistake() -> None:
    done = run()
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Mapping", "Mode libvirt-cim", "Mode xs-cim", "Schema"]
    assert all(line.endswith(": no mistakes") for line in lines[:-1])
    assert "Schema: not compared" in done.stdout


def test_a_face_of_a_mode_that_does_not_fit_its_mof_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mode = for_no_pool("xs-cim")
    wrong = {ComputerSystem: Face("CIM_Nowhere"), Memory: Face(lines={"Colour": const("red")})}
    monkeypatch.setitem(MODES, "xs-cim", lambda source: replace(mode, faces=wrong))
    done = run()
    assert done.exit_code == 6
    assert "Mode xs-cim: 2 faces" in done.stdout
    assert "  Xen_Memory: the class has no property Colour" in done.stdout
    assert "  CIM_Nowhere: " in done.stdout


def test_classes_the_schema_lacks_are_listed_and_the_exit_code_tells(tmp_path: Path) -> None:
    done = run("--schema", str(schema(tmp_path / "theirs")))
    assert done.exit_code == 6
    assert "  CIM_ManagedElement: the DMTF has no such class" in done.stdout
    assert "mistakes" in done.output


def test_more_mof_is_compiled_after_ours(tmp_path: Path) -> None:
    more = tmp_path / "more.mof"
    more.write_text('[Description ( "More." )] class Test_More : CIM_ManagedElement { [Key] string Id; };\n')
    counted = [int(run(*words).stdout.split(" classes of MOF")[0].split()[-1]) for words in ((), ("--mof", str(more)))]
    assert counted[1] == counted[0] + 1


def test_mof_that_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.mof"
    wrong.write_text("\nclass Test_Wrong : CIM_Nowhere { };\n")
    done = run("--mof", str(wrong))
    assert done.exit_code == 6
    assert f"{wrong}:2: CIM_Nowhere" in done.output
