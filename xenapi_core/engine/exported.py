"""The objects of an export, and what an import has created from them so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xenapi_core.engine.plan import Run


@dataclass(frozen=True)
class Exported:
    """One record of an export: references are the export's own names; `values` are as on the wire, or `internal`."""

    cls: str
    name: str
    values: Mapping[str, Any]
    internal: bool = False


@dataclass
class Import:
    """What an export becomes here. `disks`: exported name -> (uuid of the new volume, its SR, its size)."""

    objects: Mapping[str, Exported]
    restore: bool = False
    disks: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)  # exported name -> reference here

    def of(self, cls: str) -> list[Exported]:
        return [one for one in self.objects.values() if one.cls == cls]


# Fills the new disks with the bytes of the export.
Fill = Callable[[Run, Import], Awaitable[None]]
