"""CIM-XML output: what pywbem reads back is what was written, for every type and any text."""

from __future__ import annotations

import math
import string

import pytest
import pywbem
from cim_kit import SCALARS, graph
from hypothesis import given, settings
from hypothesis import strategies as st
from pywbem._tupleparse import TupleParser
from pywbem._tupletree import xml_to_tupletree_sax

from cim_provider.schema.objects import Instance, Path
from cim_provider.wire import encode
from cim_provider.wire.classes import class_declaration, class_name, qualifier_declaration
from cim_provider.wire.encode import Encoder, encoder_of
from cim_provider.wire.text import INTEGERS

ENCODER = encoder_of(graph())


def read(xml: bytes):
    """What pywbem's parser makes of an element."""
    return TupleParser().parse_any(xml_to_tupletree_sax(xml, "test"))


def plain(value):
    """A pywbem value as this project holds it."""
    if isinstance(value, list):
        return tuple(map(plain, value))
    if isinstance(value, pywbem.CIMInstance):
        return Instance(value.classname, {p.name: plain(p.value) for p in value.properties.values()})
    if isinstance(value, pywbem.CIMInstanceName):
        keys = {name: plain(v) for name, v in value.keybindings.items()}
        return Path.of(value.classname, keys, value.namespace or "", value.host or "")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return str(value)


# Characters XML can carry; pywbem's char16 wants exactly one of the first plane.
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from("\t\n\r&<>\"']"), max_size=20
)
char16 = st.characters(max_codepoint=0xFFFD, exclude_categories=("Cc", "Cs"))
instants = st.datetimes().map(lambda d: f"{d.year:04d}{d:%m%d%H%M%S}.{d.microsecond:06d}+000")
STRATEGIES = {
    "string": texts,
    "boolean": st.booleans(),
    "char16": char16,
    "datetime": instants | st.integers(0, 99_999_999 * 86_400).map(encode.interval),
    "real32": st.floats(width=32, allow_nan=False),
    "real64": st.floats(allow_nan=False),
    **{name: st.integers(*bounds) for name, bounds in INTEGERS.items()},
}
paths = st.builds(
    lambda a, b, c, d, e: Path.of("T_Keys", {"A": a, "B": b, "C": c, "D": d, "E": e}),
    texts, STRATEGIES["uint64"], st.booleans(), instants, STRATEGIES["sint8"],
)  # fmt: skip
parts = st.fixed_dictionaries({"Id": texts, "Size": st.none() | STRATEGIES["uint32"]}).map(
    lambda v: Instance("T_Part", v)
)


@pytest.mark.parametrize("type_", SCALARS)
def test_every_value_of_a_type_comes_back_from_pywbem(type_):
    # pywbem stops with an assertion at VALUE.NULL in arrays of other types than string.
    items = st.none() | STRATEGIES[type_] if type_ == "string" else STRATEGIES[type_]

    @settings(max_examples=60, deadline=None)
    @given(one=st.none() | STRATEGIES[type_], many=st.none() | st.lists(items, max_size=4))
    def check(one, many):
        values = {f"One_{type_}": one, f"Many_{type_}": None if many is None else tuple(many)}
        names = frozenset(name.lower() for name in values)
        found = read(ENCODER.instance("T_Every", values, names=names))
        assert {name: plain(found[name]) for name in values} == values
        assert {p.type for p in found.properties.values()} == {type_}

    check()


@settings(max_examples=60, deadline=None)
@given(paths)
def test_every_path_comes_back_from_pywbem(path):
    assert plain(read(ENCODER.instance_name(path))) == path


@settings(max_examples=30, deadline=None)
@given(parts, st.lists(parts, max_size=3))
def test_embedded_instances_come_back_from_pywbem(part, many):
    outer = Instance("T_Part", {"Id": "outer", "Inner": part})
    found = read(ENCODER.instance("T_Every", {"Part": outer, "Parts": tuple(many)}))
    inner = found["Part"]
    assert plain(inner["Inner"]) == part
    assert plain(found["Parts"]) == tuple(many)


def test_an_embedded_instance_of_an_unknown_class_is_written_with_the_types_it_has():
    strange = Instance(
        "X_Strange",
        {"A": 5, "B": ("x", None), "C": True, "D": None, "E": Path.of("X", {"K": 1}), "F": 1.5},
        types={"A": "sint16"},
    )
    found = read(ENCODER.instance("T_Every", {"Thing": strange}))["Thing"]
    assert found.properties["A"].type == "sint16"
    assert found.properties["F"].type == "real64"
    assert plain(found) == Instance(strange.classname, strange.values)


