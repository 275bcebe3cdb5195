"""The HTTP side of DSP0200 beyond single requests: M-POST, OPTIONS, languages, refusal details, extended errors."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

import pytest
import pywbem
from cim_kit import World, basic, intrinsic, ipv, post
from http_client import Client, run
from lxml import etree

from cim_provider.operations.api import Operation, Reply
from cim_provider.schema.objects import CimError
from cim_provider.service import MAX_WAITING
from cim_provider.wire.failure import error_instance, status_name
from cim_provider.wire.headers import capabilities
from xenapi_core.errors import E
from xenapi_core.server.listener import listen_tcp
from xenapi_core.server.routes import App, Peer, Request, encrypted_only

NAMES = intrinsic("EnumerateClassNames")
SEVERAL = NAMES.replace(b"<SIMPLEREQ>", b"<MULTIREQ><SIMPLEREQ>").replace(b"</SIMPLEREQ>", b"</SIMPLEREQ></MULTIREQ>")


@pytest.fixture
def world() -> World:
    return World()


def headers_of(response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


def ask(app: App, *parts: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of the reply to bytes sent in these packets to a listener of `app`."""

    async def talk() -> tuple[int, dict[str, str]]:
        listener = await listen_tcp(app, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        client = Client(reader, writer)
        await client.send(*parts)
        status, headers = await client.head()
        writer.close()
        await listener.close()
        return status, headers

    return run(talk())


# ---- M-POST


M_POST = b"M-POST /cimom HTTP/1.1\r\nHost: x\r\nMan: http://www.dmtf.org/cim/mapping/http/v1.0 ; ns=48\r\n\r\n"


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 6, 7, 12, 14, 17, 21, 23, 40])
def test_m_post_is_not_implemented_wherever_its_packets_are_cut(world, cut):
    status, _ = ask(world.app, *filter(None, (M_POST[:cut], M_POST[cut:])))
    assert status == 501


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-x\r\n", b"M-POST \x00 HTTP/1.1\r\n\r\n", b"{}\r\n\r\n"]
)
def test_what_is_no_request_is_a_bad_request(world, garbage):
    status, _ = ask(world.app, garbage)
    assert status == 400


# ---- OPTIONS, languages


def options(path: str = "/cimom", **headers: str) -> Request:
    return Request("OPTIONS", path, headers, b"", Peer("tcp"))


@pytest.mark.parametrize("path", ["/cimom", "/", "*"])
def test_options_tells_the_extension_and_what_is_supported_to_who_may_know(world, path):
    assert world.send(options(path)).status == 401
    found = headers_of(world.send(options(path, authorization=basic())))
    number = found["opt"].rpartition("ns=")[2]
    assert found[f"{number}-cimprotocolversion"] == "1.4"
    assert found["allow"] == "POST, OPTIONS"


def test_a_functional_group_is_told_when_all_its_operations_are_there():
    some = {"CreateInstance", "ModifyInstance", "ExecQuery"}
    assert headers_of(capabilities(some))["48-cimsupportedfunctionalgroups"] == "query-execution"
    more = headers_of(capabilities(some | {"DeleteInstance"}))["48-cimsupportedfunctionalgroups"]
    assert more == "instance-manipulation, query-execution, indication"


def test_a_client_that_names_languages_is_told_the_one_it_gets(world):
    assert "content-language" not in headers_of(world.send(post(NAMES, "EnumerateClassNames")))
    reply = world.send(post(NAMES, "EnumerateClassNames", accept_language="de, fr;q=0.5"))
    assert headers_of(reply)["content-language"] == "en"
    assert reply.status == 200


# ---- refusals


@pytest.mark.parametrize(
    ("body", "changes", "cim_error", "status"),
    [
        (NAMES, {"cimmethod": "GetClass"}, "header-mismatch", 400),
        (NAMES.replace(b'PROTOCOLVERSION="1.0"', b'PROTOCOLVERSION="2.0"'), {}, "unsupported-protocol-version", 501),
        (NAMES.replace(b'DTDVERSION="2.0"', b'DTDVERSION="3.0"'), {}, "unsupported-dtd-version", 501),
        (NAMES.replace(b'CIMVERSION="2.0"', b'CIMVERSION="1.0"'), {}, "unsupported-cim-version", 501),
        (SEVERAL, {}, "multiple-requests-unsupported", 501),
        (NAMES.replace(b"SIMPLEREQ", b"SIMPLERSP"), {}, "request-not-valid", 400),
        (b"<CIM", {}, "request-not-well-formed", 400),
    ],
)  # fmt: skip
def test_a_refusal_says_why_in_its_header_and_its_body(world, body, changes, cim_error, status):
    reply = world.send(post(body, "EnumerateClassNames", **changes))
    found = headers_of(reply)
    assert (reply.status, found["cimerror"]) == (status, cim_error)
    assert unquote(found["pgerrordetail"]) == reply.body.decode().rstrip("\n") != ""
    assert found["pgerrordetail"].isascii()
    assert " " not in found["pgerrordetail"]


def test_pywbem_tells_the_detail_of_a_refusal(world):
    connection = world.connect()
    connection.session.headers["CIMProtocolVersion"] = "2.0"
    with pytest.raises(pywbem.HTTPError) as caught:
        connection.EnumerateClassNames()
    assert caught.value.status == 501
    assert caught.value.cimerror == "unsupported-protocol-version"
    assert "1.x" in caught.value.cimdetails["PGErrorDetail"]


