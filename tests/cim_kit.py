"""A small CIM world for tests: a schema with every type, a provider over it, and pywbem as its client."""

from __future__ import annotations

import asyncio
import base64
import functools
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as File
from types import SimpleNamespace
from typing import Any

import pywbem
import requests

from cim_provider.operations import schema_ops  # noqa: F401 - registers the operations on classes
from cim_provider.operations.api import OPERATIONS, MethodCall, MethodReply, Operation, Reply
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import INVALID_NAMESPACE, NOT_FOUND, CimError, Path
from cim_provider.service import wbem_app
from cim_provider.wire.encode import encoder_of
from xenapi_core.bridge.source import Principal
from xenapi_core.server.routes import App, Peer, Request, Response

# What needs a provider with a repository; here, operations that nobody offers.
WRITES = {"CreateClass", "ModifyClass", "DeleteClass", "SetQualifier", "DeleteQualifier"}
USER, PASSWORD = "admin", "päss:word"
SCALARS = (
    "string", "boolean", "char16", "datetime", "real32", "real64",
    "uint8", "uint16", "uint32", "uint64", "sint8", "sint16", "sint32", "sint64",
)  # fmt: skip

MOF = (
    """
[Abstract, Version ( "1.0.0" ), Description ( "The root." )]
class T_Root {
    [Key, Description ( "Who it is." )] string InstanceID;
    [MaxLen ( 64 )] string Caption;
    [Description ( "Base." ), ValueMap { "0", "1", ".." }, Values { "Off", "On", "Reserved" }] uint16 State = 1;
    uint32 Reset([Required, Description ( "How." )] uint16 Mode, [In ( false ), Out] string Answer);
};
[Description ( "One property of each type." )]
class T_Every : T_Root {
    [Override ( "State" ), Write, ValueMap { "0" }, Values { "Off" }] uint16 State;
"""
    + "".join(f"    {t} One_{t};\n    {t} Many_{t}[];\n" for t in SCALARS)
    + """
    [EmbeddedInstance ( "T_Part" )] string Part;
    [EmbeddedInstance ( "T_Part" )] string Parts[];
    [EmbeddedObject] string Thing;
    uint32 Take([EmbeddedInstance ( "T_Part" )] string Settings[], T_Root REF Target, T_Root REF Targets[],
        boolean Flag, [In ( false ), Out] T_Root REF Job, [In ( false ), Out] T_Root REF Made[],
        [Out, EmbeddedInstance ( "T_Part" )] string Problem);
};
class T_Part {
    [Key] string Id;
    uint32 Size;
    string Tags[];
    [EmbeddedInstance ( "T_Part" )] string Inner;
};
class T_Numbered {
    [Key] uint32 Number;
};
class T_Keys {
    [Key] string A;
    [Key] uint64 B;
    [Key] boolean C;
    [Key] datetime D;
    [Key] sint8 E;
};
[Association]
class T_Link {
    [Key] T_Root REF Antecedent;
    [Key, Max ( 1 )] T_Root REF Dependent;
    string Note;
};
[Association]
class T_SpecialLink : T_Link {
    [Override ( "Dependent" )] T_Every REF Dependent;
};
"""
)


@functools.cache
def graph() -> ClassGraph:
    """The class graph of MOF, with the qualifier types the project declares."""
    with tempfile.TemporaryDirectory() as name:
        folder = File(name)
        (folder / "test.mof").write_text(MOF)
        return load_graph([mof_root() / "dmtf" / "qualifiers.mof", folder / "test.mof"], cache=folder)


class Users:
    """The part of a Source that the service itself needs: one user, whose credentials are slow once."""

    def __init__(self) -> None:
        self.seen = False
        self.principal = Principal(USER, frozenset({"pool-admin"}), "wbem")

    def known(self, user: str, password: str) -> Principal | None:
        return self.principal if self.seen and (user, password) == (USER, PASSWORD) else None

    async def authenticate(self, user: str, password: str, originator: str, address: str = "") -> Principal | None:
        await asyncio.sleep(0)
        if (user, password) != (USER, PASSWORD):
            return None
        self.seen = True
        return self.principal


class SmallProvider:
    """Namespaces root/cimv2 and interop, both with the graph above."""

    def __init__(self) -> None:
        self.source: Any = Users()

    def graph(self, namespace: str) -> ClassGraph:
        if namespace not in ("root/cimv2", "interop"):
            raise CimError(INVALID_NAMESPACE, f"there is no namespace {namespace}")
        return graph()


