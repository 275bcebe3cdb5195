"""The WBEM service: gates, envelopes and errors, with real requests and with pywbem as the client."""

from __future__ import annotations

import logging
from pathlib import Path as File

import pytest
import pywbem
from cim_kit import (
    PASSWORD,
    USER,
    World,
    basic,
    body_of,
    envelope,
    graph,
    intrinsic,
    ipv,
    method_call,
    post,
)
from lxml import etree

from cim_provider.operations.api import MethodReply
from cim_provider.schema.objects import Instance, Path
from cim_provider.wire.encode import encoder_of
from xenapi_core.errors import E
from xenapi_core.server.routes import Peer, Request

GOLDEN = File(__file__).parent / "golden_cim"
ROOT = "root/cimv2"
NAMES = intrinsic("EnumerateClassNames")
SCOPED = pywbem.CIMQualifierDeclaration("X", "string", scopes={"CLASS": True})


@pytest.fixture
def world() -> World:
    return World()


def headers_of(response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


# ---- the gates


def test_a_right_request_is_answered_with_cim_xml(world):
    reply = world.send(post(NAMES, "EnumerateClassNames"))
    assert reply.status == 200
    assert headers_of(reply) == {"content-type": 'application/xml; charset="utf-8"', "cimoperation": "MethodResponse"}
    assert b'<CLASSNAME NAME="T_Root"></CLASSNAME>' in body_of(reply)


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Basic", "Basic !!!", "Basic QQ", "Negotiate abc", basic("nobody"), basic(password="wrong"),
        basic(user="", password=PASSWORD), basic(password=PASSWORD + "\0x"), "Basic " + "gIA6gA==",
    ],
)  # fmt: skip
@pytest.mark.parametrize("warm", [False, True])
def test_nothing_is_answered_without_good_credentials(world, authorization, warm):
    if warm:
        assert world.send(post(NAMES, "EnumerateClassNames")).status == 200
    for body in (NAMES, b"", b"<!DOCTYPE a>"):
        reply = world.send(post(body, "EnumerateClassNames", authorization=authorization))
        assert reply.status == 401
        assert headers_of(reply)["www-authenticate"].startswith('Basic realm="xencim"')
        assert b"T_" not in body_of(reply)


def test_credentials_that_are_known_need_no_waiting(world):
    assert world.send(post(NAMES, "EnumerateClassNames")).status == 200
    direct = world.app.routes[0].handler(post(NAMES, "EnumerateClassNames"))
    assert direct.status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"content_type": None}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "text/xml; charset=iso-8859-1"}, 415),
        ({"content_type": "text/xml"}, 200),
        ({"content_type": "TEXT/XML; Charset=UTF-8"}, 200),
        ({"content_encoding": "gzip"}, 415),
        ({"accept": "text/html, image/png"}, 406),
        ({"accept": "text/html, */*;q=0.1"}, 200),
        ({"accept": "application/xml"}, 200),
    ],
)
def test_media_types_are_negotiated(world, changes, status):
    reply = world.send(post(NAMES, "EnumerateClassNames", **changes))
    assert reply.status == status
    assert "cimerror" not in headers_of(reply)


@pytest.mark.parametrize(
    ("changes", "status", "cim_error"),
    [
        ({"cimoperation": None}, 400, "unsupported-operation"),
        ({"cimoperation": "MethodResponse"}, 400, "unsupported-operation"),
        ({"cimmethod": None}, 400, "header-mismatch"),
        ({"cimobject": None}, 400, "header-mismatch"),
        ({"cimmethod": "GetClass"}, 400, "header-mismatch"),
        ({"cimobject": "interop"}, 400, "header-mismatch"),
        ({"cimobject": "root/cimv2:T_Root"}, 400, "header-mismatch"),
        ({"cimprotocolversion": "2.0"}, 501, "unsupported-protocol-version"),
        ({"cimprotocolversion": "x"}, 501, "unsupported-protocol-version"),
        ({"cimbatch": ""}, 501, "multiple-requests-unsupported"),
    ],
)
def test_headers_that_are_wrong_are_refused_with_their_cim_error(world, changes, status, cim_error):
    reply = world.send(post(NAMES, "EnumerateClassNames", **changes))
    assert (reply.status, headers_of(reply)["cimerror"]) == (status, cim_error)


