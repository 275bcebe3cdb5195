"""WQL: the query language of older clients (and of pywbem's default); LIKE has SQL's patterns."""

from __future__ import annotations

from cim_provider.query.ast import Piece, Query
from cim_provider.query.parser import Dialect, bad_query
from cim_provider.query.parser import parse as parse_dialect


def pattern(text: str) -> tuple[Piece, ...]:
    """% is any text, _ any character, [a-f] one out of a range or list, [^a-f] any other."""
    found: list[Piece] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "[":
            end = text.find("]", at + 2)
            if end < 0:
                raise bad_query("a [ without ] in the pattern")
            found.append(_one_of(text[at + 1 : end]))
            at = end
        else:
            wild = {"%": Piece(None, many=True), "_": Piece(None)}
            found.append(wild.get(char) or Piece(frozenset(char)))
        at += 1
    return tuple(found)


def _one_of(inside: str) -> Piece:
    negated = inside.startswith("^")
    inside = inside[negated:]
    allowed: set[str] = set()
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            first, last = ord(inside[at]), ord(inside[at + 2])
            if last - first > 0x400:
                raise bad_query("a range in the pattern is too wide")
            allowed.update(map(chr, range(first, last + 1)))
            at += 3
        else:
            allowed.add(inside[at])
            at += 1
    return Piece(frozenset(allowed), negated=negated)


def parse(text: str) -> Query:
    """CimError INVALID_QUERY."""
    return parse_dialect(text, Dialect("WQL", pattern))
