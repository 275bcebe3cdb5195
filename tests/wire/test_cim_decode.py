"""CIM-XML input: names and types come out as the schema has them, and everything else is refused as it should be."""

from __future__ import annotations

import math

import pytest
import pywbem
from cim_kit import MOF, NAMESPACE, SCALARS, envelope, graph, intrinsic, ipv, method_call
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cim_encode import ENCODER, STRATEGIES, parts, paths

from cim_provider.schema.objects import CimError, Instance, Path
from cim_provider.wire import decode, mof_value
from cim_provider.wire.headers import RefusedError
from cim_provider.wire.parameters import OPERATIONS

ROOT = "root/cimv2"
HALF_PATH = f"<LOCALCLASSPATH>{NAMESPACE}</LOCALCLASSPATH>"


def operation(name: str, *parameters: str):
    return decode.intrinsic(decode.read(intrinsic(name, "".join(parameters))), graph())


def arguments(parameters: str, method: str = "Take"):
    return decode.extrinsic(decode.read(method_call(method, parameters)), graph())


def instance_name(inside: str, classname: str = "T_Every") -> str:
    return f'<INSTANCENAME CLASSNAME="{classname}">{inside}</INSTANCENAME>'


def key(name: str, value: str, kind: str = "string") -> str:
    return f'<KEYBINDING NAME="{name}"><KEYVALUE VALUETYPE="{kind}">{value}</KEYVALUE></KEYBINDING>'


def get(inside: str, classname: str = "T_Every") -> Path:
    return operation("GetInstance", ipv("InstanceName", instance_name(inside, classname)))[1]["InstanceName"]


def status(call, *args) -> int:
    with pytest.raises(CimError) as caught:
        call(*args)
    return caught.value.status


# ---- the form


def test_a_message_knows_its_id_and_its_namespace():
    message = decode.read(
        envelope(f'<IMETHODCALL NAME="GetClass">{NAMESPACE}</IMETHODCALL>', 'a&amp;"b'.replace('"', "&quot;"))
    )
    assert (message.id, message.name, message.namespace, message.target) == ('a&"b', "GetClass", ROOT, None)


@pytest.mark.parametrize(
    ("body", "cim_error", "status"),
    [
        (b"", "request-not-well-formed", 400),
        (b"hello", "request-not-well-formed", 400),
        (b"<CIM", "request-not-well-formed", 400),
        (intrinsic("GetClass")[:-1], "request-not-well-formed", 400),
        (b'<!DOCTYPE CIM [<!ENTITY a "b">]><CIM>&a;</CIM>', "request-not-well-formed", 400),
        (intrinsic("GetClass").replace(b"utf-8", b"utf-16"), "request-not-well-formed", 400),
        (intrinsic("Get\xe9").decode().encode("latin-1"), "request-not-well-formed", 400),
        (b"<CIM/>", "unsupported-cim-version", 501),
        (intrinsic("GetClass").replace(b'CIMVERSION="2.0"', b'CIMVERSION="3.0"'), "unsupported-cim-version", 501),
        (intrinsic("GetClass").replace(b'DTDVERSION="2.0"', b'DTDVERSION="1.0"'), "unsupported-dtd-version", 501),
        (intrinsic("GetClass").replace(b'VERSION="1.0">', b'VERSION="2.0">'), "unsupported-protocol-version", 501),
        (intrinsic("GetClass").replace(b"SIMPLEREQ", b"MULTIREQ"), "multiple-requests-unsupported", 501),
        (intrinsic("GetClass").replace(b"SIMPLEREQ", b"SIMPLEEXPREQ"), "request-not-valid", 400),
        (intrinsic("GetClass").replace(b' ID="42"', b""), "request-not-valid", 400),
        (envelope(""), "request-not-valid", 400),
        (envelope("<IMETHODCALL/>"), "request-not-valid", 400),
        (envelope(f"<IMETHODCALL>{NAMESPACE}</IMETHODCALL>"), "request-not-valid", 400),
        (envelope('<IMETHODCALL NAME="GetClass"/>'), "request-not-valid", 400),
        (envelope(f'<IMETHODCALL NAME="GetClass">{NAMESPACE}{NAMESPACE}</IMETHODCALL>'), "request-not-valid", 400),
        (envelope(f'<METHODCALL NAME="Take">{NAMESPACE}</METHODCALL>'), "request-not-valid", 400),
        (envelope(f"<METHODCALL NAME='x'>{HALF_PATH}</METHODCALL>"), "request-not-valid", 400),
        (intrinsic("GetClass", "<IPARAMVALUE/>"), "request-not-valid", 400),
        (intrinsic("GetClass", "<PARAMVALUE NAME='x'/>"), "request-not-valid", 400),
        (envelope("<IMETHODCALL NAME='x'/><IMETHODCALL NAME='y'/>"), "request-not-valid", 400),
        (b"<CIM>" + b"<A>" * 100 + b"</A>" * 100 + b"</CIM>", "request-not-well-formed", 400),
    ],
)  # fmt: skip
def test_a_message_of_the_wrong_form_is_refused_with_its_cim_error(body, cim_error, status):
    with pytest.raises(RefusedError) as caught:
        decode.read(body)
    assert (caught.value.cim_error, caught.value.status) == (cim_error, status)


