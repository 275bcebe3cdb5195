"""Reads the properties of setting data from a client, one by one.

Rule 1: NULL, and a value equal to the present one, requests nothing; so a client may send back what it read.
Rule 2: a request for a change that cannot be made is refused, never ignored: a property nobody can set, a unit that is
        not known, a pool that is not there.
Rule 3: nothing here changes anything; what is read is a value, and define_system.py makes calls of it. The same holds
        for system_input, resource_input, disk_input and nic_input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cim_provider.mapping.refusal import invalid
from cim_provider.methods.setting_terms import PRIMORDIAL, UUID
from cim_provider.methods.units import bytes_of
from cim_provider.schema.objects import Instance
from xenapi_core.bridge.source import Source


class Given:
    """The properties of one instance that ask for something (rule 1), taken one by one; `end` refuses the rest.

    `now` is what is shown of the present settings; without it everything that is given asks for something.
    """

    def __init__(self, instance: Instance, now: Mapping[str, Any], ignored: frozenset[str] = frozenset()) -> None:
        self.classname = instance.classname
        self.now = now
        self._all = {name: value for name, value in instance.values.items() if value is not None}
        self._left = {
            name: value for name, value in self._all.items() if name not in ignored and now.get(name) != value
        }

    def take(self, name: str) -> Any:
        """A property that asks for a change; None if it does not."""
        return self._left.pop(name, None)

    def whole(self, name: str) -> Any:
        """A property as the client sent it or, if it did not, as it is now."""
        return self._all.get(name, self.now.get(name))

    def given(self, name: str) -> bool:
        return name in self._all

    def end(self) -> None:
        """RefusedError if something is left that nothing can be made of."""
        if self._left:
            raise invalid(f"{self.classname}.{next(iter(self._left))} cannot be set")


def unit_of(given: Given, *names: str) -> int:
    """Bytes in the unit that the first of these properties gives; 1 if none does. "count" says nothing of memory."""
    for name in names:
        unit = given.whole(name)
        given.take(name)
        if unit is not None and unit != "count":
            found = bytes_of(unit)
            if found is None:
                raise invalid(f"{name} {unit!r} is no unit for this")
            return found
    return 1


def amount(given: Given, name: str, unit: int, unit_changed: bool) -> int | None:
    """A quantity in bytes; None if it is as it is now. A change of the unit alone changes the quantity."""
    raw = given.take(name)
    if raw is None and unit_changed and given.given(name):
        raw = given.whole(name)
    return None if raw is None else int(raw) * unit


def pool_named(given: Given, source: Source, cls: str) -> str | None:
    """The SR or network that PoolID names by its uuid, alone or at the end of the pool's InstanceID; None for the
    primordial pool, as that leaves the choice to the pool of hosts."""
    name = (given.take("PoolID") or "").rpartition("/")[2]
    if name in ("", PRIMORDIAL):
        return None
    version = source.by_uuid(cls, name.lower())
    if version is None:
        raise invalid(f"there is no pool {name}")
    return version.ref


def record_named(given: Given, source: Source, cls: str) -> str | None:
    """The record of a class that HostResource names by its uuid, alone or within a path."""
    words = given.take("HostResource")
    if not words or not any(words):
        return None
    uuids = [uuid.lower() for word in words for uuid in UUID.findall(word or "")]
    found = [version.ref for version in (source.by_uuid(cls, uuid) for uuid in uuids) if version is not None]
    if len(found) != 1:
        raise invalid(f"HostResource names no {cls} there is: {words}")
    return found[0]
