"""SOAP codec for workload balancing servers: their requests and replies, with the names of their interface.

Rule 1: elements are found by their local names: servers of different versions differ in namespaces alone.
Rule 2: the elements of a request come in the order of the alphabet; the servers read them in no other.
Rule 3: errors tell the call and the reason, and nothing of what was received: it may come from any server, and hold
        what was sent to it. So the third parameter of WLB_MALFORMED_RESPONSE, the response, is always empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from lxml import etree

from xenapi_core.errors import E
from xenapi_core.wire.limits import Limits, XmlError, parse_xml

PATH: Final = "/Citrix.Dwm.WorkloadBalance/Service"
LARGEST: Final = 2 << 20  # bytes of an answer
LARGEST_REPORT: Final = 9 << 20  # a report is one text, and the parser takes none of more than 10 MB

_ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_INTERFACE: Final = "http://schemas.citrix.com/DWM"
_PAIRS: Final = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
_FAULT_TEXTS: Final = (("Reason", "Text"), ("faultstring",))  # SOAP 1.2 and 1.1

Element = etree._Element


class Request:
    """One call under construction."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._envelope = etree.Element(etree.QName(_ENVELOPE, "Envelope"), nsmap={"s": _ENVELOPE})
        call = etree.SubElement(
            etree.SubElement(self._envelope, etree.QName(_ENVELOPE, "Body")),
            etree.QName(_INTERFACE, method),
            nsmap={None: _INTERFACE},  # type: ignore[dict-item] # None is the default namespace
        )
        self._request = etree.SubElement(call, etree.QName(_INTERFACE, "request"))

    def add(self, name: str, text: str) -> Request:
        """A parameter. WLB_MALFORMED_REQUEST for characters that XML cannot carry."""
        self._text(self._request, _INTERFACE, name, text)
        return self

    def add_map(self, name: str, pairs: Mapping[str, str]) -> Request:
        """A parameter that is a map of texts. WLB_MALFORMED_REQUEST."""
        outer = etree.SubElement(self._request, etree.QName(_INTERFACE, name), nsmap={"b": _PAIRS})
        for key, value in pairs.items():
            pair = etree.SubElement(outer, etree.QName(_PAIRS, "KeyValueOfstringstring"))
            self._text(pair, _PAIRS, "Key", key)
            self._text(pair, _PAIRS, "Value", value)
        return self

    def add_report_parameters(self, parameters: Mapping[str, str]) -> Request:
        """The parameters of a report. WLB_MALFORMED_REQUEST."""
        outer = etree.SubElement(self._request, etree.QName(_INTERFACE, "ReportParms"))
        for key, value in parameters.items():
            parameter = etree.SubElement(outer, etree.QName(_INTERFACE, "ReportParameter"))
            self._text(parameter, _INTERFACE, "ParameterName", key)
            self._text(parameter, _INTERFACE, "ParameterValue", value)
        return self

    @staticmethod
    def _text(parent: Element, namespace: str, name: str, text: str) -> None:
        try:
            etree.SubElement(parent, etree.QName(namespace, name)).text = text
        except ValueError:
            raise E.WLB_MALFORMED_REQUEST() from None

    @property
    def headers(self) -> dict[str, str]:
        action = f'"{_INTERFACE}/IWorkloadBalance/{self.method}"'
        return {"SOAPAction": action, "Content-Type": "text/xml; charset=utf-8"}

    def body(self) -> bytes:
        return etree.tostring(self._envelope, encoding="utf-8")


def malformed(method: str, reason: str) -> NoReturn:
    """WLB_MALFORMED_RESPONSE (rule 3)."""
    raise E.WLB_MALFORMED_RESPONSE(method, reason, "")


def result_of(method: str, status: int, body: bytes, largest: int = LARGEST) -> Element:
    """The result of the call: the element whose children are its values.

    WLB_AUTHENTICATION_FAILED and WLB_MALFORMED_REQUEST by the HTTP status; WLB_INTERNAL_ERROR for a fault
    ["Exception:", text] and for a result that is no success [code, message]; else WLB_MALFORMED_RESPONSE.
    """
    if status in (401, 403):
        raise E.WLB_AUTHENTICATION_FAILED()
    if status == 400:
        raise E.WLB_MALFORMED_REQUEST()
    try:
        root = parse_xml(body, Limits(max_body=largest, max_elements=100_000))
    except XmlError:
        malformed(method, f"HTTP {status}" if status != 200 else "The answer is not the XML that is read.")
    result = _descend(root, "Body", f"{method}Response", f"{method}Result")
    if result is None:
        for path in _FAULT_TEXTS:
            if (told := _descend(root, "Body", "Fault", *path)) is not None:
                raise E.WLB_INTERNAL_ERROR("Exception:", told.text or "")
        malformed(method, f"HTTP {status}" if status != 200 else "The answer has neither a result nor a fault.")
    code = text_of(result, "ResultCode", "0")
    if code != "0":
        raise E.WLB_INTERNAL_ERROR(code, text_of(result, "ErrorMessage", ""))
    return result


def find(element: Element, name: str) -> Element | None:
    """The first child of that local name."""
    return next((child for child in element if etree.QName(child).localname == name), None)


def text_of(element: Element, name: str, default: str) -> str:
    """The text of a child; `default` if there is no such child."""
    child = find(element, name)
    return default if child is None else child.text or ""


def needed_text(method: str, element: Element, name: str) -> str:
    """The text of a child that must be there and hold something. WLB_MALFORMED_RESPONSE."""
    return text_of(element, name, "") or malformed(method, f"{name} is missing.")


def needed_number(method: str, element: Element, name: str) -> str:
    """The text of a child that must be there and hold a number. WLB_MALFORMED_RESPONSE."""
    text = needed_text(method, element, name)
    try:
        good = math.isfinite(float(text))
    except ValueError:
        good = False
    return text if good else malformed(method, f"{name} is no number.")


def check_empty(method: str, result: Element) -> None:
    """WLB_MALFORMED_RESPONSE for a result with values, of a call that gives none."""
    if any(etree.QName(child).localname not in ("ResultCode", "ErrorMessage") for child in result):
        malformed(method, "A result was given where none is.")


def recommendations(result: Element) -> Iterator[Element]:
    """Each recommendation of a result; none if it speaks of none."""
    found = find(result, "Recommendations")
    return iter(()) if found is None else iter(found)


def pairs_of(method: str, result: Element, name: str) -> dict[str, str]:
    """A value that is a map of texts. WLB_MALFORMED_RESPONSE."""
    outer = find(result, name)
    if outer is None:
        malformed(method, f"{name} is missing.")
    return {needed_text(method, pair, "Key"): text_of(pair, "Value", "") for pair in outer}


def _descend(element: Element, *names: str) -> Element | None:
    found: Element | None = element
    for name in names:
        found = None if found is None else find(found, name)
    return found