def test_namespace_names_ignore_case_and_outer_slashes():
    odd = '<LOCALNAMESPACEPATH><NAMESPACE NAME="/ROOT/"/><NAMESPACE NAME="CimV2/"/></LOCALNAMESPACEPATH>'
    assert decode.read(intrinsic("GetClass", "", odd)).namespace == ROOT
    alias = '<LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="Interop"/></LOCALNAMESPACEPATH>'
    assert decode.read(intrinsic("GetClass", "", alias)).namespace == "interop"


# ---- intrinsic operations


def test_missing_and_null_parameters_have_the_defaults_of_dsp0200():
    name, params = operation(
        "enumerateinstances", ipv("classname", '<CLASSNAME NAME="t_every"/>'), ipv("PropertyList", "")
    )
    assert name == "EnumerateInstances"
    assert params == {
        "ClassName": "T_Every", "LocalOnly": False, "DeepInheritance": True, "IncludeQualifiers": False,
        "IncludeClassOrigin": False, "PropertyList": None,
    }  # fmt: skip


def test_local_only_is_the_default_for_classes_alone():
    class_name = ipv("ClassName", '<CLASSNAME NAME="T_Every"/>')
    assert operation("GetClass", class_name)[1]["LocalOnly"] is True
    assert operation("EnumerateInstances", class_name, ipv("LocalOnly", "<VALUE>true</VALUE>"))[1]["LocalOnly"] is True


def test_values_are_read_by_the_kind_of_the_parameter():
    _, params = operation(
        "Associators",
        ipv("ObjectName", '<CLASSNAME NAME="T_ROOT"/>'),
        ipv("AssocClass", '<CLASSNAME NAME="Unknown_Class"/>'),
        ipv("Role", "<VALUE>Antecedent</VALUE>"),
        ipv("IncludeClassOrigin", "<VALUE> TRUE </VALUE>"),
        ipv("PropertyList", "<VALUE.ARRAY><VALUE>a</VALUE><VALUE>b</VALUE><VALUE>a</VALUE></VALUE.ARRAY>"),
    )
    assert params["ObjectName"] == Path("T_Root", None, ROOT)
    assert (params["AssocClass"], params["ResultClass"], params["Role"]) == ("Unknown_Class", None, "Antecedent")
    assert params["IncludeClassOrigin"] is True
    assert params["PropertyList"] == ("a", "b")
    assert operation(
        "PullInstancePaths", ipv("EnumerationContext", "<VALUE>x</VALUE>"), ipv("MaxObjectCount", "<VALUE>10</VALUE>")
    )[1] == {"EnumerationContext": "x", "MaxObjectCount": 10}


