"""DMTF:FQL (DSP0212): a condition alone, which filters an enumeration; patterns of LIKE are regular expressions.

Of the expressions, those without alternatives and groups are taken: . [a-f] [^a-f] \\ and * + ? after one of them.
"""

from __future__ import annotations

from cim_provider.query.ast import Condition, Piece
from cim_provider.query.parser import Dialect, bad_query, not_supported, parse_condition
from cim_provider.query.pattern import one_of

LANGUAGE = "DMTF:FQL"


def pattern(text: str) -> tuple[Piece, ...]:
    """CimError INVALID_QUERY; QUERY_FEATURE_NOT_SUPPORTED for alternatives, groups, counts and anchors."""
    found: list[Piece] = []
    fresh = False  # whether the last piece may still get a quantifier
    at = 0
    while at < len(text):
        char = text[at]
        if char in "*+?":
            if not fresh:
                raise bad_query(f"a {char} in the pattern follows nothing")
            last = found.pop()
            found += (
                [Piece(last.allowed, negated=last.negated, optional=True)]
                if char == "?"
                else [*([last] if char == "+" else []), Piece(last.allowed, many=True, negated=last.negated)]
            )
        elif char in "(){}|^$":
            raise not_supported(f"{char} in a pattern is")
        elif char == "[":
            end = text.find("]", at + 2)
            if end < 0:
                raise bad_query("a [ without ] in the pattern")
            found.append(one_of(text[at + 1 : end]))
            at = end
        elif char == "\\":
            at += 1
            if at == len(text):
                raise bad_query("the pattern ends with a backslash")
            found.append(Piece(frozenset(text[at])))
        else:
            found.append(Piece(None if char == "." else frozenset(char)))
        fresh = char not in "*+?"
        at += 1
    return tuple(found)


def parse(text: str) -> Condition:
    """CimError INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED."""
    return parse_condition(text, Dialect(LANGUAGE, pattern))
