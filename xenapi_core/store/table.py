"""The records of one class: creation order, order of last change, uuids and names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from xenapi_core.store.api import Change, Version
from xenapi_core.store.index import OrderedIndex
from xenapi_core.store.layout import Layout


class Table:
    """Live objects of one class. `revision` is that of the last add, mod or del; `view` is read-only and live.

    `recent` holds the references in the order of their last change, the oldest change first.
    """

    __slots__ = ("_objects", "has_name", "has_uuid", "layout", "names", "recent", "revision", "uuids", "view")

    def __init__(self, layout: Layout, serials: Mapping[str, int], revision: int) -> None:
        self.layout = layout
        self.revision = revision
        self.has_uuid = "uuid" in layout.initial
        self.has_name = "name_label" in layout.initial
        self.recent: OrderedDict[str, Version] = OrderedDict()
        self.uuids: dict[str, str] = {}
        self.names = OrderedIndex(serials)
        self._objects: dict[str, Version] = {}
        self.view: Mapping[str, Version] = MappingProxyType(self._objects)

    def put(self, version: Version) -> None:
        """The newest version of an object, old or new."""
        ref = version.ref
        self._objects[ref] = version
        self.recent[ref] = version
        self.recent.move_to_end(ref)
        self.revision = version.modified

    def remove(self, ref: str, revision: int) -> None:
        del self._objects[ref]
        del self.recent[ref]
        self.revision = revision

    def unname(self, ref: str, old: Mapping[str, Any], new: Mapping[str, Any] | None) -> None:
        """Forget the uuid and the name of `old`, as far as `new` (None: deleted) does not keep them."""
        if self.has_uuid and (new is None or new["uuid"] != old["uuid"]):
            del self.uuids[old["uuid"]]
        if self.has_name and (new is None or new["name_label"] != old["name_label"]):
            self.names.remove(old["name_label"], ref)

    def name(self, ref: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> None:
        """Enter the uuid and the name of `new`, as far as `old` (None: created) had others. After every `unname`."""
        if self.has_uuid and (old is None or new["uuid"] != old["uuid"]):
            self.uuids[new["uuid"]] = ref
        if self.has_name and (old is None or new["name_label"] != old["name_label"]):
            self.names.add(new["name_label"], ref)

    def settle(self, revision: int) -> None:
        """After loading: everything is as of `revision`, and `recent` is in order again."""
        self.recent = OrderedDict(sorted(self.recent.items(), key=lambda item: item[1].modified))
        self.revision = revision

    def changed(self, since: int) -> list[Change]:
        """Adds and mods after `since`, by revision. Costs as much as there are changes."""
        found: list[Change] = []
        for ref, version in reversed(self.recent.items()):
            if version.modified <= since:
                break
            operation = "add" if version.created > since else "mod"
            found.append(Change(operation, version.cls, ref, version.modified, version))
        found.reverse()
        return found
