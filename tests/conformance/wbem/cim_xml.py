"""Raw CIM-XML to a real server: requests that no client library would send, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree
from server_client import DEMO_USER, Wire, cim_body, cim_headers, namespace_path, post
from server_process import ServerProcess

NAMESPACE = "root/cimv2"


@contextmanager
def raw(server: ServerProcess) -> Iterator[Wire]:
    with Wire(server, "wbem") as wire:
        yield wire


def text(name: str, value: object) -> str:
    return f'<IPARAMVALUE NAME="{name}"><VALUE>{escape(str(value))}</VALUE></IPARAMVALUE>'


def class_named(name: str, parameter: str = "ClassName") -> str:
    return f'<IPARAMVALUE NAME="{parameter}"><CLASSNAME NAME={quoteattr(name)}/></IPARAMVALUE>'


def names(*values: str) -> str:
    inner = "".join(f"<VALUE>{escape(value)}</VALUE>" for value in values)
    return f'<IPARAMVALUE NAME="PropertyList"><VALUE.ARRAY>{inner}</VALUE.ARRAY></IPARAMVALUE>'


def instance_name(classname: str, **keys: str) -> str:
    inner = "".join(
        f'<KEYBINDING NAME="{name}"><KEYVALUE VALUETYPE="string">{escape(value)}</KEYVALUE></KEYBINDING>'
        for name, value in keys.items()
    )
    return f'<INSTANCENAME CLASSNAME="{classname}">{inner}</INSTANCENAME>'


def machine_name(uuid: str, classname: str = "Xen_ComputerSystem") -> str:
    return instance_name(classname, CreationClassName="Xen_ComputerSystem", Name=uuid)


def named(parameter: str, name: str) -> str:
    return f'<IPARAMVALUE NAME="{parameter}">{name}</IPARAMVALUE>'


def answer(server: ServerProcess, operation: str, content: str, target: str, user: str) -> etree._Element:
    """The IMETHODRESPONSE or METHODRESPONSE; `target` is the CIMObject header. Anything but HTTP 200 fails."""
    with raw(server) as wire:
        reply = wire.ask(post(cim_body(content), "/cimom", user + cim_headers(operation, target)))
    assert reply is not None
    assert reply.status == 200, (reply.status, reply.headers, reply.body)
    return next(etree.fromstring(reply.body).iter("IMETHODRESPONSE", "METHODRESPONSE"))


def intrinsic(
    server: ServerProcess, operation: str, params: str, namespace: str = NAMESPACE, user: str = DEMO_USER
) -> etree._Element:
    content = f'<IMETHODCALL NAME="{operation}">{namespace_path(namespace)}{params}</IMETHODCALL>'
    return answer(server, operation, content, namespace, user)


def extrinsic(
    server: ServerProcess, method: str, target: str, params: str = "", namespace: str = NAMESPACE
) -> etree._Element:
    """`target` is an INSTANCENAME or CLASSNAME element, `params` are PARAMVALUE elements."""
    kind = "LOCALINSTANCEPATH" if target.startswith("<INSTANCENAME") else "LOCALCLASSPATH"
    path = f"<{kind}>{namespace_path(namespace)}{target}</{kind}>"
    element = etree.fromstring(target)
    keys = ",".join(f'{k.get("NAME")}="{k.findtext("KEYVALUE")}"' for k in element.iter("KEYBINDING"))
    header = f"{namespace}:{element.get('CLASSNAME') or element.get('NAME')}" + (f".{keys}" if keys else "")
    return answer(server, method, f'<METHODCALL NAME="{method}">{path}{params}</METHODCALL>', header, DEMO_USER)


def status(response: etree._Element) -> int:
    """The CIM status code; 0 for success."""
    error = response.find("ERROR")
    return 0 if error is None else int(error.get("CODE"))


def out(response: etree._Element, name: str) -> str | None:
    """The text of an output parameter."""
    for value in response.iter("PARAMVALUE"):
        if value.get("NAME") == name:
            return value.findtext("VALUE")
    return None


def returned(response: etree._Element) -> Any:
    """The return value of a method, or None with an error."""
    return response.findtext("RETURNVALUE/VALUE")