def test_a_null_element_of_an_array_is_written_as_such():
    assert b"<VALUE.ARRAY><VALUE>1</VALUE><VALUE.NULL></VALUE.NULL></VALUE.ARRAY>" in ENCODER.instance(
        "T_Every", {"Many_uint8": (1, None)}
    )


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_reals_that_are_no_numbers_have_the_names_of_dsp0201(value):
    xml = ENCODER.instance("T_Every", {"One_real64": value}, names=frozenset({"one_real64"}))
    name = {math.inf: b"INF", -math.inf: b"-INF"}.get(value, b"NaN")
    assert b"<VALUE>" + name + b"</VALUE>" in xml
    assert repr(float(read(xml)["One_real64"])) == repr(value)


@pytest.mark.parametrize(("value", "text"), [(1e20, b"1.0e+20"), (0.1, b"0.1"), (5.0, b"5.0"), (2.5e-07, b"2.5e-07")])
def test_reals_always_have_digits_around_the_point(value, text):
    assert b"<VALUE>" + text + b"</VALUE>" in ENCODER.instance("T_Every", {"One_real64": value})


def test_characters_that_xml_cannot_carry_become_the_replacement_character():
    xml = ENCODER.instance("T_Every", {"Caption": "a\x00b\x1fc\ud800d\uffffe\x7ff"}, names=frozenset({"caption"}))
    assert read(xml)["Caption"] == "a\ufffdb\ufffdc\ufffdd\ufffde\x7ff"


def test_a_carriage_return_survives():
    xml = ENCODER.instance("T_Every", {"Caption": "a\r\nb\rc"})
    assert read(xml)["Caption"] == "a\r\nb\rc"


def test_null_properties_are_written_with_an_end_tag():
    xml = ENCODER.instance("T_Part", {"Id": "1"})
    assert xml == (
        b'<INSTANCE CLASSNAME="T_Part"><PROPERTY NAME="Id" TYPE="string"><VALUE>1</VALUE></PROPERTY>'
        b'<PROPERTY NAME="Size" TYPE="uint32"></PROPERTY><PROPERTY.ARRAY NAME="Tags" TYPE="string"></PROPERTY.ARRAY>'
        b'<PROPERTY NAME="Inner" TYPE="string" EmbeddedObject="instance"></PROPERTY></INSTANCE>'
    )


def test_an_empty_array_is_not_null():
    assert b"<VALUE.ARRAY></VALUE.ARRAY>" in ENCODER.instance("T_Part", {"Tags": ()})


def test_class_origin_is_told_when_asked_for():
    found = read(ENCODER.instance("T_Every", {"Caption": "x"}, class_origin=True))
    assert found.properties["Caption"].class_origin == "T_Root"
    assert found.properties["One_string"].class_origin == "T_Every"


def test_references_tell_as_much_of_the_path_as_is_known():
    path = Path.of("T_Part", {"Id": "1"})
    near = Path.of("T_Part", {"Id": "1"}, "root/cimv2")
    far = Path.of("T_Part", {"Id": "1"}, "root/cimv2", "elsewhere")
    for reference in (path, near, far):
        assert plain(read(ENCODER.instance("T_Link", {"Antecedent": reference}))["Antecedent"]) == reference


def test_a_path_with_reference_keys_comes_back():
    end = Path.of("T_Part", {"Id": 'a"b'}, "root/cimv2")
    link = Path.of("T_Link", {"Antecedent": end, "Dependent": Path.of("T_Numbered", {"Number": 7}, "interop")})
    assert plain(read(ENCODER.instance_name(link))) == link


def test_replies_with_paths_have_host_and_namespace():
    path = Path.of("T_Part", {"Id": "1"}, "root/cimv2")
    full = Path.of("T_Part", {"Id": "1"}, "root/cimv2", "here.example")
    encoder = Encoder(graph(), host="here.example")
    instance = encoder.instance("T_Part", {"Id": "1"})
    assert plain(read(encoder.instance_path(path))) == full
    assert plain(read(encoder.object_path(path))[2]) == full  # OBJECTPATH stays a tuple in pywbem's parser
    assert plain(read(encoder.instance_with_path(path, instance)).path) == full
    assert plain(read(encoder.named_instance(path, instance)).path) == Path.of("T_Part", {"Id": "1"})
    assert read(encoder.object_with_path(path, instance))[2].path.host == "here.example"