@pytest.mark.parametrize(
    "changes",
    [
        {"cimoperation": "methodcall"},
        {"cimmethod": "enumerateclassnames"},
        {"cimmethod": "Enumerate%43lassNames"},
        {"cimobject": "ROOT/CIMv2"},
        {"cimobject": "/root/cimv2/"},
        {"cimobject": "root%2Fcimv2"},
        {"cimprotocolversion": "1.4"},
    ],
)
def test_headers_may_differ_in_case_and_encoding(world, changes):
    assert world.send(post(NAMES, "EnumerateClassNames", **changes)).status == 200


def test_headers_with_an_extension_prefix_are_understood(world):
    plain = post(NAMES, "EnumerateClassNames", cimoperation=None, cimmethod=None, cimobject=None)
    prefixed = {
        "man": "http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=48",
        "48-cimoperation": "MethodCall",
        "48-cimmethod": "EnumerateClassNames",
        "48-cimobject": ROOT,
    }
    request = Request("POST", "/cimom", {**plain.headers, **prefixed}, NAMES, Peer("tcp"))
    assert world.send(request).status == 200
    other = {name.replace("48-", "49-"): value for name, value in prefixed.items()}
    request = Request("POST", "/cimom", {**plain.headers, **other}, NAMES, Peer("tcp"))
    assert headers_of(world.send(request))["cimerror"] == "unsupported-operation"


def test_method_calls_are_compared_with_the_path_in_cimobject(world):
    body = method_call("Take")
    good = 'root/cimv2:T_Every.InstanceID="x%22%C3%A4"'
    for cim_object in (good, good.replace("T_Every", "t_every"), "//host/" + good, "root/cimv2:T_Every"):
        assert world.send(post(body, "Take", cim_object)).status == 200
    for cim_object in ("root/cimv2", 'root/cimv2:T_Part.Id="x"', "interop:T_Every"):
        assert headers_of(world.send(post(body, "Take", cim_object)))["cimerror"] == "header-mismatch"


def test_a_malformed_body_is_refused(world):
    reply = world.send(post(b"<CIM", "EnumerateClassNames"))
    assert (reply.status, headers_of(reply)["cimerror"]) == (400, "request-not-well-formed")


@pytest.mark.parametrize(("method", "status"), [("M-POST", 501), ("GET", 405), ("PUT", 405), ("DELETE", 405)])
def test_other_http_methods_are_refused(world, method, status):
    reply = world.send(Request(method, "/cimom", {}, b"", Peer("tcp")))
    assert reply.status == status
    assert headers_of(reply).get("allow", "") == ("POST, OPTIONS" if status == 405 else "")


# ---- answers


def error_of(reply) -> tuple[int, str]:
    found = etree.fromstring(body_of(reply)).find(".//ERROR")
    assert found is not None
    return int(found.get("CODE")), found.get("DESCRIPTION")


def test_errors_of_operations_have_http_status_200(world):
    wrong = intrinsic("GetClass", ipv("ClassName", '<CLASSNAME NAME="T_&lt;&quot;"/>'))
    reply = world.send(post(wrong, "GetClass"))
    assert reply.status == 200
    assert error_of(reply) == (pywbem.CIM_ERR_NOT_FOUND, 'there is no class T_<" in root/cimv2')


def test_an_unknown_namespace_is_a_cim_error(world):
    space = '<LOCALNAMESPACEPATH><NAMESPACE NAME="nowhere"/></LOCALNAMESPACEPATH>'
    reply = world.send(post(intrinsic("EnumerateClassNames", "", space), "EnumerateClassNames", "nowhere"))
    assert error_of(reply)[0] == pywbem.CIM_ERR_INVALID_NAMESPACE


@pytest.mark.parametrize("name", ["MakeCoffee", "CreateClass"])
def test_operations_nobody_offers_are_not_supported(world, name):
    inside = {"CreateClass": ipv("NewClass", '<CLASS NAME="X"/>')}.get(name, "")
    assert error_of(world.send(post(intrinsic(name, inside), name)))[0] == pywbem.CIM_ERR_NOT_SUPPORTED


def test_a_bug_is_told_with_an_id_that_is_in_the_log_and_nothing_else(world, caplog):
    inside = ipv("InstanceName", '<INSTANCENAME CLASSNAME="T_Part"><KEYVALUE>1</KEYVALUE></INSTANCENAME>')
    with caplog.at_level(logging.ERROR, "xencim.wbem"):
        code, text = error_of(world.send(post(intrinsic("DeleteInstance", inside), "DeleteInstance")))
    assert code == pywbem.CIM_ERR_FAILED
    assert "secret" not in text
    (record,) = caplog.records
    _, incident, what = record.getMessage().split(maxsplit=2)
    assert (f"see incident {incident.rstrip(':')} in" in text, what) == (True, "DeleteInstance failed")
    assert record.exc_info is not None


