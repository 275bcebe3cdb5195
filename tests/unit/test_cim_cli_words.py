"""The parts of `xencim cim` that need no server: words to instances, values to text, options to a target."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
import pywbem

from cim_provider.cli.change import arguments, method_of
from cim_provider.cli.commands import cim
from cim_provider.cli.connect import CONNECT, MISSING, USAGE, Failure, target
from cim_provider.cli.indications import line
from cim_provider.cli.output import ValueNames, instance_object, plain, readable, value_names
from cim_provider.cli.select import short, text_of, wanted, written_path
from cim_provider.cli.trees import ends, key_of

DISK = pywbem.CIMInstanceName(
    "T_Disk",
    {"CreationClassName": "T_Disk", "SystemName": "a,b", "DeviceID": 'x="1"', "SystemCreationClassName": "T_System"},
    namespace="root/cimv2",
    host="far.example:5989",
)


def system(name: str, **values: object) -> pywbem.CIMInstance:
    path = pywbem.CIMInstanceName("T_System", {"Name": name}, namespace="root/cimv2")
    return pywbem.CIMInstance("T_System", {"Name": name, **values}, path=path)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """`xencim cim` with these words: exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as end:
        cim.main(list(words), prog_name="xencim cim")
    return (int(end.value.code or 0), *capsys.readouterr())


# words


@pytest.mark.parametrize(
    ("word", "classname", "keys", "name"),
    [
        ("web-0", "CIM_System", (), "web-0"),
        ("*.example.org", "CIM_System", (), "*.example.org"),
        ("T_System", "T_System", (), None),
        ("T_System.web-0", "T_System", (), "web-0"),
        ("T_System.web-0.example", "T_System", (), "web-0.example"),
        ("T_System.Name=web-*", "T_System", (("Name", "web-*"),), None),
        (
            'T_Disk.SystemName="a,b",DeviceID="x=\\"1\\""',
            "T_Disk",
            (("SystemName", "a,b"), ("DeviceID", 'x="1"')),
            None,
        ),
        ("root/cimv2:T_System.Name=a", "T_System", (("Name", "a"),), None),
        ("//far.example:5989/root/cimv2:T_System.Name=a", "T_System", (("Name", "a"),), None),
    ],
)
def test_a_word_means_a_class_and_keys_or_a_name(
    word: str, classname: str, keys: tuple[tuple[str, str], ...], name: str | None
) -> None:
    found = wanted(word)
    assert (found.classname, found.keys, found.name) == (classname, keys, name)
    assert found.namespace == ("root/cimv2" if "cimv2" in word else None)


@pytest.mark.parametrize("word", ["", "a=b", "x:y", "T_System.Name=a,b"])
def test_a_word_that_means_nothing_is_wrong_usage(word: str) -> None:
    with pytest.raises(Failure) as failure:
        wanted(word)
    assert failure.value.exit_code == USAGE
    assert failure.value.hint


@pytest.mark.parametrize(
    ("word", "fits"),
    [
        ("web-0", True),
        ("T_System.u-1", True),
        ("T_System.*-0", True),
        ("T_System.Name=u-?", True),
        ("T_System.name=u-[0-3]", True),
        ("T_System.Name=web-0", False),
        ("T_System.Colour=red", False),
        ("web", False),
    ],
)
def test_names_and_keys_are_matched_with_wildcards(word: str, fits: bool) -> None:
    assert wanted(word).fits(system("u-1", ElementName="web-0")) is fits


def test_a_printed_path_is_read_back() -> None:
    found = written_path(text_of(DISK))
    assert found is not None
    assert found.keybindings == DISK.keybindings
    assert wanted(text_of(DISK)).namespace == "root/cimv2"
    assert "far.example" not in text_of(DISK)
    reference = pywbem.CIMInstanceName("T_Link", {"Left": DISK}, namespace="root/cimv2")
    again = written_path(text_of(reference))
    assert again is not None
    assert isinstance(again["Left"], pywbem.CIMInstanceName)


def test_a_short_path_leaves_out_what_repeats_class_names() -> None:
    assert short(DISK) == 'T_Disk.DeviceID=x="1"'
    assert short(system("a").path) == "T_System.Name=a"
    assert short(pywbem.CIMInstanceName("T_X", {"CreationClassName": "T_X"})) == "T_X.CreationClassName=T_X"


