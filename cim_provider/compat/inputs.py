"""Translates parameters of methods from a mode's names to those of the profiles.

Rule 1: a reference to what is shown becomes the reference to the same as the profiles declare it. What the mode alone
        shows, such as the domain 0 of xs-cim, keeps its own, and methods refuse it (Call.target).
Rule 2: settings that name shown ones lose what they say as it is shown now, because that asks for nothing; what is left
        is translated line by line. Units and quantities stay together. Settings of what is to be made lose nothing:
        they may be a copy of other ones, and name those.
Rule 3: what no line translates keeps its name, so that the profile takes it or refuses it; nothing is left out unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cim_provider.compat.mode import Given, Request
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.view import View
from cim_provider.methods.units import bytes_of
from cim_provider.profiles.configuration import STATE
from cim_provider.profiles.virtual_system import VirtualSystemSettingData
from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError, Instance, Path

Values = dict[str, Any]

# What stays although it is as it is shown: without it the rest has no meaning.
MEANING = ("ResourceType", "AllocationUnits", "VirtualQuantityUnits")
QUANTITIES = ("VirtualQuantity", "Reservation", "Limit")

DEFINE, ADD = "DefineSystem", "AddResourceSettings"

# The settings that are left, and what is shown now (empty for new ones), to what the profiles call them.
Translate = Callable[[Values, Mapping[str, Any]], Values]


def missing_target(path: Path) -> CimError:
    return CimError(NOT_FOUND, f"there is no such {path.classname}")


class Inputs:
    """The translation of one mode. `lines` translates the settings of a declared view."""

    def __init__(
        self,
        lines: Mapping[type[View], Translate],
        missing: Callable[[Path], CimError] = missing_target,
    ) -> None:
        self.lines = lines
        self.missing = missing

    async def read(self, request: Request, given: Given) -> Given:
        """All parameters. CimError."""
        return {name: self.value(request, value) for name, value in given.items()}

    def value(self, request: Request, value: Any) -> Any:
        if isinstance(value, Path):
            return self.path(request, value)
        if isinstance(value, Instance):
            return self.settings(request, value)
        if isinstance(value, tuple):
            return tuple(self.value(request, each) for each in value)
        return value

    def path(self, request: Request, path: Path) -> Path:
        """The path by which the profiles declare what `path` names in the mode (rule 1). CimError from `missing` if it
        names nothing. To add resources to a machine that runs is to plug them in: to the State."""
        if path.keys is None:  # a class is called the same in all words
            return path
        shown = request.provider.find(path, request.namespace)
        if shown is None:
            raise self.missing(path)
        found = None
        if request.method == ADD and shown.view is VirtualSystemSettingData and _runs(shown):
            found = request.provider.declared(shown, STATE)
        found = found or request.provider.declared(shown)
        return path if found is None else found.path

    def settings(self, request: Request, instance: Instance) -> Instance:
        """Setting data of a call in declared words, without what it only repeats (rules 2 and 3)."""
        views = request.provider.views_of(instance.classname)
        present = None if request.method == DEFINE else self._present(request, instance)
        view = present.view if present is not None else next(iter(views), None)
        now: Mapping[str, Any] = {} if present is None else present.values
        same: Mapping[str, Any] = {} if request.method == ADD else now
        left = {
            name: value
            for name, value in instance.values.items()
            if value is not None and name != "InstanceID" and (name in MEANING or same.get(name) != value)
        }
        translate = self.lines.get(view) if view is not None else None
        values = left if translate is None else translate(left, now)
        declared = None if present is None else request.provider.declared(present)
        if declared is not None:
            values["InstanceID"] = declared.path.key("InstanceID")
        elif instance.values.get("InstanceID"):
            values["InstanceID"] = instance.values["InstanceID"]
        return Instance(view.cim if view is not None else instance.classname, values, None, instance.types)

    @staticmethod
    def _present(request: Request, instance: Instance) -> Rendition | None:
        identifier = instance.values.get("InstanceID")
        if not identifier:
            return None
        return request.provider.find(Path.of(instance.classname, {"InstanceID": identifier}), CIMV2)


def _runs(shown: Rendition) -> bool:
    return shown.version is not None and shown.version.values["power_state"] == "Running"


def in_bytes(left: Values, now: Mapping[str, Any], default: str) -> Values:
    """Quantities in bytes, whatever unit they came in; `default` is that of settings which name none."""
    unit = left.get("AllocationUnits") or now.get("AllocationUnits") or default
    size = bytes_of(unit)
    amounts = {name: left[name] for name in QUANTITIES if name in left}
    if size is None:
        return left  # the profile refuses the unit, in its own words
    rest = {name: value for name, value in left.items() if name not in ("AllocationUnits", "VirtualQuantityUnits")}
    rest |= {name: value * size for name, value in amounts.items()}
    return {**rest, "AllocationUnits": "byte", "VirtualQuantityUnits": "byte"}