CONTEXT = ipv("EnumerationContext", "<VALUE>x</VALUE>")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("GetClass", ""),
        ("GetClass", ipv("ClassName", "")),
        ("GetClass", ipv("ClassName", "<VALUE>T_Root</VALUE>")),
        ("GetClass", ipv("ClassName", "<CLASSNAME/>")),
        ("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_Root"/>') * 2),
        ("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_Root"/><CLASSNAME NAME="T_Root"/>')),
        ("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_Root"/>') + ipv("Deep", "<VALUE>true</VALUE>")),
        ("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_Root"/>') + ipv("LocalOnly", "<VALUE>maybe</VALUE>")),
        ("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_Root"/>') + ipv("LocalOnly", "<VALUE><A/></VALUE>")),
        ("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_Root"/>') + ipv("PropertyList", "<VALUE>a</VALUE>")),
        ("GetInstance", ipv("InstanceName", '<CLASSNAME NAME="T_Root"/>')),
        ("ExecQuery", ipv("Query", "<VALUE>select</VALUE>")),
        ("PullInstances", CONTEXT + ipv("MaxObjectCount", "<VALUE>-1</VALUE>")),
        ("PullInstances", CONTEXT + ipv("MaxObjectCount", "<VALUE>4294967296</VALUE>")),
        ("PullInstances", CONTEXT + ipv("MaxObjectCount", "<VALUE>ten</VALUE>")),
    ],
)  # fmt: skip
def test_missing_unknown_repeated_and_wrong_parameters_are_invalid(name, parameters):
    assert status(operation, name, parameters) == pywbem.CIM_ERR_INVALID_PARAMETER


def test_an_operation_dsp0200_does_not_have_is_not_supported():
    assert status(operation, "MakeCoffee") == pywbem.CIM_ERR_NOT_SUPPORTED


def test_all_operations_of_dsp0200_are_known():
    assert len(OPERATIONS) == 35
    assert all(name == spelled.lower() for name, (spelled, _) in OPERATIONS.items())


# ---- paths


def test_keys_have_the_names_and_types_of_the_schema():
    inside = (
        key("a", "12")
        + key("B", "0x1F", "numeric")
        + key("c", "TRUE")
        + key("D", "20260101000000.000000+000")
        + key("e", " -8 ")
    )
    assert get(inside, "t_keys") == Path.of(
        "T_Keys", {"A": "12", "B": 31, "C": True, "D": "20260101000000.000000+000", "E": -8}, ROOT
    )


def test_a_single_key_needs_no_name():
    assert get("<KEYVALUE>x</KEYVALUE>", "T_Part") == Path.of("T_Part", {"Id": "x"}, ROOT)
    assert get('<KEYVALUE VALUETYPE="string">7</KEYVALUE>', "T_Numbered") == Path.of("T_Numbered", {"Number": 7}, ROOT)


def test_keys_of_unknown_classes_have_the_type_that_valuetype_tells():
    inside = key("S", "1") + key("N", "1", "numeric") + key("M", "-1", "numeric") + key("B", "true", "boolean")
    assert get(inside, "X") == Path.of("X", {"S": "1", "N": 1, "M": -1, "B": True}, ROOT)


@pytest.mark.parametrize(
    ("inside", "classname"),
    [
        ("<KEYVALUE>x</KEYVALUE>", "T_Keys"),
        ("<KEYVALUE>x</KEYVALUE>", "T_Unknown"),
        ("<KEYVALUE>x</KEYVALUE>", "T_Numbered"),
        (key("Id", "1") + key("ID", "2"), "T_Part"),
        ("<KEYBINDING NAME='Id'/>", "T_Part"),
        ("<KEYBINDING><KEYVALUE>x</KEYVALUE></KEYBINDING>", "T_Part"),
        ("<VALUE>x</VALUE>", "T_Part"),
        (key("Antecedent", "x"), "T_Link"),
        (key("N", "many", "numeric"), "X"),
        ("<KEYBINDING NAME='Antecedent'><VALUE.REFERENCE/></KEYBINDING>", "T_Link"),
        ("<KEYBINDING NAME='Antecedent'><VALUE.REFERENCE><HOST/></VALUE.REFERENCE></KEYBINDING>", "T_Link"),
    ],
)  # fmt: skip
def test_wrong_keys_are_invalid(inside, classname):
    assert status(get, inside, classname) == pywbem.CIM_ERR_INVALID_PARAMETER


def test_references_of_every_form_come_out_with_a_namespace_and_without_a_host():
    name = instance_name(key("Id", "1"), "t_part")
    interop = '<LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="interop"/></LOCALNAMESPACEPATH>'
    here = Path.of("T_Part", {"Id": "1"}, ROOT)
    there = Path.of("T_Part", {"Id": "1"}, "interop")
    for xml, path in [
        (name, here),
        (f"<LOCALINSTANCEPATH>{interop}{name}</LOCALINSTANCEPATH>", there),
        (f"<INSTANCEPATH><NAMESPACEPATH><HOST>h</HOST>{interop}</NAMESPACEPATH>{name}</INSTANCEPATH>", there),
        ('<CLASSNAME NAME="t_part"/>', Path("T_Part", None, ROOT)),
        (f'<LOCALCLASSPATH>{interop}<CLASSNAME NAME="T_Part"/></LOCALCLASSPATH>', Path("T_Part", None, "interop")),
        (
            f'<CLASSPATH><NAMESPACEPATH><HOST>h</HOST>{interop}</NAMESPACEPATH><CLASSNAME NAME="T_Part"/></CLASSPATH>',
            Path("T_Part", None, "interop"),
        ),
    ]:
        inside = f"<KEYBINDING NAME='antecedent'><VALUE.REFERENCE>{xml}</VALUE.REFERENCE></KEYBINDING>"
        assert get(inside, "T_Link").key("Antecedent") == path


@settings(max_examples=60, deadline=None)
@given(paths)
def test_a_path_pywbem_writes_is_the_path_it_stands_for(path):
    # pywbem writes a carriage return as it is, which XML makes a line feed.
    path = Path.of("T_Keys", {**dict(path.keys or ()), "A": str(path.key("A")).replace("\r", "")})
    keys = {name: pywbem.Uint64(v) if name == "B" else v for name, v in path.keys or ()}
    written = pywbem.CIMInstanceName("t_keys", {n.lower(): v for n, v in keys.items()}).tocimxmlstr()
    found = operation("GetInstance", ipv("InstanceName", written))[1]["InstanceName"]
    assert found == Path.of("T_Keys", dict(path.keys or ()), ROOT)


# ---- instances


@pytest.mark.parametrize("type_", SCALARS)
def test_what_the_encoder_writes_the_decoder_reads(type_):
    @settings(max_examples=40, deadline=None)
    @given(
        one=st.none() | STRATEGIES[type_],
        many=st.none() | st.lists(st.none() | STRATEGIES[type_], max_size=4),
        part=parts,
    )
    def check(one, many, part):
        values = {
            f"One_{type_}": one,
            f"Many_{type_}": None if many is None else tuple(many),
            "Part": part,
            "Parts": (part,),
        }
        xml = ENCODER.instance("T_Every", values, names=frozenset(n.lower() for n in values)).decode()
        found = operation("CreateInstance", ipv("NewInstance", xml))[1]["NewInstance"]
        for inner in (found.values["Part"], *found.values["Parts"]):
            inner.values = {name: value for name, value in inner.values.items() if name in part.values}
        assert found == Instance("T_Every", values)

    check()


def test_both_spellings_of_null_are_null():
    xml = instance('<PROPERTY NAME="ID" TYPE="string"/><PROPERTY NAME="size" TYPE="uint32"></PROPERTY>', "t_part")
    assert operation("CreateInstance", ipv("NewInstance", xml))[1]["NewInstance"] == Instance(
        "T_Part", {"Id": None, "Size": None}
    )


def instance(inside: str, classname: str = "T_Part") -> str:
    return f'<INSTANCE CLASSNAME="{classname}">{inside}</INSTANCE>'


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ('<PROPERTY NAME="Nope" TYPE="string"/>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY NAME="Size" TYPE="uint32"><VALUE>x</VALUE></PROPERTY>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY NAME="Size" TYPE="uint32"><VALUE>4294967296</VALUE></PROPERTY>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY NAME="Size"><VALUE>1</VALUE><VALUE>1</VALUE></PROPERTY>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY NAME="Tags" TYPE="string"><VALUE>x</VALUE></PROPERTY>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY.ARRAY NAME="Id" TYPE="string"><VALUE.ARRAY/></PROPERTY.ARRAY>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY NAME="Id" TYPE="string"/><PROPERTY NAME="ID" TYPE="string"/>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY TYPE="string"/>', pywbem.CIM_ERR_INVALID_PARAMETER),
        ("<METHOD/>", pywbem.CIM_ERR_INVALID_PARAMETER),
        ('<PROPERTY NAME="Inner" TYPE="string"><VALUE>&lt;INSTANCE</VALUE></PROPERTY>', pywbem.CIM_ERR_FAILED),
    ],
)  # fmt: skip
def test_properties_that_do_not_fit_the_class_are_refused(inside, code):
    assert status(operation, "CreateInstance", ipv("NewInstance", instance(inside))) == code


def test_modify_instance_has_its_path_and_its_own_error_for_unknown_properties():
    name = instance_name(key("Id", "1"), "T_Part")
    _, params = operation(
        "ModifyInstance", ipv("ModifiedInstance", f"<VALUE.NAMEDINSTANCE>{name}{instance('')}</VALUE.NAMEDINSTANCE>")
    )
    assert params["ModifiedInstance"] == Instance("T_Part", {}, Path.of("T_Part", {"Id": "1"}, ROOT))
    wrong = instance('<PROPERTY NAME="Nope" TYPE="string"/>')
    xml = ipv("ModifiedInstance", f"<VALUE.NAMEDINSTANCE>{name}{wrong}</VALUE.NAMEDINSTANCE>")
    assert status(operation, "ModifyInstance", xml) == pywbem.CIM_ERR_NO_SUCH_PROPERTY
    other = ipv("ModifiedInstance", f"<VALUE.NAMEDINSTANCE>{name}{instance('', 'T_Every')}</VALUE.NAMEDINSTANCE>")
    assert status(operation, "ModifyInstance", other) == pywbem.CIM_ERR_INVALID_PARAMETER


# ---- methods


def param(name: str, inside: str, **attributes: str) -> str:
    more = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f'<PARAMVALUE NAME="{name}"{more}>{inside}</PARAMVALUE>'


def test_a_method_call_has_target_method_and_typed_parameters():
    reference = f"<VALUE.REFERENCE>{instance_name(key('InstanceID', 'y'))}</VALUE.REFERENCE>"
    path, method, found = arguments(
        param("FLAG", "<VALUE>True</VALUE>")
        + param("target", reference)
        + param("Targets", f"<VALUE.REFARRAY>{reference}{reference}</VALUE.REFARRAY>")
        + param("Problem", "")
    )
    other = Path.of("T_Every", {"InstanceID": "y"}, ROOT)
    assert (path, method) == (Path.of("T_Every", {"InstanceID": "x"}, ROOT), "Take")
    assert {name: p.value for name, p in found.items()} == {
        "Flag": True, "Target": other, "Targets": (other, other), "Problem": None,
    }  # fmt: skip
    assert found["Target"].type == "reference"


def test_a_reference_parameter_may_be_a_bare_name():
    _, _, found = arguments(param("Target", instance_name(key("InstanceID", "y"))))
    assert found["Target"].value == Path.of("T_Every", {"InstanceID": "y"}, ROOT)


def test_a_static_call_has_a_class_path():
    path = f'<LOCALCLASSPATH>{NAMESPACE}<CLASSNAME NAME="t_every"/></LOCALCLASSPATH>'
    message = decode.read(envelope(f'<METHODCALL NAME="reset">{path}</METHODCALL>'))
    assert message.target_class == "t_every"
    assert decode.extrinsic(message, graph()) == (Path("T_Every", None, ROOT), "Reset", {})


EMBEDDED = Instance(
    "T_Part", {"Id": 'a "b" <c>\n', "Size": 5, "Tags": ("x", "y"), "Inner": Instance("T_Part", {"Id": "in"})}
)


def test_embedded_instances_may_be_cim_xml_text_elements_or_mof():
    xml = (
        '<INSTANCE CLASSNAME="T_Part"><PROPERTY NAME="Id" TYPE="string"><VALUE>a "b" &lt;c&gt;&#10;</VALUE></PROPERTY>'
        '<PROPERTY NAME="Size" TYPE="uint32"><VALUE>5</VALUE></PROPERTY><PROPERTY.ARRAY NAME="Tags" TYPE="string">'
        "<VALUE.ARRAY><VALUE>x</VALUE><VALUE>y</VALUE></VALUE.ARRAY></PROPERTY.ARRAY>"
        '<PROPERTY NAME="Inner" TYPE="string" EmbeddedObject="instance"><VALUE><![CDATA[<INSTANCE CLASSNAME="t_part">'
        '<PROPERTY NAME="ID" TYPE="string"><VALUE>in</VALUE></PROPERTY></INSTANCE>]]></VALUE></PROPERTY></INSTANCE>'
    )
    mof = r"""// as old clients send it
        instance of t_part {
            ID = "a \"b\" " "<c>\n"; /* two
            lines */ size = 5;
            Tags = {"x", "y"};
            Inner = "instance of T_Part { Id = \"in\"; };";
        };"""
    escape = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;"})
    for inside in (f"<VALUE>{xml.translate(escape)}</VALUE>", xml, f"<VALUE>{mof.translate(escape)}</VALUE>"):
        _, _, found = arguments(param("Settings", f"<VALUE.ARRAY>{inside}</VALUE.ARRAY>"))
        assert found["Settings"].value == (EMBEDDED,)
        assert found["Settings"].embedded


def test_an_embedded_instance_of_an_unknown_class_keeps_what_the_client_wrote():
    xml = (
        '&lt;INSTANCE CLASSNAME="X_New"&gt;'
        '&lt;PROPERTY NAME="a" TYPE="uint8"&gt;&lt;VALUE&gt;5&lt;/VALUE&gt;&lt;/PROPERTY&gt;'
        '&lt;PROPERTY.REFERENCE NAME="r"&gt;&lt;/PROPERTY.REFERENCE&gt;&lt;/INSTANCE&gt;'
    )
    _, _, found = arguments(param("Problem", f"<VALUE>{xml}</VALUE>", EmbeddedObject="instance"))
    assert found["Problem"].value == Instance("X_New", {"a": 5, "r": None}, None, {"a": "uint8", "r": "reference"})


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "&lt;INSTANCE", "&lt;!DOCTYPE a>&lt;a/>", "instance of T_Part {", "instance of T_Part { Id = };"],
)
def test_an_embedded_object_that_cannot_be_read_is_a_failure(text):
    assert status(arguments, param("Problem", f"<VALUE>{text}</VALUE>")) == pywbem.CIM_ERR_FAILED


