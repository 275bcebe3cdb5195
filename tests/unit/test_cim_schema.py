"""MOF to class graph: inheritance, the cache, and what is said about wrong MOF."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cim_kit import graph

from cim_provider.schema import compile as compiling
from cim_provider.schema.compile import KEPT, cache_folder, load_graph, mof_root
from cim_provider.schema.mof_text import MofError

QUALIFIERS = mof_root() / "dmtf" / "qualifiers.mof"


def load(folder: Path, *texts: str, cache: Path | None = None):
    paths = [QUALIFIERS]
    for number, text in enumerate(texts):
        path = folder / f"part{number}.mof"
        path.write_text(text)
        paths.append(path)
    return load_graph(paths, cache=cache if cache is not None else folder / "cache")


def test_a_subclass_lists_the_properties_of_its_superclass_first():
    names = [p.name for p in graph().classes["t_every"].properties.values()]
    assert names[:4] == ["InstanceID", "Caption", "State", "One_string"]


def test_an_override_keeps_the_origin_and_replaces_only_its_own_qualifiers():
    state = graph().classes["t_every"].properties["state"]
    assert (state.origin, state.propagated, state.default) == ("T_Root", False, 1)
    assert state.qualifiers["valuemap"].value == ("0",)
    assert not state.qualifiers["valuemap"].propagated
    assert state.qualifiers["description"].value == "Base."
    assert state.qualifiers["description"].propagated


def test_an_inherited_property_is_marked_as_propagated_and_shared_by_subclasses():
    caption = graph().classes["t_every"].properties["caption"]
    assert caption.propagated
    assert caption.origin == "T_Root"
    assert graph().classes["t_root"].properties["caption"].propagated is False


def test_restricted_qualifiers_stay_with_the_class_that_has_them():
    assert graph().classes["t_root"].abstract
    assert not graph().classes["t_every"].abstract
    assert "version" not in graph().classes["t_every"].qualifiers


def test_an_association_hands_its_nature_and_keys_down():
    link = graph().classes["t_speciallink"]
    assert link.association
    assert link.keys == ("Antecedent", "Dependent")
    assert link.properties["dependent"].reference_class == "T_Every"
    assert link.properties["dependent"].qualifiers["max"].value == 1


def test_embedded_and_direction_are_known_of_parameters():
    take = graph().classes["t_every"].methods["take"].parameters
    assert (take["settings"].embedded, take["settings"].array, take["settings"].input) == ("instance", True, True)
    assert (take["job"].input, take["job"].output, take["job"].reference_class) == (False, True, "T_Root")
    assert (take["problem"].input, take["problem"].output) == (True, True)


def test_family_relations_ignore_case():
    found = graph()
    assert found.superclasses("t_every") == ("T_Root",)
    assert found.subclasses("t_root", deep=True) == ("T_Every",)
    assert set(found.subclasses("")) == {"T_Root", "T_Part", "T_Numbered", "T_Keys", "T_Link"}
    assert found.is_a("T_SPECIALLINK", "t_link")
    assert not found.is_a("T_Link", "T_SpecialLink")


def test_subclasses_may_come_before_their_superclass(tmp_path):
    found = load(tmp_path, "class B : A { };", "class A { [Key] string Id; };")
    assert found.classes["b"].keys == ("Id",)


def test_the_cached_graph_equals_the_compiled_one(tmp_path):
    text = (
        'class A { [Key, Values {"a", "b"}] string Id; uint8 N[] = {1, 2}; datetime T = "00000001000000.000000:000"; };'
    )
    first = load(tmp_path, text)
    (entry,) = (tmp_path / "cache").glob("mof-*.json")
    written = entry.stat().st_mtime_ns
    second = load(tmp_path, text)
    assert entry.stat().st_mtime_ns == written
    assert first.classes["a"].properties == second.classes["a"].properties
    assert second.classes["a"].properties["n"].default == (1, 2)
    assert first.qualifier_declarations == second.qualifier_declarations


def test_reading_the_cache_does_not_load_the_mof_compiler(tmp_path):
    load(tmp_path, "class A { };")
    program = (
        "import sys; from pathlib import Path; from cim_provider.schema.compile import load_graph;"
        f"g = load_graph([Path({str(QUALIFIERS)!r}), Path({str(tmp_path / 'part0.mof')!r})],"
        f"               Path({str(tmp_path / 'cache')!r}));"
        "assert 'a' in g.classes; sys.exit('pywbem' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=mof_root().parent, check=False)
    assert done.returncode == 0


def test_changed_text_makes_a_new_entry(tmp_path):
    load(tmp_path, "class A { };")
    found = load(tmp_path, "class A { string Added; };")
    assert "added" in found.classes["a"].properties
    assert len(list((tmp_path / "cache").glob("mof-*.json"))) == 2


def test_the_cache_keeps_the_newest_entries_only(tmp_path):
    cache = tmp_path / "cache"
    for number in range(KEPT + 3):
        before = set(cache.glob("*"))
        load(tmp_path, f"class T_Generation{number} {{ }};", cache=cache)
        (entry,) = set(cache.glob("*")) - before
        os.utime(entry, (number, number))
    assert sorted(file.stat().st_mtime for file in cache.glob("*")) == list(range(3, KEPT + 3))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"pool": [[1]], "classes": [], "qualifiers": []}'])
def test_a_damaged_entry_is_replaced(tmp_path, damage):
    load(tmp_path, "class A { };")
    (entry,) = (tmp_path / "cache").glob("mof-*.json")
    good = entry.read_bytes()
    entry.write_bytes(damage)
    assert "a" in load(tmp_path, "class A { };").classes
    assert entry.read_bytes() == good


def test_no_cache_folder_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "a" in load(tmp_path, "class A { };", cache=blocked / "below").classes


def test_nothing_but_entries_is_left_in_the_cache_folder(tmp_path):
    load(tmp_path, "class A { };")
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".json"]


def test_the_cache_folder_follows_the_xdg_rules(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "xencim"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "xencim"


def test_a_new_format_does_not_read_old_entries(tmp_path, monkeypatch):
    load(tmp_path, "class A { };")
    monkeypatch.setattr(compiling, "FORMAT", compiling.FORMAT + 1)
    load(tmp_path, "class A { };")
    assert len(list((tmp_path / "cache").glob("mof-*.json"))) == 2


@pytest.mark.parametrize(
    ("texts", "where", "sentence"),
    [
        (["class A { };\n\nclass B { strin };\n"], "part0.mof:3", "MOF grammar error"),
        (["class A { };", "\nclass B : C { };"], "part1.mof:2", "C, superclass of B, is not declared"),
        (["[Association]\nclass A { B REF X; };"], "part0.mof:2", "B, class of reference X of A, is not declared"),
        (['class A { [EmbeddedInstance("B")] string X; };'], "part0.mof:1", "B, class embedded in X of A"),
        (["class A { };", "class a { };"], "part1.mof:1", "a is declared in"),
        (["class A { [NoSuch] string X; };"], "part0.mof:1", "NoSuch"),
        (["instance of A { };"], "part0.mof:1", ""),
        (["class A : B { };", "class B : A { };"], "part", "is its own superclass"),
    ],
)
def test_wrong_mof_is_told_with_file_and_line(tmp_path, texts, where, sentence):
    with pytest.raises(MofError) as caught:
        load(tmp_path, *texts)
    assert where in str(caught.value)
    assert sentence in str(caught.value)


def test_a_missing_include_is_told_with_the_line_that_wants_it(tmp_path):
    with pytest.raises(MofError, match=r"part0\.mof:2: cannot read .*nowhere\.mof"):
        load(tmp_path, '// one\n#pragma include ("nowhere.mof")\n')


def test_includes_are_compiled_once_and_before_their_includer(tmp_path):
    (tmp_path / "base.mof").write_text("class A { };")
    include = '#pragma include ("base.mof")\n'
    found = load(tmp_path, f"{include}class B : A {{ }};", f"{include}class C : A {{ }};")
    assert [c.name for c in found.classes.values()] == ["A", "B", "C"]


def test_a_folder_without_an_entry_file_is_refused(tmp_path):
    with pytest.raises(MofError, match=r"no xencim\*\.mof"):
        load_graph([tmp_path], cache=tmp_path)


def test_all_shipped_classes_compile_into_one_graph(tmp_path):
    found = load_graph([mof_root() / "dmtf", mof_root() / "xen"], cache=tmp_path)
    assert found.find("CIM_ComputerSystem") is not None
    assert all(found.classes[c.superclass.lower()] for c in found.classes.values() if c.superclass)
    assert os.listdir(tmp_path)
