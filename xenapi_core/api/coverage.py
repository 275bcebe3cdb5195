"""Reports which Xen-API messages are implemented, according to the running code.

Rule 1: the report is computed from the schema and the registries; this module imports everything that registers
        behaviour, so the report does not depend on who imports it.
Rule 2: a message that once had behaviour keeps it: tests/docs/coverage.json holds their names, and only grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import xenapi_core.api.handlers
import xenapi_core.engine.plans  # noqa: F401 - both register behaviour
from xenapi_core.api.derived import PLAIN_WRITES
from xenapi_core.api.registry import HANDLERS
from xenapi_core.engine.plan import PLANS
from xenapi_core.model.not_offered import REASONS, reason
from xenapi_core.model.schema import Method, Schema

IMPLEMENTED: Final = "implemented"
DERIVED: Final = "derived"
NOT_IMPLEMENTED: Final = "not implemented"
REMOVED: Final = "removed"
STATUSES: Final = (IMPLEMENTED, DERIVED, NOT_IMPLEMENTED, REMOVED)

# Derived kinds that need behaviour of their own all the same (a constructor has rules that no schema tells).
_NEEDS_BEHAVIOUR = ("create", "destroy")


def status(method: Method) -> str:
    """One of the four words above, for one wire name."""
    if method.message.state == "removed":
        return REMOVED
    if method.wire_name in HANDLERS or method.wire_name in PLANS:
        return IMPLEMENTED
    if method.message.derived and method.message.derived not in _NEEDS_BEHAVIOUR:
        return DERIVED
    return DERIVED if method.wire_name in PLAIN_WRITES else NOT_IMPLEMENTED


def why_not(wire_name: str, word: str) -> str | None:
    """Why a message with that status has no behaviour; None if it has."""
    return reason(wire_name) if word == NOT_IMPLEMENTED else None


def coverage(schema: Schema) -> Mapping[str, Mapping[str, str]]:
    """Class -> message -> status, in schema order."""
    found: dict[str, dict[str, str]] = {name: {} for name in schema.classes}
    for method in schema.methods.values():
        found[method.cls.name][method.message.name] = status(method)
    return found


def counts(found: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, int]]:
    """Class -> status -> how many messages of the class have it, for classes that have messages."""
    counted = {name: Counter(messages.values()) for name, messages in found.items() if messages}
    return {name: {word: count[word] for word in STATUSES} for name, count in counted.items()}


def about(schema: Schema) -> dict[str, Any]:
    """The coverage for programs: totals, numbers by class, and what is not implemented with the reasons."""
    found = coverage(schema)
    by_class = counts(found)
    missing = sorted(
        f"{name}.{message}"
        for name, messages in found.items()
        for message, word in messages.items()
        if word == NOT_IMPLEMENTED
    )
    return {
        "messages": {word: sum(numbers[word] for numbers in by_class.values()) for word in STATUSES},
        "classes": by_class,
        "not_implemented": missing,
        "why_not": {name: why_not(name, NOT_IMPLEMENTED) for name in missing},
    }


def answering(schema: Schema) -> dict[str, list[str]]:
    """Class -> messages that do not answer NOT_IMPLEMENTED, sorted."""
    found = coverage(schema)
    kept = {name: sorted(m for m, word in words.items() if word != NOT_IMPLEMENTED) for name, words in found.items()}
    return {name: kept[name] for name in sorted(kept) if kept[name]}


def lost(before: Mapping[str, Iterable[str]], now: Mapping[str, Iterable[str]]) -> list[str]:
    """Wire names that answered before and do not now."""
    return sorted(
        f"{name}.{message}" for name, messages in before.items() for message in set(messages) - set(now.get(name, ()))
    )


__all__ = [
    "DERIVED", "IMPLEMENTED", "NOT_IMPLEMENTED", "REASONS", "REMOVED", "STATUSES", "about", "answering", "counts",
    "coverage", "lost", "status", "why_not",
]  # fmt: skip