def test_instances_embedded_too_deep_are_a_failure():
    text = 'instance of T_Part { Id = "x"; };'
    for _ in range(12):
        text = 'instance of T_Part { Inner = "' + text.replace("\\", "\\\\").replace('"', '\\"') + '"; };'
    assert status(arguments, param("Problem", f"<VALUE>{text}</VALUE>")) == pywbem.CIM_ERR_FAILED


@pytest.mark.parametrize(
    ("mof", "code"),
    [
        ("instance of T_Part { Nope = 1; };", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("instance of T_Part { Size = -1; };", pywbem.CIM_ERR_INVALID_PARAMETER),
        ('instance of T_Part { Size = "x"; };', pywbem.CIM_ERR_INVALID_PARAMETER),
        ("instance of T_Part { Size = {1}; };", pywbem.CIM_ERR_INVALID_PARAMETER),
        ('instance of T_Part { Tags = "x"; };', pywbem.CIM_ERR_INVALID_PARAMETER),
        ("instance of T_Part { Id = instance of T_Part { }; };", pywbem.CIM_ERR_INVALID_PARAMETER),
        ('instance of T_Part { Id = "x"; ID = "y"; };', pywbem.CIM_ERR_INVALID_PARAMETER),
        ('instance of T_Part { CreationClassName = "T_Other"; };', pywbem.CIM_ERR_INVALID_PARAMETER),
    ],
)
def test_mof_values_that_do_not_fit_the_class_are_refused(mof, code):
    assert status(arguments, param("Problem", f"<VALUE>{mof}</VALUE>")) == code


def test_mof_text_may_name_its_class_once_more():
    mof = 'instance of T_Part { Id = "x"; creationclassname = "T_PART"; };'
    _, _, found = arguments(param("Problem", f"<VALUE>{mof}</VALUE>"))
    assert found["Problem"].value == Instance("T_Part", {"Id": "x"}, None, {})


@settings(max_examples=80, deadline=None)
@given(
    # what XML can carry: everything else is refused
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r"),
        max_size=30,
    ),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
def test_mof_that_pywbem_writes_is_read(text, number, real, flag):
    written = pywbem.CIMInstance(
        "T_X",
        [
            pywbem.CIMProperty("Text", text),
            pywbem.CIMProperty("Texts", [text, "b"]),
            pywbem.CIMProperty("Number", number, "uint64" if number >= 0 else "sint64"),
            pywbem.CIMProperty("Real", real, "real64"),
            pywbem.CIMProperty("Flag", flag),
            pywbem.CIMProperty("Nothing", None, "string"),
        ],
    ).tomof()
    found = mof_value.parse(written).values
    assert found["Text"] == text
    assert found["Texts"] == (text, "b")
    assert int(found["Number"]) == number
    assert math.isclose(float(found["Real"]), real)
    assert (found["Flag"], found["Nothing"]) == (str(flag).lower(), None)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("instance of A { X = null; Y = {}; Z = { 1, NULL, }; };", {"X": None, "Y": (), "Z": ("1", None)}),
        ("instance of A { X = 'c'; Y = +5; Z = 101b; }", {"X": "c", "Y": "+5", "Z": "5"}),
        ("[Q(1)] instance of A { [Key] X = 0x1F; Y = .5e3; };", {"X": "0x1F", "Y": ".5e3"}),
        (r'instance of A { X = "\x41\t\x0009"; };', {"X": "A\t\t"}),
    ],
)
def test_mof_values_of_all_kinds(text, values):
    assert mof_value.parse(text).values == values


