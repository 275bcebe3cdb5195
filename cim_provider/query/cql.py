"""DMTF:CQL (DSP0202): patterns of LIKE with "." and "*" as in regular expressions."""

from __future__ import annotations

from cim_provider.query.ast import Piece, Query
from cim_provider.query.parser import Dialect, bad_query
from cim_provider.query.parser import parse as parse_dialect


def pattern(text: str) -> tuple[Piece, ...]:
    """. is any character, X* any number of X, a backslash takes the meaning from the next character."""
    found: list[Piece] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "*":
            if not found or found[-1].many:
                raise bad_query("a * in the pattern follows nothing")
            found[-1] = Piece(found[-1].allowed, many=True)
        elif char == "\\":
            at += 1
            if at == len(text):
                raise bad_query("the pattern ends with a backslash")
            found.append(Piece(frozenset(text[at])))
        else:
            found.append(Piece(None if char == "." else frozenset(char)))
        at += 1
    return tuple(found)


def parse(text: str) -> Query:
    """CimError INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED."""
    return parse_dialect(text, Dialect("DMTF:CQL", pattern))