def test_an_api_error_becomes_the_cim_status_of_its_row(world):
    row = E.HANDLE_INVALID

    async def refuse(call):
        raise row("VM", "OpaqueRef:x")

    world.app = type(world.app)("wbem", (world.app.routes[0],), world.app.fallback)
    world.app.routes[0].handler.__self__.invoke = refuse
    code, text = error_of(world.send(post(method_call("Take"), "Take", "root/cimv2:T_Every")))
    assert (code, text) == (row.cim, "HANDLE_INVALID VM OpaqueRef:x")


@pytest.mark.parametrize("message_id", ["1", "a&amp;b", "&quot;&lt;", "ä" * 50])
def test_the_message_id_comes_back(world, message_id):
    reply = world.send(
        post(intrinsic("EnumerateClassNames").replace(b"42", message_id.encode()), "EnumerateClassNames")
    )
    assert f'<MESSAGE ID="{message_id}"'.encode() in body_of(reply)


# ---- pywbem as the client


def test_pywbem_reads_classes(world):
    connection = world.connect()
    assert set(connection.EnumerateClassNames()) == set(graph().subclasses(""))
    assert connection.EnumerateClassNames(ClassName="T_Root") == ["T_Every"]
    assert connection.EnumerateClassNames(ClassName="t_link", DeepInheritance=True) == ["T_SpecialLink"]
    every = connection.GetClass("t_every", LocalOnly=False, IncludeClassOrigin=True)
    assert (every.classname, every.superclass) == ("T_Every", "T_Root")
    assert list(every.properties) == [p.name for p in graph().classes["t_every"].properties.values()]
    assert every.properties["Caption"].class_origin == "T_Root"
    local = connection.GetClass("T_Every", IncludeQualifiers=False)
    assert "Caption" not in local.properties
    assert not local.properties["State"].qualifiers
    assert list(connection.GetClass("T_Every", LocalOnly=False, PropertyList=["CAPTION", "x"]).properties) == [
        "Caption"
    ]
    names = {c.classname for c in connection.EnumerateClasses(DeepInheritance=True)}
    assert names == {c.name for c in graph().classes.values()}
    assert [c.classname for c in connection.EnumerateClasses(ClassName="T_Root")] == ["T_Every"]


def test_pywbem_reads_qualifier_types(world):
    connection = world.connect()
    assert {q.name for q in connection.EnumerateQualifiers()} == {
        q.name for q in graph().qualifier_declarations.values()
    }
    key = connection.GetQualifier("key")
    assert (key.name, key.type, key.value, key.overridable) == ("Key", "boolean", False, False)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda c: c.GetClass("T_Nope"), pywbem.CIM_ERR_NOT_FOUND),
        (lambda c: c.EnumerateClasses(ClassName="T_Nope"), pywbem.CIM_ERR_INVALID_CLASS),
        (lambda c: c.EnumerateClassNames(ClassName="T_Nope"), pywbem.CIM_ERR_INVALID_CLASS),
        (lambda c: c.GetQualifier("Nope"), pywbem.CIM_ERR_NOT_FOUND),
        (lambda c: c.CreateClass(pywbem.CIMClass("T_New")), pywbem.CIM_ERR_NOT_SUPPORTED),
        (lambda c: c.ModifyClass(pywbem.CIMClass("T_Root")), pywbem.CIM_ERR_NOT_SUPPORTED),
        (lambda c: c.DeleteClass("T_Root"), pywbem.CIM_ERR_NOT_SUPPORTED),
        (lambda c: c.DeleteQualifier("Key"), pywbem.CIM_ERR_NOT_SUPPORTED),
        (lambda c: c.SetQualifier(SCOPED), pywbem.CIM_ERR_NOT_SUPPORTED),
        (lambda c: c.GetInstance(pywbem.CIMInstanceName("T_Part", {"Id": "1"})), pywbem.CIM_ERR_NOT_FOUND),
        (lambda c: c.EnumerateClassNames(namespace="nowhere"), pywbem.CIM_ERR_INVALID_NAMESPACE),
        (lambda c: c.InvokeMethod("Nope", "T_Every"), pywbem.CIM_ERR_METHOD_NOT_FOUND),
        (lambda c: c.InvokeMethod("Take", "T_Every", Nope=True), pywbem.CIM_ERR_INVALID_PARAMETER),
    ],
)
def test_pywbem_gets_the_right_status(world, call, code):
    with pytest.raises(pywbem.CIMError) as caught:
        call(world.connect())
    assert caught.value.status_code == code


