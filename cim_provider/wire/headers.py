"""HTTP headers of CIM operations (DSP0200 clause 7): the checks of a request, and the form of refusals.

A request that is refused here never reaches an operation: the reply is an HTTP status with a CIMError header and no
CIM-XML. Errors of operations are something else: HTTP 200 with an ERROR element. Clients show people the sentence in
PGErrorDetail (percent-encoded, as OpenPegasus has it), so it repeats the body's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container, Mapping
from urllib.parse import quote, unquote

from cim_provider.schema.objects import canonical_namespace
from xenapi_core.server.routes import Request, Response

REPLY_HEADERS = (("Content-Type", 'application/xml; charset="utf-8"'), ("CIMOperation", "MethodResponse"))

_STATUS = {
    "unsupported-operation": 400,
    "request-not-well-formed": 400,
    "request-not-valid": 400,
    "request-not-loosely-valid": 400,
    "header-mismatch": 400,
    "unsupported-protocol-version": 501,
    "multiple-requests-unsupported": 501,
    "unsupported-cim-version": 501,
    "unsupported-dtd-version": 501,
}
# Functional groups as OPTIONS tells them, each with operations that all have to be there (DSP0200 clause 5.6).
_GROUPS = {
    "basic-read": ("GetClass", "EnumerateClasses", "GetInstance", "EnumerateInstances", "GetProperty"),
    "basic-write": ("SetProperty",),
    "schema-manipulation": ("CreateClass", "ModifyClass", "DeleteClass"),
    "instance-manipulation": ("CreateInstance", "ModifyInstance", "DeleteInstance"),
    "association-traversal": ("Associators", "AssociatorNames", "References", "ReferenceNames"),
    "query-execution": ("ExecQuery",),
    "qualifier-declaration": ("GetQualifier", "SetQualifier", "DeleteQualifier", "EnumerateQualifiers"),
}
_MAPPING = "http://www.dmtf.org/cim/mapping/http/v1.0"
_NUMBER = "48"  # of the extension in our own replies; any two digits do
_LANGUAGE = ("Content-Language", "en")

_EXTENSION = re.compile(r'^\s*"?http://www\.dmtf\.org/cim/mapping/http/v1\.0"?\s*;\s*ns\s*=\s*"?(\d{2})"?\s*$')
_XML_TYPES = ("application/xml", "text/xml")


class RefusedError(Exception):
    """A request that is no CIM operation request. `cim_error` is the CIMError header's value, "" for none."""

    def __init__(self, cim_error: str, text: str, status: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.cim_error = cim_error
        self.text = text
        self.status = status or _STATUS[cim_error]
        self.headers = headers

    def response(self) -> Response:
        extra = (("CIMError", self.cim_error), ("PGErrorDetail", quote(self.text))) if self.cim_error else ()
        plain = ("Content-Type", 'text/plain; charset="utf-8"')
        return Response(self.status, (*extra, *self.headers, plain), f"{self.text}\n".encode())


def credentials(request: Request) -> tuple[str, str]:
    """User and password of Basic authentication (RFC 7617, UTF-8). RefusedError 401 if none can be read."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise unauthorized("the Authorization header cannot be read") from None
        if colon and user and "\0" not in user + password:
            return user, password
    raise unauthorized("credentials are required")


def unauthorized(text: str) -> RefusedError:
    challenge = ("WWW-Authenticate", 'Basic realm="xencim", charset="UTF-8"')
    return RefusedError("", text, 401, (challenge,))


def check_media(request: Request) -> None:
    """RefusedError 415 unless the body is declared as XML in UTF-8, 406 if the client takes no XML back."""
    media, *parameters = (part.strip() for part in request.headers.get("content-type", "").lower().split(";"))
    if media not in _XML_TYPES:
        raise RefusedError("", "Content-Type must be application/xml or text/xml", 415)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            raise RefusedError("", "charset must be utf-8", 415)
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusedError("", "Content-Encoding is not supported", 415)
    accept = request.headers.get("accept", "").lower()
    if accept:
        taken = {part.split(";")[0].strip() for part in accept.split(",")}
        if not taken & {*_XML_TYPES, "*/*", "text/*", "application/*"}:
            raise RefusedError("", "replies are application/xml only", 406)


def cim_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The CIM extension headers by lower-case name, with or without the `NN-` prefix that Man or Opt announces."""
    prefix = ""
    for declaration in ("man", "opt"):
        match = _EXTENSION.match(headers.get(declaration, ""))
        if match:
            prefix = f"{match[1]}-"
            break
    names = ("cimoperation", "cimmethod", "cimobject", "cimprotocolversion", "cimbatch")
    return {name: headers[prefix + name] for name in names if prefix + name in headers}


def check_operation(found: Mapping[str, str]) -> None:
    """Check a request by its headers alone. RefusedError unsupported-operation, multiple-requests-unsupported or
    unsupported-protocol-version."""
    if "cimbatch" in found:
        raise RefusedError("multiple-requests-unsupported", "one request in a message, please")
    if found.get("cimoperation", "").strip().lower() != "methodcall":
        raise RefusedError("unsupported-operation", "CIMOperation must be MethodCall")
    version = found.get("cimprotocolversion", "1.0").strip()
    if not re.fullmatch(r"1\.\d+", version):
        raise RefusedError("unsupported-protocol-version", "the CIM operations protocol here is 1.x")


def check_match(found: Mapping[str, str], method: str, namespace: str, classname: str) -> None:
    """Headers and body must speak of the same method and object, or filters in between would be fooled.

    `classname` is "" for intrinsic operations, whose CIMObject is the namespace. Of an instance path in CIMObject,
    namespace and class are compared. RefusedError header-mismatch.
    """
    if "cimmethod" not in found or "cimobject" not in found:
        raise RefusedError("header-mismatch", "CIMMethod and CIMObject are required")
    if unquote(found["cimmethod"]).strip().lower() != method.lower():
        raise RefusedError("header-mismatch", "CIMMethod and the body name different methods")
    target = unquote(found["cimobject"]).strip()
    if target.startswith("//"):  # an absolute path: the host is not compared
        target = target[2:].partition("/")[2]
    space, _, model = target.partition(":")
    named = re.split(r"[.=@]", model, maxsplit=1)[0].strip()
    if canonical_namespace(space) != namespace or named.lower() != classname.lower():
        raise RefusedError("header-mismatch", "CIMObject and the body name different objects")


def language(request: Request) -> tuple[tuple[str, str], ...]:
    """The header with the language of a reply, for a client that sent Accept-Language: all our texts are English."""
    return (_LANGUAGE,) if "accept-language" in request.headers else ()


def reads_error_instances(found: Mapping[str, str]) -> bool:
    """Whether an ERROR may hold a CIM_Error. A client that declares an early version of the protocol does not expect
    one: wbemcli, which says 1.0, takes such a reply for broken. A client that declares no version gets it."""
    version = re.fullmatch(r"1\.(\d+)", found.get("cimprotocolversion", "1.4").strip())
    return version is not None and int(version[1]) >= 3


def capabilities(operations: Container[str]) -> Response:
    """The reply to OPTIONS (DSP0200 clause 6.2.3): what this server does, in headers, given the operations it has.

    The group "indication" goes with instance manipulation: subscriptions are instances.
    """
    groups = [name for name, needed in _GROUPS.items() if all(operation in operations for operation in needed)]
    if "instance-manipulation" in groups:
        groups.append("indication")
    found = {
        "CIMProtocolVersion": "1.4",
        "CIMSupportedFunctionalGroups": ", ".join(groups),
        "CIMSupportedAuthentication": "Basic",
        "CIMValidation": "loosely-validating",
    }
    told = tuple((f"{_NUMBER}-{name}", value) for name, value in found.items())
    allow = ("Allow", "POST, OPTIONS")
    return Response(200, (("Opt", f"{_MAPPING} ; ns={_NUMBER}"), *told, allow))
