"""Limits on the input that is parsed, and the only functions that parse XML from outside.

Rule 1: every document from the outside goes through `parse_xml`; nobody else makes an XML parser.
Rule 2: a document type declaration is refused before the parser sees it. Without one there are no entities to expand
        and nothing external to fetch, so resolve_entities and no_network below are a second line of defence.
Rule 3: size and element count are bounded before parsing (both bound the memory the tree takes), depth right after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from lxml import etree


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one decoded request. Sizes in bytes; `max_depth` counts nested elements (XML) or containers (JSON)."""

    max_body: int = 300 * 1024
    max_depth: int = 64
    max_elements: int = 40_000
    max_params: int = 256


class XmlError(Exception):
    """The bytes are no well-formed XML document in an encoding we read."""


class XmlRefusedError(XmlError):
    """Perhaps well-formed, but a kind of document no client has a reason to send: too big, too deep, with a DOCTYPE."""


DEFAULT = Limits()

# What every document we read begins with; UTF-16, UTF-32 and EBCDIC do not.
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[^\0]")
# An XML declaration, comments and processing instructions may stand before a DOCTYPE, and nothing else may.
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
# Only encodings in which the markup is plain ASCII bytes: in UTF-16 or UTF-7 a DOCTYPE would not look like one.
_READ = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin1", b"latin-1", b"iso-8859-15"})


def _parser(encoding: str | None = None) -> etree.XMLParser:
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )


_DECLARED, _LATIN1 = _parser(), _parser("iso-8859-1")


def declared_encoding(body: bytes) -> str:
    """The encoding the document says it is in, lower case; "utf-8" when it says nothing."""
    match = _ENCODING.match(body)
    return match[1].lower().decode("ascii") if match else "utf-8"


def parse_xml(body: bytes, limits: Limits = DEFAULT, *, as_latin1: bool = False) -> etree._Element:
    """The root element of `body`, without comments and processing instructions.

    XmlError: not well-formed, or an encoding whose markup is not ASCII. XmlRefusedError: DOCTYPE, or beyond `limits`.
    `as_latin1` ignores the declared encoding and reads each byte as one character: it finds the place of bad UTF-8.
    """
    if len(body) > limits.max_body:
        raise XmlRefusedError(f"the document has {len(body)} bytes, at most {limits.max_body} are read")
    opening = body.count(b"<") - body.count(b"</")
    if opening > limits.max_elements:
        raise XmlRefusedError(f"the document has more than {limits.max_elements} elements")
    if body.startswith((b"<?xml", b"\xef\xbb\xbf")):
        encoding = declared_encoding(body).encode("ascii")
        if encoding not in _READ:
            raise XmlError(f"documents in {encoding.decode()} are not read; send UTF-8")
    if _START.match(body) is None:
        raise XmlError("only XML documents in UTF-8 (or another encoding that contains ASCII) are read")
    declaration = b"<!" in body
    if declaration:
        _refuse_doctype(body)
    try:
        root = etree.fromstring(body, _LATIN1 if as_latin1 else _DECLARED)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise XmlError(f"not well-formed XML: {error}") from None
    if declaration and root.getroottree().docinfo.internalDTD is not None:
        raise XmlRefusedError("a document type declaration is not accepted")
    if opening > limits.max_depth and _deeper_than(limits.max_depth)(root):
        raise XmlRefusedError(f"elements are nested deeper than {limits.max_depth}")
    return root


def _refuse_doctype(body: bytes) -> None:
    """XmlRefusedError if a document type declaration stands before the root element."""
    prolog = _PROLOG.match(body)
    if prolog is not None and body[prolog.end() : prolog.end() + 9].upper() == b"<!DOCTYPE":
        raise XmlRefusedError("a document type declaration is not accepted")


@lru_cache(maxsize=8)
def _deeper_than(depth: int) -> etree.XPath:
    """Whether an element has more than `depth` ancestors-or-self: one pass over the levels, in C."""
    return etree.XPath("boolean(/" + "/".join("*" * (depth + 1)) + ")")