def test_an_endpoint_without_encryption_can_refuse_everything(world):
    app = encrypted_only(world.app)
    for line in (b"POST /cimom", b"OPTIONS *", b"GET /"):
        request = (
            line + b" HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic().encode() + b"\r\nContent-Length: 0\r\n\r\n"
        )
        assert ask(app, request)[0] == 403
    assert ask(app, M_POST)[0] == 501


# ---- extended errors


def test_pywbem_reads_the_error_instance_of_a_failure(world):
    with pytest.raises(pywbem.CIMError) as caught:
        world.connect().GetInstance(pywbem.CIMInstanceName("T_Part", {"Id": "1"}))
    (found,) = caught.value.instances
    assert found.classname == "CIM_Error"
    assert (found["CIMStatusCode"], found["MessageID"]) == (pywbem.CIM_ERR_NOT_FOUND, "CIM_ERR_NOT_FOUND")
    assert found["Message"] == caught.value.status_description
    assert found["OwningEntity"] == "xencim"
    assert found.properties["ErrorType"].type == "uint16"


def test_an_error_of_the_pool_brings_its_code_and_its_parameters(world):
    async def refuse(call):
        raise E.VM_BAD_POWER_STATE("OpaqueRef:1", "halted", "running & <x>")

    world.app.routes[0].handler.__self__.invoke = refuse
    with pytest.raises(pywbem.CIMError) as caught:
        world.connect().InvokeMethod("Take", "T_Every")
    (found,) = caught.value.instances
    assert (found["OwningEntity"], found["MessageID"]) == ("Xen-API", "VM_BAD_POWER_STATE")
    assert found["MessageArguments"] == ["OpaqueRef:1", "halted", "running & <x>"]


def test_an_error_that_wraps_one_of_the_pool_brings_the_same(world):
    async def refuse(call):
        cause = E.HANDLE_INVALID("VM", "OpaqueRef:x")
        raise CimError(6, "there is no such machine") from cause

    world.app.routes[0].handler.__self__.invoke = refuse
    with pytest.raises(pywbem.CIMError) as caught:
        world.connect().InvokeMethod("Take", "T_Every")
    (found,) = caught.value.instances
    assert (found["MessageID"], found["CIMStatusCode"]) == ("HANDLE_INVALID", 6)


@pytest.mark.parametrize(("version", "children"), [("1.0", 0), ("1.2", 0), ("1.3", 1), ("1.4", 1), (None, 1)])
def test_a_client_of_an_early_protocol_version_gets_the_error_without_an_instance(world, version, children):
    reply = world.send(post(intrinsic("MakeCoffee"), "MakeCoffee", cimprotocolversion=version))
    error = etree.fromstring(b"".join(reply.body)).find(".//ERROR")
    assert (error.get("CODE"), len(error)) == ("7", children)


def test_status_codes_have_the_names_pywbem_knows_them_by():
    for code in range(1, 30):
        assert getattr(pywbem, status_name(code), code) == code
    assert {getattr(pywbem, status_name(code), None) for code in (1, 7, 17, 20, 28)} == {1, 7, 17, 20, 28}
    assert status_name(4711) == "CIM status 4711"


def test_every_error_instance_is_of_the_declared_types(world):
    from cim_pool import graph  # the real schema

    declared = graph().classes["cim_error"].properties
    found = error_instance(CimError(2, "no"), E.VM_BAD_POWER_STATE("a", "b", "c"))
    for name in found.values:
        assert found.types[name] == declared[name.lower()].type
        assert isinstance(found.values[name], tuple) == declared[name.lower()].array


def test_an_unknown_namespace_is_told_with_an_error_instance_too(world):
    space = '<LOCALNAMESPACEPATH><NAMESPACE NAME="nowhere"/></LOCALNAMESPACEPATH>'
    reply = world.send(post(intrinsic("EnumerateClassNames", "", space), "EnumerateClassNames", "nowhere"))
    error = etree.fromstring(b"".join(reply.body)).find(".//ERROR")
    assert [child.get("CLASSNAME") for child in error] == ["CIM_Error"]


# ---- limits


async def test_a_user_has_so_many_requests_waiting_and_no_more(world):
    gate = asyncio.Event()

    async def slow(op: Operation) -> Reply:
        await gate.wait()
        return Reply([])

    handler = world.app.routes[0].handler
    world.provider.source.seen = True
    handler.__self__.operations["EnumerateInstances"] = slow
    inside = ipv("ClassName", '<CLASSNAME NAME="T_Part"/>')
    asked = post(intrinsic("EnumerateInstances", inside), "EnumerateInstances")
    tasks = [asyncio.ensure_future(handler(asked)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    refused = handler(post(NAMES, "EnumerateClassNames"))
    code = etree.fromstring(b"".join(refused.body)).find(".//ERROR").get("CODE")
    assert int(code) == pywbem.CIM_ERR_SERVER_LIMITS_EXCEEDED
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert b"<ERROR" not in b"".join(handler(post(NAMES, "EnumerateClassNames")).body)
    gate.set()
    assert {reply.status for reply in await asyncio.gather(*tasks[1:])} == {200}
    assert handler.__self__._waiting == {}
