"""Values at the edges of their types, and names in any case: what comes in, what is refused, what pywbem reads back."""

from __future__ import annotations

import math

import pytest
import pywbem
from cim_kit import World, graph, intrinsic, ipv, method_call, post
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from cim_provider.operations.api import MethodReply
from cim_provider.schema.objects import CimError, Path
from cim_provider.wire import mof_value, values
from cim_provider.wire.encode import encoder_of
from cim_provider.wire.text import INTEGERS

ROOT = "root/cimv2"

TAKEN = [
    *((type_, str(edge), edge) for type_, edges in INTEGERS.items() for edge in edges),
    ("uint64", "0xFFFFFFFFFFFFFFFF", 2**64 - 1),
    ("uint64", " 18446744073709551615 ", 2**64 - 1),
    ("sint64", "-0x8000000000000000", -(2**63)),
    ("sint8", "+127", 127),
    ("uint8", "007", 7),
    ("boolean", " TRUE\n", True),
    ("boolean", "False", False),
    ("real64", "1.7976931348623157e308", 1.7976931348623157e308),
    ("real64", "5e-324", 5e-324),
    ("real64", "-0.0", 0.0),
    ("real64", "INF", math.inf),
    ("real64", "-INF", -math.inf),
    ("real32", "3.4028235e38", 3.4028235e38),
    ("real32", "1e-50", 1e-50),
    ("char16", "\uffee", "\uffee"),
    ("char16", " ", " "),
    ("string", "", ""),
    ("string", " \t\n", " \t\n"),
    ("string", "\U0010ffff", "\U0010ffff"),
    ("datetime", "99999999235959.999999:000", None),
    ("datetime", "20260101******.******+000", None),
    ("datetime", "20260101000000.12****-720", None),
]

REFUSED = [
    *((type_, str(low - 1)) for type_, (low, _) in INTEGERS.items()),
    *((type_, str(high + 1)) for type_, (_, high) in INTEGERS.items()),
    ("uint64", "0x10000000000000000"),
    ("uint64", "1e3"),
    ("uint8", ""),
    ("uint8", "1.0"),
    ("uint8", "٣"),  # a digit elsewhere
    ("uint8", "1_0"),
    ("sint32", "--1"),
    ("boolean", "1"),
    ("boolean", "yes"),
    ("boolean", ""),
    ("real64", "1e309"),
    ("real64", "-1e999"),
    ("real32", "3.5e38"),
    ("real32", "-1e39"),
    ("real64", "+INF"),
    ("real64", "-NaN"),
    ("real64", "Infinity"),
    ("real64", "1,5"),
    ("real64", "0x1p3"),
    ("real64", "."),
    ("char16", ""),
    ("char16", "ab"),
    ("char16", "\U00010000"),
    ("datetime", "20261301000000.000000+000"),
    ("datetime", "20260101240000.000000+000"),
    ("datetime", "2026-01-01T00:00:00Z"),
    ("datetime", "********235959.******:000"),  # known after unknown
    ("datetime", "20260101250000.000000:000"),
    ("datetime", ""),
]


@pytest.mark.parametrize(("type_", "text", "value"), TAKEN)
def test_edges_of_a_type_are_taken(type_, text, value):
    assert values.parse(text, type_, "x") == (text if value is None else value)


@pytest.mark.parametrize(("type_", "text"), REFUSED)
def test_what_is_beyond_a_type_is_an_invalid_parameter(type_, text):
    with pytest.raises(CimError) as caught:
        values.parse(text, type_, "the thing")
    assert caught.value.status == pywbem.CIM_ERR_INVALID_PARAMETER
    assert "the thing" in caught.value.text


def test_not_a_number_is_a_real():
    assert math.isnan(values.parse("NaN", "real32", "x"))


# ---- Unicode


@pytest.mark.parametrize("reference", ["&#0;", "&#x1;", "&#xB;", "&#xD800;", "&#xDFFF;", "&#xFFFE;", "&#x110000;"])
def test_a_character_that_xml_cannot_carry_makes_the_request_malformed(reference):
    body = intrinsic("GetClass", ipv("ClassName", f'<CLASSNAME NAME="a{reference}"/>'))
    reply = World().send(post(body, "GetClass"))
    assert (reply.status, dict(reply.headers)["CIMError"]) == (400, "request-not-well-formed")


