"""Patterns of LIKE: their construction, and matching in time that no pattern can blow up.

Theory of operation
1. A matcher walks once over the text with the set of all pieces it may have reached, kept as the bits of one number
   (bit n: the first n pieces have been used up). So a character costs a few operations on a number with as many bits
   as the pattern has pieces, however many wildcards there are.
"""

from __future__ import annotations

from collections.abc import Callable

from cim_provider.query.ast import Piece
from cim_provider.query.parser import bad_query

WIDEST_RANGE = 0x400


def one_of(inside: str) -> Piece:
    """What stands between [ and ]: characters and ranges, all others after ^. CimError INVALID_QUERY."""
    negated = inside.startswith("^")
    inside = inside[negated:]
    allowed: set[str] = set()
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            first, last = ord(inside[at]), ord(inside[at + 2])
            if last - first > WIDEST_RANGE:
                raise bad_query("a range in the pattern is too wide")
            allowed.update(map(chr, range(first, last + 1)))
            at += 3
        else:
            allowed.add(inside[at])
            at += 1
    return Piece(frozenset(allowed), negated=negated)


def matcher(pattern: tuple[Piece, ...]) -> Callable[[str], bool]:
    """Whether a whole text fits the pattern (rule 1)."""
    many = skip = others = 0  # bits of the pieces that may be used again, left out, and that fit unlisted characters
    listed: dict[str, int] = {}
    for n, piece in enumerate(pattern):
        bit = 1 << n
        many |= bit if piece.many else 0
        skip |= bit if piece.many or piece.optional else 0
        others |= bit if piece.allowed is None or piece.negated else 0
        for char in piece.allowed or ():
            listed[char] = 0
    for n, piece in enumerate(pattern):
        bit = 1 << n
        for char in listed:
            if piece.allowed is None or (char in piece.allowed) != piece.negated:
                listed[char] |= bit
    end = 1 << len(pattern)

    def forward(reached: int) -> int:
        # From the first reached piece of each run of pieces that may be left out, a carry reaches all behind it.
        return reached | ((skip + (reached & skip)) ^ skip)

    start = forward(1)

    def matches(text: str) -> bool:
        reached = start
        for char in text:
            fitting = reached & listed.get(char, others)
            reached = forward(((fitting & ~many) << 1) | (fitting & many))
            if not reached:
                return False
        return bool(reached & end)

    return matches
