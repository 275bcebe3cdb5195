"""The grammar that WQL and DMTF:CQL share, as far as this server takes them: text to cim_provider.query.ast.

Theory of operation
1. What a language does in its own way is in a Dialect; everything else is one grammar.
2. Whatever the text is, the outcome is a Query or CimError INVALID_QUERY. Length and nesting are limited, so that a
   hostile text costs little.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cim_provider.query.ast import (
    And,
    Compare,
    Condition,
    IsA,
    IsNull,
    Like,
    Literal,
    Not,
    Operand,
    Or,
    Piece,
    PropertyPath,
    Query,
    Step,
)
from cim_provider.schema.objects import INVALID_QUERY, CimError

MAX_LENGTH, MAX_DEPTH = 8192, 32

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
        |(?P<real>[+-]?\d+(?:\.\d+(?:[eE][+-]?\d{1,3})?|[eE][+-]?\d{1,3}))
        |(?P<integer>[+-]?(?:0[xX][0-9a-fA-F]{1,16}|\d{1,20})(?!\w))
        |(?P<name>[A-Za-z_]\w*)
        |(?P<sign><>|!=|<=|>=|::|[<>=().,\[\]*]))""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_KEYWORDS = {"SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "ISA", "IS", "LIKE", "NULL", "TRUE", "FALSE", "AS"}
_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS = {"TRUE": True, "FALSE": False, "NULL": None}


@dataclass(frozen=True, slots=True)
class Dialect:
    """`pattern` reads the pattern of LIKE."""

    name: str
    pattern: Callable[[str], tuple[Piece, ...]]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def keyword(self) -> str:
        upper = self.text.upper()
        return upper if self.kind == "name" and upper in _KEYWORDS else ""


def bad_query(text: str) -> CimError:
    return CimError(INVALID_QUERY, text)


def parse(text: str, dialect: Dialect) -> Query:
    """The query in `text`. CimError INVALID_QUERY."""
    if len(text) > MAX_LENGTH:
        raise bad_query(f"a query has at most {MAX_LENGTH} characters")
    return _Parser(_tokens(text), dialect).query()


def _tokens(text: str) -> list[_Token]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise bad_query(f"cannot read the query at {text[at : at + 20].strip()!r}")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind]))
        at = match.end()
    return found


def _unquoted(text: str) -> str:
    quote = text[0]
    return re.sub(rf"\\(.)|{quote}({quote})", lambda match: match[1] or match[2], text[1:-1], flags=re.DOTALL)


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, tokens: list[_Token], dialect: Dialect) -> None:
        self.tokens = tokens
        self.dialect = dialect
        self.at = 0
        self.depth = 0

    # tokens

    def peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _Token("end", "the end")

    def next(self) -> _Token:
        token = self.peek()
        self.at += 1
        return token

    def taken(self, word: str) -> bool:
        """Whether the next token is this keyword or sign; if so it is gone."""
        token = self.peek()
        if token.keyword == word or (token.kind == "sign" and token.text == word):
            self.at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.taken(word):
            raise bad_query(f"{word} expected, not {self.peek().text}")

    def name(self, what: str) -> str:
        token = self.next()
        if token.kind != "name" or token.keyword:
            raise bad_query(f"{what} expected, not {token.text}")
        return token.text

    # grammar

    def query(self) -> Query:
        self.expect("SELECT")
        columns: list[PropertyPath] | None = None
        if not self.taken("*"):
            columns = [self.path()]
            while self.taken(","):
                columns.append(self.path())
        self.expect("FROM")
        source = self.name("a class name")
        alias = ""
        if self.taken("AS") or (self.peek().kind == "name" and not self.peek().keyword):
            alias = self.name("an alias")
        where = self.condition() if self.taken("WHERE") else None
        if self.peek().kind != "end":
            raise bad_query(f"the query should have ended before {self.peek().text}")
        return Query(None if columns is None else tuple(columns), source, alias, where)

    def condition(self) -> Condition:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise bad_query("the condition is nested too deep")
        parts = [self.conjunction()]
        while self.taken("OR"):
            parts.append(self.conjunction())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self) -> Condition:
        parts = [self.negation()]
        while self.taken("AND"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negation(self) -> Condition:
        negative = False
        while self.taken("NOT"):
            negative = not negative
        if self.taken("("):
            found = self.condition()
            self.expect(")")
        else:
            found = self.comparison()
        return Not(found) if negative else found

    def comparison(self) -> Condition:
        left = self.operand()
        if self.taken("ISA"):
            if not isinstance(left, PropertyPath):
                raise bad_query("ISA needs a property before it")
            token = self.peek()
            return IsA(left, _unquoted(self.next().text) if token.kind == "string" else self.name("a class name"))
        if self.taken("IS"):
            negative = self.taken("NOT")
            self.expect("NULL")
            return Not(IsNull(left)) if negative else IsNull(left)
        negative = self.taken("NOT")
        if self.taken("LIKE"):
            token = self.next()
            if token.kind != "string":
                raise bad_query("LIKE needs a string after it")
            like = Like(left, self.dialect.pattern(_unquoted(token.text)))
            return Not(like) if negative else like
        token = self.next()
        if negative or token.kind != "sign" or token.text not in _COMPARISONS:
            raise bad_query(f"a comparison expected, not {token.text}")
        return Compare(_COMPARISONS[token.text], left, self.operand())

    def operand(self) -> Operand:
        token = self.peek()
        if token.kind == "string":
            return Literal(_unquoted(self.next().text))
        if token.kind == "integer":
            text = self.next().text
            return Literal(int(text, 16 if "x" in text.lower() else 10))
        if token.kind == "real":
            return Literal(float(self.next().text))
        if token.keyword in _WORDS:
            self.next()
            return Literal(_WORDS[token.keyword])
        return self.path()

    def path(self) -> PropertyPath:
        steps = [self.step()]
        while self.taken("."):
            steps.append(self.step())
        return PropertyPath(tuple(steps))

    def step(self) -> Step:
        name, scope, index = self.name("a property name"), "", None
        if self.taken("::"):
            scope, name = name, self.name("a property name")
        if self.taken("["):
            token = self.next()
            if token.kind != "integer" or not token.text.isdecimal():
                raise bad_query("an array index expected")
            index = int(token.text)
            self.expect("]")
        return Step(name, scope, index)