@pytest.mark.parametrize(
    ("method", "parameters", "classname", "code"),
    [
        ("Nope", "", "T_Every", pywbem.CIM_ERR_METHOD_NOT_FOUND),
        ("Take", "", "T_Nope", pywbem.CIM_ERR_INVALID_CLASS),
        ("Take", param("Nope", "<VALUE>1</VALUE>"), "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("Take", param("Job", ""), "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("Take", param("Flag", "<VALUE>true</VALUE>") * 2, "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("Take", param("Flag", "<VALUE>1</VALUE>"), "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("Take", param("Target", "<VALUE>x</VALUE>"), "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("Take", param("Targets", "<VALUE.ARRAY/>"), "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
        ("Take", param("Flag", "<VALUE>true</VALUE><VALUE>true</VALUE>"), "T_Every", pywbem.CIM_ERR_INVALID_PARAMETER),
    ],
)  # fmt: skip
def test_wrong_method_calls_are_told_apart(method, parameters, classname, code):
    message = decode.read(method_call(method, parameters, classname))
    assert status(decode.extrinsic, message, graph()) == code


@pytest.mark.parametrize(
    "text",
    [
        "20260101000000.000000+000", "99999999235959.999999:000", "20260101******.******+000",
        "**************.******:000", "20260101000000.00****-480", "00000001******.******:000",
    ],
)  # fmt: skip
def test_datetimes_with_and_without_asterisks_are_taken(text):
    assert decode.values.datetime(text, "it") == text


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-01", "20261301000000.000000+000", "20260101240000.000000+000", "00000000240000.000000:000", "1" * 25],
)
def test_what_is_no_datetime_is_refused(text):
    assert status(decode.values.datetime, text, "it") == pywbem.CIM_ERR_INVALID_PARAMETER


def test_the_test_schema_has_every_type():
    assert all(f"One_{t}" in MOF for t in SCALARS)
