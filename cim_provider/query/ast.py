"""The syntax tree of queries of all languages: a SELECT with conditions over property paths."""

from __future__ import annotations

from dataclasses import dataclass, field

STAR = "*"


@dataclass(frozen=True, slots=True)
class Step:
    """One property on a path. `scope` is the class name before "::" ("" for none); `index` an element of an array.

    `at` is where it stands in the text, for messages: two queries that differ in it alone are equal.
    """

    name: str
    scope: str = ""
    index: int | None = None
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PropertyPath:
    """Properties from the selected instance inwards: SourceInstance.CIM_ComputerSystem::EnabledState.

    In a select list the last step may be STAR: all properties of what is before it.
    """

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | float | bool | None


Operand = PropertyPath | Literal


@dataclass(frozen=True, slots=True)
class Compare:
    """`operator` is one of = <> < <= > >=."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class IsA:
    operand: PropertyPath
    classname: str


@dataclass(frozen=True, slots=True)
class IsNull:
    operand: Operand


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a pattern: one character out of `allowed` (None: any; `negated`: any other), or, with `many`, any
    number of such characters, or, with `optional`, one or none."""

    allowed: frozenset[str] | None
    many: bool = False
    negated: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    operand: Operand
    pattern: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Quantified:
    """The condition holds for any (or for `every`) element of an array, which is its left operand."""

    every: bool
    condition: Compare | Like | IsA | IsNull


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]


Condition = Compare | IsA | IsNull | Like | Quantified | Not | And | Or


@dataclass(frozen=True, slots=True)
class Query:
    """SELECT `columns` (None: all) FROM `source` [`alias`] [WHERE `where`]. `titles` are the names that columns got
    with AS, "" for none, or no names at all."""

    columns: tuple[PropertyPath, ...] | None
    source: str
    alias: str = ""
    where: Condition | None = None
    titles: tuple[str, ...] = ()


def conjuncts(where: Condition | None) -> tuple[Condition, ...]:
    """Conditions that must all hold for `where` to hold."""
    if where is None:
        return ()
    if isinstance(where, And):
        return tuple(part for condition in where.conditions for part in conjuncts(condition))
    return (where,)