def test_a_class_path_is_a_class_path():
    path = Path("T_Part", None, "root/cimv2")
    found = read(ENCODER.object_path(path))[2]
    assert isinstance(found, pywbem.CIMClassName)
    assert (found.classname, found.namespace, found.host) == ("T_Part", "root/cimv2", "localhost")


def test_output_parameters_come_back_from_pywbem():
    path = Path.of("T_Part", {"Id": "1"}, "root/cimv2")
    part = Instance("T_Part", {"Id": "1"})

    def back(*args):
        name, type_, value = read(ENCODER.param_value(*args))
        return name, type_, plain(value)

    assert back("Job", "reference", path) == ("Job", "reference", path)
    assert back("Jobs", "reference", (path, path)) == ("Jobs", "reference", (path, path))
    assert back("Text", "string", "a<b") == ("Text", "string", "a<b")
    assert back("None", "string", None) == ("None", "string", None)
    assert back("Part", "string", part) == ("Part", "string", part)
    assert back("Parts", "string", (part, part)) == ("Parts", "string", (part, part))


def test_a_return_value_has_its_type():
    assert ENCODER.return_value("uint32", 4096) == b'<RETURNVALUE PARAMTYPE="uint32"><VALUE>4096</VALUE></RETURNVALUE>'
    assert ENCODER.return_value("uint32", None) == b""


def test_datetimes_are_utc_and_intervals_have_days():
    assert encode.datetime(0) == "19700101000000.000000+000"
    assert encode.datetime(1_767_225_600, 5) == "20260101000000.000005+000"
    assert encode.interval(90_061, 7) == "00000001010101.000007:000"


@pytest.mark.parametrize("cls", graph().classes.values(), ids=lambda c: c.name)
@pytest.mark.parametrize("local_only", [True, False])
def test_classes_come_back_from_pywbem(cls, local_only):
    found = read(class_declaration(cls, local_only, True, True))
    wanted = [p for p in cls.properties.values() if not (local_only and p.propagated)]
    assert (found.classname, found.superclass or "") == (cls.name, cls.superclass)
    assert list(found.properties) == [p.name for p in wanted]
    for prop in wanted:
        back = found.properties[prop.name]
        assert (back.type, back.is_array, back.reference_class or "") == (prop.type, prop.array, prop.reference_class)
        assert (back.class_origin, back.propagated, plain(back.value)) == (prop.origin, prop.propagated, prop.default)
        kept = {q.name: q.value for q in prop.qualifiers.values() if not (local_only and q.propagated)}
        assert {name: plain(q.value) for name, q in back.qualifiers.items()} == kept
    methods = [m for m in cls.methods.values() if not (local_only and m.propagated)]
    assert list(found.methods) == [m.name for m in methods]
    for method in methods:
        back = found.methods[method.name]
        assert back.return_type == method.return_type
        shapes = [(p.name, p.type, p.is_array, p.reference_class or "") for p in back.parameters.values()]
        assert shapes == [(p.name, p.type, p.array, p.reference_class) for p in method.parameters.values()]


def test_a_class_without_qualifiers_or_with_few_properties():
    cls = graph().classes["t_every"]
    found = read(class_declaration(cls, False, False, False, frozenset({"caption"})))
    assert list(found.properties) == ["Caption"]
    assert not found.qualifiers
    assert not found.properties["Caption"].qualifiers
    assert found.properties["Caption"].class_origin is None
    assert set(found.methods) == {"Take", "Reset"}


@pytest.mark.parametrize("declared", graph().qualifier_declarations.values(), ids=lambda d: d.name)
def test_qualifier_types_come_back_from_pywbem(declared):
    found = read(qualifier_declaration(declared))
    assert (found.name, found.type, found.is_array, plain(found.value)) == (
        declared.name, declared.type, declared.array, declared.default,
    )  # fmt: skip
    assert (found.overridable, found.tosubclass, found.translatable) == (
        declared.overridable, declared.tosubclass, declared.translatable,
    )  # fmt: skip
    assert {name for name, held in found.scopes.items() if held} == declared.scopes


def test_a_class_name_is_escaped():
    assert class_name('a"<') == b'<CLASSNAME NAME="a&quot;&lt;"></CLASSNAME>'


def test_letters_need_no_escape():
    assert string.ascii_letters.encode() in ENCODER.instance("T_Part", {"Id": string.ascii_letters})
