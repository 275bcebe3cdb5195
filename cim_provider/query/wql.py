"""WQL: the query language of older clients (and of pywbem's default); patterns of LIKE are SQL's."""

from __future__ import annotations

from cim_provider.query.ast import Piece, Query
from cim_provider.query.parser import Dialect, bad_query
from cim_provider.query.parser import parse as parse_dialect
from cim_provider.query.pattern import one_of


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
            found.append(one_of(text[at + 1 : end]))
            at = end
        else:
            wild = {"%": Piece(None, many=True), "_": Piece(None)}
            found.append(wild.get(char) or Piece(frozenset(char)))
        at += 1
    return tuple(found)


def parse(text: str) -> Query:
    """CimError INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED."""
    return parse_dialect(text, Dialect("WQL", pattern, quantifiers=False))