def test_pywbem_with_a_wrong_password_is_told_so(world):
    connection = world.connect()
    wrong = pywbem.WBEMConnection("http://localhost", (USER, "wrong"))
    wrong.session = connection.session
    with pytest.raises(pywbem.AuthError):
        wrong.EnumerateClassNames()


def test_pywbem_reads_instances_it_named(world):
    path = Path.of("T_Part", {"Id": 'ä"<x>'}, ROOT)
    world.instances.stored[path] = {"Id": 'ä"<x>', "Size": 7, "Tags": ("a", "b")}
    found = world.connect().GetInstance(pywbem.CIMInstanceName("t_part", {"ID": 'ä"<x>'}))
    assert (found["Id"], found["Size"], found["Tags"], found["Inner"]) == ('ä"<x>', 7, ["a", "b"], None)
    (listed,) = world.connect().EnumerateInstances("T_Part", LocalOnly=False)
    assert (listed.path.classname, listed.path["Id"], listed["Size"]) == ("T_Part", 'ä"<x>', 7)


def test_pywbem_calls_methods_with_parameters_of_every_kind(world):
    part = Instance("T_Part", {"Id": "made", "Size": 1})
    job = Path.of("T_Every", {"InstanceID": "job"}, ROOT)
    encoder = encoder_of(graph())
    world.instances.reply = MethodReply(
        4096,
        "uint32",
        [
            encoder.param_value("Job", "reference", job),
            encoder.param_value("Made", "reference", (job,)),
            encoder.param_value("Problem", "string", part),
        ],
    )
    sent = pywbem.CIMInstance("T_Part", {"Id": "x", "Size": pywbem.Uint32(3)})
    target = pywbem.CIMInstanceName("T_Every", {"InstanceID": "t"}, namespace=ROOT)
    value, out = world.connect().InvokeMethod(
        "Take", target, Settings=[sent, sent], Target=target, Targets=[target], Flag=True
    )
    assert value == 4096
    assert out["Job"]["InstanceID"] == "job"
    assert out["Made"][0]["InstanceID"] == "job"
    assert out["Problem"]["Id"] == "made"
    call = world.instances.calls[-1]
    wanted = Path.of("T_Every", {"InstanceID": "t"}, ROOT)
    assert (call.path, call.method, call.value("Target"), call.value("Targets")) == (wanted, "Take", wanted, (wanted,))
    assert call.value("Settings") == (Instance("T_Part", {"Id": "x", "Size": 3}),) * 2
    assert (call.value("Flag"), call.value("Problem")) == (True, None)


def test_a_method_without_return_value_has_no_returnvalue_element(world):
    world.instances.reply = MethodReply(None, "uint32")
    reply = world.send(post(method_call("Take"), "Take", "root/cimv2:T_Every"))
    assert b"RETURNVALUE" not in body_of(reply)
    assert reply.status == 200


# ---- golden bytes


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.request.xml")), ids=lambda p: p.name.split(".")[0])
def test_replies_are_byte_for_byte_what_they_were(world, path):
    world.instances.stored[Path.of("T_Part", {"Id": "1"}, ROOT)] = {"Id": "1", "Tags": ("a<b", None), "Size": 2**32 - 1}
    body = path.read_bytes().strip()
    name = body.split(b'METHODCALL NAME="')[1].split(b'"')[0].decode()
    cim_object = "root/cimv2:T_Every" if b"<METHODCALL" in body else ROOT
    reply = body_of(world.send(post(body, name, cim_object)))
    wanted = path.with_name(path.name.replace(".request.", ".reply.")).read_bytes()
    assert reply == wanted.rstrip(b"\n")


def test_there_are_golden_replies_for_each_kind_of_envelope():
    replies = b"".join(p.read_bytes() for p in GOLDEN.glob("*.reply.xml"))
    assert all(tag in replies for tag in (b"<IRETURNVALUE>", b"<ERROR", b"<METHODRESPONSE", b"<CLASS ", b"<INSTANCE "))
    assert envelope("") not in replies
