"""`instance of` in MOF, for clients that send embedded instances as MOF text instead of CIM-XML.

Only what such a text needs: one instance, values without types. Simple values come out as their text; whoever knows
the class gives them a type. A full MOF compiler is not started for input from the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<char>'(?:[^'\\\n]|\\.|\\[xX][0-9a-fA-F]{1,4})')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|[01]+[bB]\b|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[{}=;,:()\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(?:[xX]([0-9a-fA-F]{1,4})|(.))""", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DEPTH = 8


class MofValueError(Exception):
    """The text is not one MOF instance declaration."""


@dataclass(slots=True)
class MofInstance:
    """Values by name: str for simple ones, None, tuple for arrays, MofInstance for nested ones."""

    classname: str
    values: dict[str, Any]


def parse(text: str) -> MofInstance:
    """The instance in `text`. MofValueError for anything else."""
    parser = _Parser(_tokens(text))
    found = parser.instance(0)
    if parser.peek() != ("end", ""):
        raise MofValueError(f"unexpected {parser.peek()[1]!r} after the instance")
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise MofValueError(f"unexpected {text[position : position + 10]!r}")
        position = match.end()
        if match.lastgroup and match.lastgroup != "space":
            found.append((match.lastgroup, match[0]))
    return found


def unquoted(quoted: str) -> str:
    """What a string or character literal stands for. MofValueError."""

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] not in _PLAIN:
            raise MofValueError(f"unknown escape \\{match[2]}")
        return _PLAIN[match[2]]

    plain = _ESCAPE.sub(one, quoted[1:-1])
    if NO_XML.search(plain):  # it could never be told again
        raise MofValueError("a character that XML cannot carry")
    return plain


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def mark(self, text: str) -> None:
        found = self.next()
        if found != ("mark", text):
            raise MofValueError(f"{text!r} expected, not {found[1]!r}")

    def word(self) -> str:
        kind, text = self.next()
        if kind != "word":
            raise MofValueError(f"a name expected, not {text!r}")
        return text

    def qualifiers(self) -> None:
        """Skip a qualifier list; instances have no use for them."""
        if self.peek() == ("mark", "["):
            while self.peek()[0] != "end" and self.next() != ("mark", "]"):
                pass

    def instance(self, depth: int) -> MofInstance:
        if depth > _DEPTH:
            raise MofValueError("instances are nested too deep")
        self.qualifiers()
        for keyword in ("instance", "of"):
            if self.word().lower() != keyword:
                raise MofValueError("'instance of' expected")
        found = MofInstance(self.word(), {})
        self.mark("{")
        while self.peek() != ("mark", "}"):
            self.qualifiers()
            name = self.word()
            if name in found.values:
                raise MofValueError(f"{name} is given twice")
            self.mark("=")
            found.values[name] = self.value(depth)
            self.mark(";")
        self.mark("}")
        if depth == 0 and self.peek() != ("end", ""):  # the last semicolon is often left out
            self.mark(";")
        return found

    def value(self, depth: int) -> Any:
        if self.peek() != ("mark", "{"):
            return self.simple(depth)
        self.mark("{")
        items = []
        while self.peek() != ("mark", "}"):
            items.append(self.simple(depth))
            if self.peek() != ("mark", "}"):
                self.mark(",")
        self.mark("}")
        return tuple(items)

    def simple(self, depth: int) -> Any:
        kind, text = self.peek()
        if kind == "word" and text.lower() == "instance":
            return self.instance(depth + 1)
        self.next()
        if kind == "string":
            parts = [unquoted(text)]
            while self.peek()[0] == "string":
                parts.append(unquoted(self.next()[1]))
            return "".join(parts)
        if kind == "char":
            return unquoted(text)
        if kind == "number":
            return str(int(text[:-1], 2)) if text[-1] in "bB" and "x" not in text.lower() else text
        if kind == "word" and text.lower() in ("true", "false"):
            return text.lower()
        if kind == "word" and text.lower() == "null":
            return None
        raise MofValueError(f"a value expected, not {text!r}")
