"""Parser for WQL, DMTF:CQL and DMTF:FQL, as far as this server takes them: text to cim_provider.query.ast.

Theory of operation
1. What a language does in its own way is in a Dialect; everything else is one grammar.
2. Whatever the text is, the outcome is a Query (a Condition for a filter), CimError INVALID_QUERY, or CimError
   QUERY_FEATURE_NOT_SUPPORTED for what the language has and this server does not. Length and nesting are limited, so
   that a hostile text costs little.
3. A message says where: the number of the character, counted from 1.
4. ANY, EVERY, DISTINCT, FIRST and ORDER are words only where they can stand; elsewhere they are names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cim_provider.query.ast import (
    STAR,
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
    Quantified,
    Query,
    Step,
)
from cim_provider.schema.objects import INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED, CimError

MAX_LENGTH, MAX_DEPTH = 8192, 32

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
        |(?P<real>[+-]?\d+(?:\.\d+(?:[eE][+-]?\d{1,3})?|[eE][+-]?\d{1,3}))
        |(?P<integer>[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[01]{1,64}[bB]|\d{1,20})(?!\w))
        |(?P<name>[A-Za-z_]\w*)
        |(?P<sign><>|!=|<=|>=|::|\.\.|\|\||[<>=().,\[\]{}*/+#-]))""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_KEYWORDS = {"SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "ISA", "IS", "LIKE", "NULL", "TRUE", "FALSE", "AS"}
_COMPARISONS = {"=": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_WORDS = {"TRUE": True, "FALSE": False, "NULL": None}


@dataclass(frozen=True, slots=True)
class Dialect:
    """`pattern` reads the pattern of LIKE; `quantifiers` says whether there are ANY and EVERY."""

    name: str
    pattern: Callable[[str], tuple[Piece, ...]]
    quantifiers: bool = True


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def keyword(self) -> str:
        upper = self.text.upper()
        return upper if self.kind == "name" and upper in _KEYWORDS else ""


def _place(at: int | None) -> str:
    return "" if at is None else f" (at character {at + 1})"


def bad_query(text: str, at: int | None = None) -> CimError:
    """`at` is an offset into the query."""
    return CimError(INVALID_QUERY, text + _place(at))


def not_supported(feature: str, at: int | None = None) -> CimError:
    return CimError(QUERY_FEATURE_NOT_SUPPORTED, f"{feature} not supported" + _place(at))


def parse(text: str, dialect: Dialect) -> Query:
    """The query in `text`. CimError as rule 2 says."""
    return _Parser(_tokens(text), dialect, len(text)).query()


def parse_condition(text: str, dialect: Dialect) -> Condition:
    """The condition in `text`, which is nothing else. CimError as rule 2 says."""
    return _Parser(_tokens(text), dialect, len(text)).filter()


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_LENGTH:
        raise bad_query(f"a query has at most {MAX_LENGTH} characters")
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise bad_query(f"cannot read the query from {text[at : at + 20].strip()!r} on", at)
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return found


def _integer(text: str) -> int:
    low = text.lower()
    if "x" in low:
        return int(low, 16)
    return int(low[:-1], 2) if low.endswith("b") else int(low)


def _unquoted(text: str) -> str:
    quote = text[0]
    return re.sub(rf"\\(.)|{quote}({quote})", lambda match: match[1] or match[2], text[1:-1], flags=re.DOTALL)


class _Parser:
    """Recursive descent over the tokens of one text of `length` characters."""

    def __init__(self, tokens: list[_Token], dialect: Dialect, length: int) -> None:
        self.tokens = tokens
        self.dialect = dialect
        self.length = length
        self.at = 0
        self.depth = 0

    # tokens

    def peek(self, ahead: int = 0) -> _Token:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else _Token("end", "the end", self.length)

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
            raise bad_query(f"{word} expected, not {self.peek().text}", self.peek().at)

    def name(self, what: str) -> str:
        token = self.next()
        if token.kind != "name" or token.keyword:
            raise bad_query(f"{what} expected, not {token.text}", token.at)
        return token.text

    def refuse(self, **features: str) -> None:
        """QUERY_FEATURE_NOT_SUPPORTED if the next token is one of these words."""
        token = self.peek()
        if token.kind == "name" and token.text.upper() in features:
            raise not_supported(f"{features[token.text.upper()]} is", token.at)

    # grammar

    def query(self) -> Query:
        self.refuse(ASSOCIATORS="ASSOCIATORS OF", REFERENCES="REFERENCES OF")
        self.expect("SELECT")
        if (self.peek(1).kind in ("name", "integer") and self.peek(1).keyword != "FROM") or self.peek(1).text == STAR:
            self.refuse(DISTINCT="DISTINCT", FIRST="FIRST")
        columns: list[PropertyPath] = []
        titles: list[str] = []
        whole = False
        while True:
            if self.taken(STAR):
                whole = True
            else:
                columns.append(self.path(star=True))
                titles.append(self.name("a name for the column") if self.taken("AS") else "")
            if not self.taken(","):
                break
        self.expect("FROM")
        source = self.name("a class name")
        alias = ""
        if self.taken("AS") or (self.peek().kind == "name" and not self.peek().keyword and not self.ordering()):
            alias = self.name("an alias")
        if self.peek().text == ",":
            raise not_supported("selecting from several classes is", self.peek().at)
        where = self.condition() if self.taken("WHERE") else None
        if self.ordering():
            raise not_supported(f"{self.peek().text.upper()} is", self.peek().at)
        self.end("query")
        if whole:
            return Query(None, source, alias, where)
        return Query(tuple(columns), source, alias, where, tuple(titles) if any(titles) else ())

    def ordering(self) -> bool:
        return self.peek().text.upper() in ("ORDER", "GROUP", "HAVING", "WITHIN") and self.peek(1).kind != "end"

    def filter(self) -> Condition:
        found = self.condition()
        self.end("filter")
        return found

    def end(self, what: str) -> None:
        if self.peek().kind != "end":
            raise bad_query(f"the {what} should have ended before {self.peek().text}", self.peek().at)

    def condition(self) -> Condition:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise bad_query("the condition is nested too deep", self.peek().at)
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
            found = self.quantified()
        return Not(found) if negative else found

    def quantified(self) -> Condition:
        token = self.peek()
        word = token.text.upper() if token.kind == "name" and self.dialect.quantifiers else ""
        if word not in ("ANY", "EVERY") or self.peek(1).kind != "name" or self.peek(1).keyword:
            return self.comparison()
        self.next()
        if self.peek(1).text.upper() == "IN":
            raise not_supported("SATISFIES is", self.peek(1).at)
        if self.peek(1).text == "(":
            raise not_supported("a function is", self.peek().at)
        found = self.comparison()
        # NOT LIKE and IS NOT NULL speak of each element, so the negation goes inside the quantifier
        if isinstance(found, Not) and isinstance(found.condition, Compare | Like | IsA | IsNull):
            return Not(Quantified(word == "ANY", found.condition))
        if not isinstance(found, Compare | Like | IsA | IsNull):
            raise bad_query(f"a comparison expected after {word}", token.at)
        return Quantified(word == "EVERY", found)

    def comparison(self) -> Condition:
        left = self.operand()
        token = self.peek()
        if self.taken("ISA"):
            if not isinstance(left, PropertyPath):
                raise bad_query("ISA needs a property before it", token.at)
            token = self.peek()
            return IsA(left, _unquoted(self.next().text) if token.kind == "string" else self.name("a class name"))
        if self.taken("IS"):
            negative = self.taken("NOT")
            self.expect("NULL")
            return Not(IsNull(left)) if negative else IsNull(left)
        negative = self.taken("NOT")
        if self.taken("LIKE"):
            like = Like(left, self.pattern())
            return Not(like) if negative else like
        token = self.next()
        if negative or token.kind != "sign" or token.text not in _COMPARISONS:
            raise bad_query(f"a comparison expected, not {token.text}", token.at)
        return Compare(_COMPARISONS[token.text], left, self.operand())

    def pattern(self) -> tuple[Piece, ...]:
        token = self.next()
        if token.kind != "string":
            raise bad_query("LIKE needs a string after it", token.at)
        try:
            return self.dialect.pattern(_unquoted(token.text))
        except CimError as error:
            raise CimError(error.status, error.text + _place(token.at)) from None

    def operand(self) -> Operand:
        token = self.peek()
        found: Operand
        if token.kind == "string":
            found = Literal(_unquoted(self.next().text))
        elif token.kind == "integer":
            found = Literal(_integer(self.next().text))
        elif token.kind == "real":
            found = Literal(float(self.next().text))
        elif token.keyword in _WORDS:
            self.next()
            found = Literal(_WORDS[token.keyword])
        else:
            found = self.path()
        after = self.peek()
        if after.kind == "sign" and after.text in ("+", "-", "*", "/", "||"):
            raise not_supported(f"the operator {after.text} is", after.at)
        if after.kind in ("integer", "real") and after.text[0] in "+-":  # "a -1" is one token after another
            raise not_supported(f"the operator {after.text[0]} is", after.at)
        return found

    def path(self, star: bool = False) -> PropertyPath:
        steps = [self.step()]
        while self.taken("."):
            if star and self.peek().text == STAR:
                steps.append(Step(STAR, at=self.next().at))
                break
            steps.append(self.step())
        return PropertyPath(tuple(steps))

    def step(self) -> Step:
        at = self.peek().at
        name, scope, index = self.name("a property name"), "", None
        if self.taken("::"):
            scope, name = name, self.name("a property name")
        if self.peek().text == "(":
            raise not_supported(f"the function {name} is", at)
        if self.peek().text == "#":
            raise not_supported("a constant named with # is", self.peek().at)
        if self.taken("["):
            token = self.next()
            if token.kind != "integer" or not token.text.isdecimal():
                raise bad_query("an array index expected", token.at)
            if self.peek().text in (",", ".."):
                raise not_supported("a range of an array is", self.peek().at)
            index = int(token.text)
            self.expect("]")
        return Step(name, scope, index, at)
