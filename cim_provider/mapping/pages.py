"""Writes the declarations as pages: docs/cim-mapping.md (the source of each property) and docs/profiles.md (which
requirements of the DMTF's profiles are met, and why others are not).

Requirements are data (tests/conformance/profiles/requirements.json): by profile and class a level (M mandatory,
C conditional, O optional), properties and methods by level. A class is shown by the views and associations of it, or
by those in `by`. A member is met if each of them has it; what is not met needs a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cim_provider.mapping.association import ASSOCIATIONS, Association, Where
from cim_provider.mapping.view import VIEWS, View
from cim_provider.schema.graph import ClassGraph

LEVELS = {"M": "mandatory", "C": "conditional", "O": "optional"}

# What is made by code and not by declarations, and the properties it has.
_INDICATION = ("IndicationIdentifier", "IndicationTime", "SequenceContext", "SequenceNumber", "IndicationFilterName")
_LIFECYCLE = (*_INDICATION, "SourceInstance", "SourceInstanceModelPath", "SourceInstanceHost")
MADE_BY_CODE: Mapping[str, tuple[str, ...]] = {
    "CIM_InstCreation": _LIFECYCLE,
    "CIM_InstModification": (*_LIFECYCLE, "PreviousInstance", "ChangedPropertyNames"),
    "CIM_InstDeletion": _LIFECYCLE,
    "CIM_AlertIndication": _INDICATION,
    "CIM_Error": (
        "ErrorType", "OwningEntity", "MessageID", "Message", "PerceivedSeverity", "CIMStatusCode", "MessageArguments",
        "ProbableCause", "ProbableCauseDescription",
    ),
    "CIM_AssociatedPowerManagementService": (
        "PowerState", "RequestedPowerState", "AvailableRequestedPowerStates", "TransitioningToPowerState",
        "PowerOnTime",
    ),
    "CIM_IndicationSubscription": (
        "OnFatalErrorPolicy", "RepeatNotificationPolicy", "SubscriptionState", "FailureTriggerTimeInterval",
        "SubscriptionDuration", "SubscriptionStartTime", "SubscriptionTimeRemaining",
    ),
}  # fmt: skip
# Methods that the server itself answers (operations/namespaces.py), by class.
METHODS_BY_CODE: Mapping[str, tuple[str, ...]] = {"Xen_WBEMServer": ("CreateWBEMServerNamespace",)}


@dataclass(frozen=True)
class Finding:
    """One class of a profile: who shows it, and its members by whether they are met. A class nobody shows has itself,
    with its level, as what is open."""

    profile: str
    cls: str
    level: str
    shown_by: tuple[str, ...]
    met: tuple[tuple[str, str], ...]  # (level, name); the name of a method ends in ()
    open: tuple[tuple[str, str], ...]
    partly: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # open member -> the classes that have it

    @property
    def names(self) -> Iterator[str]:
        """What answers, for the ratchet."""
        if self.shown_by:
            yield self.cls
            yield from (f"{self.cls}.{name}" for _, name in self.met)


def _associated(association: type[Association]) -> set[str]:
    found = {association.left, association.right, *association.properties}
    for relation in association.relations:
        if isinstance(relation, Where) and relation.properties is not None:
            found |= set(relation.properties)
    return found


def methods_of(view: type[View]) -> tuple[str, ...]:
    """The methods that instances of a view have: those of its declaration, and those in METHODS_BY_CODE."""
    return (*view.methods, *METHODS_BY_CODE.get(view.cim, ()))


def findings(requirements: Mapping[str, Any], graph: ClassGraph) -> list[Finding]:
    """What each class of each profile comes to, in the order of the data."""
    found = []
    for number, profile in requirements["profiles"].items():
        for cls, row in profile["classes"].items():
            found.append(_finding(number, cls, row, graph))
    return found


def _finding(number: str, cls: str, row: Mapping[str, Any], graph: ClassGraph) -> Finding:
    only = row.get("by")

    def chosen(name: str) -> bool:
        return graph.is_a(name, cls) and (only is None or name in only)

    views = [view for name, view in VIEWS.items() if chosen(name)]
    links = [association for name, association in ASSOCIATIONS.items() if chosen(name)]
    coded = MADE_BY_CODE.get(cls, ())
    shown_by = [view.cim for view in views] + [link.cim for link in links] or ([cls] if coded else [])
    if not shown_by:
        return Finding(number, cls, row["level"], (), (), ((row["level"], ""),))
    has: list[set[str]] = [{*view.rules, *(f"{name}()" for name in methods_of(view))} for view in views]
    has += [_associated(association) for association in links]
    members = [(level, name) for level in LEVELS for name in row.get(level, ())]
    members += [(level, f"{name}()") for level, names in row.get("methods", {}).items() for name in names]
    met = [one for one in members if one[1] in coded or (has and all(one[1] in names for names in has))]
    left = [one for one in members if one not in met]
    partly = {
        name: tuple(one for one, names in zip(shown_by, has, strict=True) if name in names)
        for _, name in left
        if not coded
    }
    return Finding(number, cls, row["level"], tuple(shown_by), tuple(met), tuple(left), partly)


def reason_of(reasons: Mapping[str, str], cls: str, member: str) -> str | None:
    """Why a member of a class (or the class, "") is open; None if nobody says."""
    return reasons.get(f"{cls}.{member.removesuffix('()')}" if member else cls)


def profiles_page(requirements: Mapping[str, Any], graph: ClassGraph, registered: Mapping[str, str]) -> str:
    """docs/profiles.md. `registered`: number of a profile -> the version this server registers."""
    reasons = requirements["reasons"]
    lines = [
        "# DMTF profiles",
        "",
        "Written by `scripts/docs` from the declarations and from the table of requirements that the tests use",
        "(`tests/conformance/profiles/requirements.json`); a test keeps it true. The levels in that table are our",
        "reading of the profiles. Classes of the Interop namespace count too.",
        "",
        "M: mandatory, C: conditional, O: optional. *shown by*: the classes that have instances. What is not done is",
        "listed with the reason below each table.",
        "",
    ]
    by_profile: dict[str, list[Finding]] = {}
    for one in findings(requirements, graph):
        by_profile.setdefault(one.profile, []).append(one)
    for number, rows in by_profile.items():
        version = f"version {registered[number]}" if number in registered else "implemented, not registered"
        lines += [
            f"## {number} {requirements['profiles'][number]['name']}",
            "",
            f"{version[0].upper()}{version[1:]}.",
            "",
        ]
        lines += ["| class | level | shown by | mandatory | conditional | optional |", "|---|---|---|---|---|---|"]
        for one in rows:
            cells = [", ".join(name for level, name in one.met if level == wanted) for wanted in LEVELS]
            lines.append(f"| {one.cls} | {one.level} | {', '.join(one.shown_by) or 'not done'} | {' | '.join(cells)} |")
        left = [(one, level, member) for one in rows for level, member in one.open]
        if left:
            lines += ["", "Not done:", ""]
            for one, level, member in left:
                reason = reason_of(reasons, one.cls, member) or "no reason given"
                partly = one.partly.get(member, ())
                only = f"only {', '.join(partly)}: " if partly else ""
                lines.append(f"- {one.cls}{'.' if member else ''}{member} ({level}): {only}{reason}")
        lines.append("")
    return "\n".join(lines)


def mapping_page() -> str:
    """docs/cim-mapping.md."""
    lines = [
        "# Where CIM properties come from",
        "",
        "Written by `scripts/docs` from the declarations in `cim_provider/profiles/`; a test keeps it true.",
        "",
        "*from*: a field of the Xen-API record; `a.b`: field `b` of the record that field `a` points at; a value in",
        "quotes or a number: always that; `name()`: computed by the function of that name in the profile's module.",
        "",
    ]
    for name, view in sorted(VIEWS.items()):
        lines += [f"## {name}", "", *_described(view), "", "| property | from |", "|---|---|"]
        lines += [f"| {prop} | {rule.source or 'computed'} |" for prop, rule in view.rules.items()]
        methods = sorted(methods_of(view))
        if methods:
            lines += ["", "Methods: " + ", ".join(f"`{method}`" for method in methods) + "."]
        lines.append("")
    lines += ["## Associations", "", "| class | between | and | properties |", "|---|---|---|---|"]
    for name, association in sorted(ASSOCIATIONS.items()):
        between = [
            ", ".join(_unique(getattr(relation, end).cim for relation in association.relations))
            for end in ("left", "right")
        ]
        more = sorted(_associated(association) - {association.left, association.right})
        lines.append(
            f"| {name} | {association.left}: {between[0]} | {association.right}: {between[1]} | {', '.join(more)} |"
        )
    return "\n".join(lines) + "\n"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _described(view: type[View]) -> list[str]:
    where = f"records of `{view.of}`" if view.of else "no records"
    text = " ".join((view.__doc__ or "").split())
    return [f"{text} Namespace {view.namespace}; made of {where}."]
