"""What a query says, whichever language it was written in: a SELECT with conditions over property paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One property on a path. `scope` is the class name before "::" ("" for none); `index` an element of an array."""

    name: str
    scope: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class PropertyPath:
    """Properties from the selected instance inwards: SourceInstance.CIM_ComputerSystem::EnabledState."""

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
    number of such characters."""

    allowed: frozenset[str] | None
    many: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    operand: Operand
    pattern: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]


Condition = Compare | IsA | IsNull | Like | Not | And | Or


@dataclass(frozen=True, slots=True)
class Query:
    """SELECT `columns` (None: all) FROM `source` [`alias`] [WHERE `where`]."""

    columns: tuple[PropertyPath, ...] | None
    source: str
    alias: str = ""
    where: Condition | None = None


def conjuncts(where: Condition | None) -> tuple[Condition, ...]:
    """Conditions that must all hold for `where` to hold."""
    if where is None:
        return ()
    if isinstance(where, And):
        return tuple(part for condition in where.conditions for part in conjuncts(condition))
    return (where,)