@pytest.mark.parametrize("raw", [b"\x01", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"])
def test_bytes_that_are_no_utf_8_text_make_the_request_malformed(raw):
    body = intrinsic("GetClass", ipv("ClassName", '<CLASSNAME NAME="@"/>')).replace(b"@", raw)
    assert World().send(post(body, "GetClass")).status == 400


@pytest.mark.parametrize("escape", [r"\x0", r"\x1", r"\xD800", r"\xDFFF", r"\xFFFE", r"\b", r"\f"])
def test_a_character_that_xml_cannot_carry_is_no_mof_text_either(escape):
    with pytest.raises(mof_value.MofValueError, match="character"):
        mof_value.parse(f'instance of X {{ A = "a{escape}"; }};')


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_text_xml_can_carry_goes_through_a_key_and_back(text):
    world = World()
    plain = "".join(c for c in text if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff"))
    path = Path.of("T_Part", {"Id": plain}, ROOT)
    world.instances.stored[path] = {"Id": plain, "Tags": (plain, None, "")}
    found = world.connect().GetInstance(pywbem.CIMInstanceName("T_Part", {"Id": plain}))
    assert (found["Id"], found["Tags"]) == (plain, [plain, None, ""])


# ---- names in any case


def swapped(text: str) -> str:
    return text.swapcase()


def test_names_of_classes_keys_namespaces_and_properties_ignore_case():
    world = World()
    world.instances.stored[Path.of("T_Part", {"Id": "Aa"}, ROOT)] = {"Id": "Aa"}
    connection = world.connect("ROOT/CimV2")
    found = connection.GetInstance(pywbem.CIMInstanceName("t_PART", {"iD": "Aa"}), PropertyList=["sIZE", "iD"])
    assert found["Id"] == "Aa"
    (op,) = world.instances.calls
    assert op.params["InstanceName"] == Path.of("T_Part", {"Id": "Aa"}, ROOT)
    with pytest.raises(pywbem.CIMError):  # values do not
        connection.GetInstance(pywbem.CIMInstanceName("T_Part", {"Id": "aA"}))


def test_names_of_operations_methods_and_parameters_ignore_case():
    world = World()
    body = method_call("tAKE", '<PARAMVALUE NAME="fLAG"><VALUE>True</VALUE></PARAMVALUE>', "t_eVERY")
    assert world.send(post(body, "TAKE", "ROOT/cimv2:T_EVERY")).status == 200
    call = world.instances.calls[-1]
    assert (call.method, call.value("Flag"), call.path.classname) == ("Take", True, "T_Every")
    body = intrinsic("gETcLASS", ipv("cLASSnAME", '<CLASSNAME NAME="t_rOOT"/>'))
    reply = b"".join(world.send(post(body, "GetClass")).body)
    assert b'<CLASS NAME="T_Root"' in reply
    assert b'<IMETHODRESPONSE NAME="gETcLASS">' in reply  # as it was asked


def test_names_of_embedded_instances_ignore_case():
    world = World()
    for text in (
        '&lt;INSTANCE CLASSNAME="t_PART"&gt;&lt;PROPERTY NAME="sIZE" TYPE="uint32"&gt;&lt;VALUE&gt;4294967295'
        "&lt;/VALUE&gt;&lt;/PROPERTY&gt;&lt;/INSTANCE&gt;",
        "instance of t_PART { sIZE = 4294967295; };",
    ):
        inside = f'<PARAMVALUE NAME="settings"><VALUE.ARRAY><VALUE>{text}</VALUE></VALUE.ARRAY></PARAMVALUE>'
        assert world.send(post(method_call("Take", inside), "Take", "root/cimv2:T_Every")).status == 200
        (setting,) = world.instances.calls[-1].value("Settings")
        assert (setting.classname, setting.values) == ("T_Part", {"Size": 2**32 - 1})


# ---- NULL, classes as targets


@pytest.mark.parametrize(
    "null", ['<PROPERTY NAME="Size" TYPE="uint32"/>', '<PROPERTY NAME="Size" TYPE="uint32"></PROPERTY>', ""]
)
def test_every_spelling_of_null_is_null_inside_an_embedded_instance(null):
    world = World()
    element = (
        f'<INSTANCE CLASSNAME="T_Part"><PROPERTY NAME="Id" TYPE="string"><VALUE>1</VALUE></PROPERTY>{null}</INSTANCE>'
    )
    quoted = element.replace("<", "&lt;")
    inside = f'<PARAMVALUE NAME="Settings"><VALUE.ARRAY><VALUE>{quoted}</VALUE></VALUE.ARRAY></PARAMVALUE>'
    world.send(post(method_call("Take", inside), "Take", "root/cimv2:T_Every"))
    (setting,) = world.instances.calls[-1].value("Settings")
    assert setting.values.get("Size") is None


def test_what_is_written_for_null_is_null_to_pywbem():
    world = World()
    world.instances.stored[Path.of("T_Part", {"Id": "1"}, ROOT)] = {"Id": "1"}
    found = world.connect().GetInstance(pywbem.CIMInstanceName("T_Part", {"Id": "1"}))
    assert {name: found[name] for name in ("Size", "Tags", "Inner")} == {"Size": None, "Tags": None, "Inner": None}


def test_a_method_can_be_called_on_a_class():
    world = World()
    world.instances.reply = MethodReply(0, "uint32", [encoder_of(graph()).param_value("Job", "reference", None)])
    value, out = world.connect().InvokeMethod("take", "t_every", flag=False)
    assert (value, out["Job"]) == (0, None)
    call = world.instances.calls[-1]
    assert (call.path, call.method, call.value("Flag")) == (Path("T_Every", None, ROOT), "Take", False)


def test_uint64_limits_survive_in_both_directions():
    world = World()
    encoder = encoder_of(graph())
    every = {"InstanceID": "x", "One_uint64": 2**64 - 1, "Many_sint64": (-(2**63), 2**63 - 1)}
    instance = etree.fromstring(encoder.instance("T_Every", every))
    assert "18446744073709551615" in {v.text for v in instance.iter("VALUE")}
    world.instances.stored[Path.of("T_Every", {"InstanceID": "x"}, ROOT)] = every
    found = world.connect().GetInstance(pywbem.CIMInstanceName("T_Every", {"InstanceID": "x"}))
    assert (found["One_uint64"], found["Many_sint64"]) == (2**64 - 1, [-(2**63), 2**63 - 1])