class Instances:
    """GetInstance and EnumerateInstances over what a test put in; methods echo what they were given."""

    def __init__(self) -> None:
        self.stored: dict[Path, Mapping[str, Any]] = {}
        self.calls: list[Operation | MethodCall] = []
        self.reply = MethodReply(0)

    def operations(self) -> dict[str, Any]:
        own = {"GetInstance": self.get, "EnumerateInstances": self.enumerate, "ModifyInstance": self.note}
        kept = {name: handler for name, handler in OPERATIONS.items() if name not in WRITES}
        return {**kept, **own, "DeleteInstance": self.fail}

    def get(self, op: Operation) -> Reply:
        self.calls.append(op)
        path = op.params["InstanceName"]
        if path not in self.stored:
            raise CimError(NOT_FOUND, f"there is no {path.classname} like that")
        return Reply([encoder_of(graph()).instance(path.classname, self.stored[path])])

    async def enumerate(self, op: Operation) -> Reply:
        await asyncio.sleep(0)
        self.calls.append(op)
        encoder = encoder_of(graph())
        found = [(p, v) for p, v in self.stored.items() if graph().is_a(p.classname, op.params["ClassName"])]
        return Reply([encoder.named_instance(p, encoder.instance(p.classname, v)) for p, v in found])

    def note(self, op: Operation) -> Reply:
        self.calls.append(op)
        return Reply()

    def fail(self, op: Operation) -> Reply:
        raise ZeroDivisionError("secret detail")

    async def invoke(self, call: MethodCall) -> MethodReply:
        await asyncio.sleep(0)
        self.calls.append(call)
        return self.reply


class World:
    """A service over a SmallProvider, and requests to it."""

    def __init__(self) -> None:
        self.provider = SmallProvider()
        self.instances = Instances()
        self.app: App = wbem_app(self.provider, self.instances.operations(), self.instances.invoke)

    def send(self, request: Request) -> Response:
        """What the HTTP layer does: routes by method, awaits if the handler says so, and reads a reply to its end."""
        route = next((r for r in self.app.routes if r.method == request.method), None)
        found = (route.handler if route else self.app.fallback)(request)

        async def whole() -> Response:
            reply = found if isinstance(found, Response) else await found
            if reply.stream is None:
                return reply
            return replace(reply, body=b"".join([part async for part in reply.stream]), stream=None)

        return found if isinstance(found, Response) and found.stream is None else asyncio.run(whole())

    def connect(self, namespace: str = "root/cimv2") -> pywbem.WBEMConnection:
        connection = pywbem.WBEMConnection("http://localhost", (USER, PASSWORD), default_namespace=namespace)
        connection.session.mount("http://", _Adapter(self))
        return connection


def body_of(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def basic(user: str = USER, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def post(body: bytes, method: str, cim_object: str = "root/cimv2", **headers: str | None) -> Request:
    """A right request; `headers` (underscore for dash) replaces header values, None removes a header."""
    found: dict[str, str | None] = {
        "authorization": basic(),
        "content-type": 'application/xml; charset="utf-8"',
        "cimoperation": "MethodCall",
        "cimmethod": method,
        "cimobject": cim_object,
    }
    found.update({name.replace("_", "-"): value for name, value in headers.items()})
    kept = {name: value for name, value in found.items() if value is not None}
    return Request("POST", "/cimom", kept, body, Peer("tcp"))


def envelope(inside: str, message_id: str = "42") -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8" ?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="{message_id}" PROTOCOLVERSION="1.0"><SIMPLEREQ>{inside}</SIMPLEREQ></MESSAGE></CIM>'
    ).encode()


NAMESPACE = '<LOCALNAMESPACEPATH><NAMESPACE NAME="root"/><NAMESPACE NAME="cimv2"/></LOCALNAMESPACEPATH>'


def intrinsic(name: str, parameters: str = "", namespace: str = NAMESPACE) -> bytes:
    return envelope(f'<IMETHODCALL NAME="{name}">{namespace}{parameters}</IMETHODCALL>')


def method_call(name: str, parameters: str = "", classname: str = "T_Every") -> bytes:
    path = (
        f'<LOCALINSTANCEPATH>{NAMESPACE}<INSTANCENAME CLASSNAME="{classname}"><KEYBINDING NAME="InstanceID">'
        f'<KEYVALUE VALUETYPE="string">x</KEYVALUE></KEYBINDING></INSTANCENAME></LOCALINSTANCEPATH>'
    )
    return envelope(f'<METHODCALL NAME="{name}">{path}{parameters}</METHODCALL>')


def ipv(name: str, value: str) -> str:
    return f'<IPARAMVALUE NAME="{name}">{value}</IPARAMVALUE>'


class _Adapter(requests.adapters.BaseAdapter):
    """Hands requests of the `requests` package to a World."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        headers = {k.lower(): v if isinstance(v, str) else v.decode("latin-1") for k, v in request.headers.items()}
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        reply = self.world.send(Request(request.method or "", request.path_url, headers, body, Peer("tcp")))
        found = requests.Response()
        found.status_code, found.reason = reply.status, "reason"
        found._content, found.headers = body_of(reply), requests.structures.CaseInsensitiveDict(reply.headers)
        found.raw, found.url, found.request = SimpleNamespace(version=11), request.url or "", request
        return found

    def close(self) -> None:
        pass
