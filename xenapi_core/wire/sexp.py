"""S-expressions as xapi's servers exchange them: lists of atoms and lists, as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

Sexp = str | list["Sexp"]

_TOKEN: Final = re.compile(r'\s*(?:([()])|"((?:[^"\\]|\\.)*)"|([^\s()";|#]+))', re.DOTALL)
_PLAIN: Final = re.compile(r'[^\s()";|#\\]+\Z')
_ESCAPED: Final = re.compile(r"\\(?:(\d{3})|x([0-9a-fA-F]{2})|\n[ \t]*|(.))", re.DOTALL)
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b"}
_DEEPEST: Final = 50


def read(text: str) -> Sexp:
    """The one expression in a text. ValueError for anything else."""
    tokens = _tokens(text)
    found = _parse_one(tokens, next(tokens, None), 0)
    if next(tokens, None) is not None:
        raise ValueError("more than one expression")
    return found


def write(value: Sexp) -> str:
    """On one line; atoms in quotes where they need them."""
    if isinstance(value, str):
        return value if _PLAIN.match(value) else _quoted(value)
    return f"({' '.join(map(write, value))})"


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Kind ("(", ")" or "atom") and content. ValueError."""
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError("no S-expression")
        bracket, quoted, plain = match.groups()
        yield (bracket, "") if bracket else ("atom", plain if quoted is None else _unquoted(quoted))
        at = match.end()


def _parse_one(tokens: Iterator[tuple[str, str]], token: tuple[str, str] | None, depth: int) -> Sexp:
    if token is None or token[0] == ")" or depth > _DEEPEST:
        raise ValueError("brackets that do not match, or too many of them")
    kind, content = token
    if kind == "atom":
        return content
    items: list[Sexp] = []
    while (token := next(tokens, None)) != (")", ""):
        items.append(_parse_one(tokens, token, depth + 1))
    return items


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for letter, meant in _LETTERS.items():
        escaped = escaped.replace(meant, f"\\{letter}")
    return f'"{escaped}"'


def _unquoted(text: str) -> str:
    def meant(match: re.Match[str]) -> str:
        decimal, hexadecimal, letter = match.groups()
        if decimal is not None:
            return chr(int(decimal))
        if hexadecimal is not None:
            return chr(int(hexadecimal, 16))
        return "" if letter is None else _LETTERS.get(letter, letter)

    return _ESCAPED.sub(meant, text)