# options


@pytest.mark.parametrize(
    ("server", "url", "user"),
    [
        ("http://h:1", "http://h:1", None),
        ("h", "http://h:5988", None),
        ("https://h", "https://h:5989", None),
        ("h:77", "http://h:77", None),
        ("http://me:p%40ss@h", "http://h:5988", "me"),
        ("http://[::1]:8", "http://[::1]:8", None),
    ],
)
def test_a_server_may_be_written_short(server: str, url: str, user: str | None) -> None:
    found = target(server, None, None, "/root/cimv2/")
    assert (found.url, found.user, found.namespace) == (url, user, "root/cimv2")
    assert found.password == ("p@ss" if user else None)
    assert target(server, "other", "secret", "x").user == "other"


@pytest.mark.parametrize("server", ["ftp://h", "http://", "http://h:port", "http://h:99999", "http://["])
def test_what_is_no_server_is_wrong_usage(server: str) -> None:
    with pytest.raises(Failure) as failure:
        target(server, None, None, "x")
    assert failure.value.exit_code == USAGE


@pytest.mark.parametrize("words", [["instances", "CIM_System"], ["get", "x"], ["namespaces"], ["tree", "x"]])
def test_a_server_that_is_not_there_is_one_sentence_and_a_hint(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, err = run(capsys, *words, "-s", "http://127.0.0.1:1", "-u", "root", "-p", "secret")
    sentence, hint = err.splitlines()
    assert (code, out, sentence) == (CONNECT, "", "error: no WBEM server answers at http://127.0.0.1:1")
    assert "xencim serve --demo" in hint
    assert "secret" not in err


def test_errors_are_json_where_results_are(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "instances", "CIM_System", "-o", "json", "-s", "http://127.0.0.1:1")
    assert json.loads(out)["exit"] == CONNECT == code
    assert err == ""


@pytest.mark.parametrize("name", cim.commands)
def test_a_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert f"xencim cim {name}" in out.partition("Options:")[0].partition("\n")[2]
    assert ("XENCIM_WBEM" in out) is (name != "check")  # which needs no server


def test_the_page_tells_every_command_and_every_option_of_a_connection() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cim-cli.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)(?: [^`]*)?` \|", page.partition("## The server")[0], re.MULTILINE)
    assert told == list(cim.commands)
    connection = {o for p in cim.commands["namespaces"].params for o in (*p.opts, *p.secondary_opts)}
    said = re.findall(r"`(-{1,2}[a-z-]+)[ `]", page.partition("## The server")[2].partition("## Naming")[0])
    assert connection - {"-o", "--output", "--verify"} == set(said)


# values


def test_values_are_json_values() -> None:
    assert plain([pywbem.Uint16(2), None, True, pywbem.Real32(1.5)]) == [2, None, True, 1.5]
    assert plain(pywbem.CIMDateTime("20240301120000.000000+000")) == "20240301120000.000000+000"
    assert plain(system("a").path) == 'root/cimv2:T_System.Name="a"'
    inner = pywbem.CIMInstance("T_Part", {"Size": pywbem.Uint32(7)})
    assert instance_object(inner) == {"class": "T_Part", "path": None, "properties": {"Size": 7}}
    assert json.loads(json.dumps(plain(inner)))["properties"] == {"Size": 7}


def test_control_characters_cannot_command_a_terminal() -> None:
    assert readable("a\x1b[31mb\n") == "a\\x1b[31mb\\x0a"
    assert readable("a\u2028b") == "a\\x2028b"


def declared(name: str, type_: str, *, array: bool = False, **qualifiers: object) -> pywbem.CIMParameter:
    found = {q: pywbem.CIMQualifier(q, value) for q, value in qualifiers.items()}
    reference = "T_System" if type_ == "reference" else None
    return pywbem.CIMParameter(name, type_, is_array=array, qualifiers=found, reference_class=reference)


METHOD = pywbem.CIMMethod(
    "Change",
    "uint32",
    parameters={
        p.name: p
        for p in (
            declared("State", "uint16", ValueMap=["2", "3", "11..20"], Values=["Enabled", "Shut Down", "Reserved"]),
            declared("Flag", "boolean"),
            declared("Names", "string", array=True),
            declared("Since", "datetime"),
            declared("Job", "string", In=False, Out=True),
        )
    },
)
NOBODY = pywbem.WBEMConnection("http://127.0.0.1:1")


def given(*words: str) -> dict[str, object]:
    return {p.name: p.value for p in arguments(METHOD, words, NOBODY)}


def test_arguments_get_the_types_of_the_declaration() -> None:
    found = given("state=shut down", "Flag=TRUE", "Names=a", "Names=b=c", "Since=20240301120000.000000+000")
    assert found["State"] == 3
    assert isinstance(found["State"], pywbem.Uint16)
    assert found["Flag"] is True
    assert found["Names"] == ["a", "b=c"]
    assert isinstance(found["Since"], pywbem.CIMDateTime)
    assert given("State=11") == {"State": 11}
    assert value_names(METHOD.parameters["State"]) == {"2": "Enabled", "3": "Shut Down"}


def test_an_argument_can_be_the_text_of_a_file(tmp_path) -> None:
    (tmp_path / "names").write_text("from a file")
    assert given(f"Names=@{tmp_path / 'names'}") == {"Names": ["from a file"]}


def test_reals_without_a_number_are_texts_in_json() -> None:
    values = [pywbem.Real32("nan"), pywbem.Real64("-inf"), pywbem.Real64("inf"), pywbem.Real64(1.5)]
    assert json.dumps(plain(values), allow_nan=False) == '["NaN", "-INF", "INF", 1.5]'


@pytest.mark.parametrize(
    "word",
    ["State", "Sate=2", "State=many", "State=70000", "Flag=maybe", "Since=yesterday", "Job=x", "Names=@/no/file"],
)
def test_an_argument_that_does_not_fit_is_wrong_usage(word: str) -> None:
    with pytest.raises(Failure) as failure:
        given(word)
    assert failure.value.exit_code == USAGE


def test_a_method_that_does_not_exist_tells_those_that_do() -> None:
    with pytest.raises(Failure) as failure:
        method_of(pywbem.CIMClass("T_System", methods={"Change": METHOD}), "Chnage")
    assert (failure.value.exit_code, failure.value.hint) == (MISSING, "its methods: Change")


# associations and indications


def test_the_ends_of_an_association_are_found_whatever_the_host_is() -> None:
    mine, other = system("a").path, system("b").path
    told = mine.copy()
    told.host = "elsewhere"
    link = pywbem.CIMInstance("T_Link", {"Left": told, "Right": other, "Note": "x"})
    assert [(m, r, key_of(o)) for m, r, o in ends(link, mine)] == [("Left", "Right", key_of(other))]
    assert list(ends(link, system("c").path)) == []


class NoNames(ValueNames):
    """What a schema without value names says; it is never asked."""

    def __init__(self) -> None:
        super().__init__(NOBODY, "x")
        self._classes = {"T_System": None, "CIM_AlertIndication": None}


def test_an_indication_is_a_line_of_what_changed() -> None:
    before, after = (system("u", ElementName="web", State=pywbem.Uint16(n)) for n in (3, 2))
    change = pywbem.CIMInstance("CIM_InstModification", {"SourceInstance": after, "PreviousInstance": before})
    assert line(change, NoNames()) == "--:--:--  changed  T_System  web  State 3 → 2"
    gone = pywbem.CIMInstance("T_SystemDeletedIndication", {"SourceInstance": after})
    assert line(gone, NoNames()) == "--:--:--  deleted  T_System  web"
    alert = pywbem.CIMInstance(
        "CIM_AlertIndication", {"Description": "full\x1b", "PerceivedSeverity": pywbem.Uint16(5)}
    )
    assert line(alert, NoNames()) == "--:--:--  CIM_AlertIndication  5  full\\x1b"


def test_the_command_is_found_through_its_entry_point() -> None:
    from xenapi_core.cli.main import cli

    context = click.Context(cli)
    assert cli.get_command(context, "cim") is cim
    assert {"serve", "cim"} <= set(cli.list_commands(context))
    assert cli.get_command(context, "no-such-command") is None
