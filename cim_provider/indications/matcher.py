"""Turns changes of records into lifecycle events: which shown instances were created, modified or deleted.

Theory of operation
1. Of every record that a watched view is about, the last renditions are kept; an event is the difference between them
   and the present ones. So a change that does not show is no event, a record that begins or ceases to be shown is a
   creation or a deletion, and the indication of a deletion still has the whole instance.
2. A rendition depends on the records its rules looked at (mapping/subject.py): `_watchers` leads from each of those to
   the renditions to be made again. Those that asked something of the pool as a whole (`_asked`: what a compatibility
   mode calls it) are also made again when the answer is another one.
3. Only views that some filter can be about are watched. What is kept is given up when nobody watches any more.
4. A view is filled in steps. Until that is done, a record that was not there yet is noted without an event, unless the
   change says that it is new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cim_provider.indications.events import ALERT, CREATION, DELETION, MODIFICATION, Event
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import timestamp
from cim_provider.mapping.subject import Seen
from cim_provider.mapping.view import View
from cim_provider.profiles.interop_service import server_address
from cim_provider.query.ast import IsA, conjuncts
from cim_provider.schema.objects import CIMV2
from xenapi_core.clock import Steps

if TYPE_CHECKING:
    from cim_provider.indications.subscriptions import Filter
    from cim_provider.provider import CimProvider
    from cim_provider.schema.graph import ClassGraph
    from xenapi_core.store.api import Change, Version

Key = tuple[type[View], str]

# Priority of a Xen-API message -> PerceivedSeverity (7 Fatal ... 2 Information).
SEVERITIES = {1: 6, 2: 5, 3: 3, 4: 2, 5: 2}
MAX_SOUGHT = 1000  # answers that are kept about classes


class Matcher:
    """Keeps the renditions of watched views; see the module's theory of operation."""

    def __init__(self, provider: CimProvider) -> None:
        self.provider = provider
        self._watchable = tuple(v for v in provider.views if v.of is not None and v.namespace == CIMV2)
        self.views: frozenset[type[View]] = frozenset()
        self.alerts = False
        self._filling: set[type[View]] = set()
        self._shown: dict[Key, tuple[Rendition, ...]] = {}
        self._looked_at: dict[Key, tuple[str, ...]] = {}
        self._watchers: dict[str, set[Key]] = {}
        self._asked: dict[Key, Seen] = {}
        self._by_class: dict[str, tuple[type[View], ...]] = {}
        self._sought: tuple[ClassGraph | None, dict[frozenset[str], frozenset[type[View]]]] = (None, {})

    @property
    def watching(self) -> bool:
        return self.alerts or bool(self.views)

    def watched_by(self, filters: Iterable[Filter]) -> tuple[frozenset[type[View]], bool]:
        """The views that some filter may be about, and whether one may let alerts through."""
        graph = self.provider.graph(CIMV2)
        found: set[type[View]] = set()
        alerts = False
        for one in filters:
            source = one.query.source
            if CIMV2 not in one.namespaces or graph.find(source) is None:  # what is watched lives there
                continue
            alerts = alerts or graph.is_a(ALERT, source)
            if not (graph.is_a("CIM_InstIndication", source) or graph.is_a(source, "CIM_InstIndication")):
                continue
            needed = frozenset(
                part.classname.lower()
                for part in conjuncts(one.query.where)
                if isinstance(part, IsA) and part.operand.steps[-1].name.lower() == "sourceinstance"
            )
            found |= self._views_of_all(graph, needed)
        return frozenset(found), alerts

    def _views_of_all(self, graph: ClassGraph, needed: frozenset[str]) -> frozenset[type[View]]:
        """The views with instances that are of all of some classes. Kept: many filters ask for the same classes."""
        if self._sought[0] is not graph or len(self._sought[1]) > MAX_SOUGHT:
            self._sought = (graph, {})
        kept = self._sought[1].get(needed)
        if kept is None:
            kept = self._sought[1][needed] = frozenset(
                view
                for view in self._watchable
                if all(any(graph.is_a(cim, name) for cim in self._shown_as(view)) for name in needed)
            )
        return kept

    def _shown_as(self, view: type[View]) -> tuple[str, ...]:
        """The classes of the instances of a view."""
        shown = self.provider.extent(view).view
        return shown.cim, *shown.kinds

    def watch(self, views: frozenset[type[View]], alerts: bool) -> Steps[None]:
        """Watch these views and no others from now on; the steps fill the new ones."""
        self.alerts = alerts
        new = views - self.views
        for key in [key for key in self._shown if key[0] not in views]:
            self._forget(key)
        self.views = views
        self._filling = (self._filling & views) | new
        by_class: dict[str, list[type[View]]] = {}
        for view in (view for view in self._watchable if view in views):  # events keep the order of the declarations
            by_class.setdefault(view.of or "", []).append(view)
        self._by_class = {cls: tuple(found) for cls, found in by_class.items()}
        return self._fill(new)

    def _fill(self, views: Iterable[type[View]]) -> Steps[None]:
        pool = self.provider.pool
        for view in views:
            for version in tuple(pool.all(view.of or "").values()):
                key = (view, version.ref)
                if key not in self._shown and view in self.views:
                    self._note(key, pool.find(version.ref))
                    yield
            self._filling.discard(view)

    def events(self, changes: Iterable[Change], jobs: Iterable[str] = ()) -> Steps[list[Event]]:
        """What a batch of changes shows, in its order; a step for each record that is looked at. `jobs`: tasks, by
        reference, that are jobs no longer."""
        created: dict[Key, bool] = {}
        found: list[Event] = []
        for change in changes:
            if change.cls == "message" and self.alerts and change.operation == "add" and change.version is not None:
                found.append(self._alert(change.version))
            for view in self._by_class.get(change.cls, ()):
                created[view, change.ref] = created.get((view, change.ref), False) or change.operation == "add"
            for key in self._watchers.get(change.ref, ()):
                created.setdefault(key, False)
        for ref in jobs:
            created.update({(view, ref): False for view in self._by_class.get("task", ())})
        for key, seen in tuple(self._asked.items()):
            if key not in created and not seen.answered():
                created[key] = False
            yield
        for key, is_new in created.items():
            if key[0] in self.views:
                found += self._difference(key, is_new)
                yield
        return found

    def everything(self) -> Steps[list[Event]]:
        """The differences of all records: after changes were missed."""
        source = self.provider.source
        keys = dict.fromkeys(self._shown)
        for view in self.views:
            keys.update(dict.fromkeys((view, ref) for ref in tuple(source.all(view.of or ""))))
        found: list[Event] = []
        for key in keys:
            if key[0] in self.views:
                found += self._difference(key, is_new=True)
                yield
        return found

    def _difference(self, key: Key, is_new: bool) -> list[Event]:
        before = self._shown.get(key)
        after = self._note(key, self.provider.pool.find(key[1]))
        if before is None:
            if key[0] in self._filling and not is_new:
                return []
            before = ()
        if before is after:
            return []
        at = timestamp(self.provider.source.now()) or ""
        spaces, host = self.provider.mode.spaces, server_address(self.provider.pool)
        old = {rendition.path: rendition for rendition in before}
        found = []
        for rendition in after:
            previous = old.pop(rendition.path, None)
            if previous is None:
                found.append(Event(CREATION, at, (rendition,), spaces=spaces, host=host))
            elif previous is not rendition:
                changed = _changed(previous.values, rendition.values)
                if changed:
                    found.append(Event(MODIFICATION, at, (rendition, previous), changed, spaces=spaces, host=host))
        gone = (Event(DELETION, at, (rendition,), spaces=spaces, host=host) for rendition in old.values())
        return [*found, *gone]

    def _note(self, key: Key, version: Version | None) -> tuple[Rendition, ...]:
        """Render one record for one view, and keep what was made and what it depends on."""
        if version is None:
            self._forget(key)
            return ()
        seen, made = self.provider.extent(key[0]).look(version)
        self._note_dependencies(key, seen)
        self._shown[key] = made
        return made

    def _note_dependencies(self, key: Key, seen: Seen) -> None:
        if seen.answers:
            self._asked[key] = seen
        else:
            self._asked.pop(key, None)
        refs = tuple(seen.records)
        before = self._looked_at.get(key, ())
        if refs == before:
            return
        for ref in before:
            self._drop_watcher(ref, key)
        for ref in refs:
            self._watchers.setdefault(ref, set()).add(key)
        self._looked_at[key] = refs

    def _drop_watcher(self, ref: str, key: Key) -> None:
        watchers = self._watchers.get(ref)
        if watchers is not None:
            watchers.discard(key)
            if not watchers:
                del self._watchers[ref]

    def _forget(self, key: Key) -> None:
        for ref in self._looked_at.pop(key, ()):
            self._drop_watcher(ref, key)
        self._asked.pop(key, None)
        self._shown.pop(key, None)

    def _alert(self, message: Version) -> Event:
        """A message of the pool as CIM_AlertIndication."""
        extra: dict[str, Any] = {
            "AlertType": 1,
            "OtherAlertType": "Message of the pool",
            "PerceivedSeverity": SEVERITIES.get(message["priority"], 0),
            "ProbableCause": 1,
            "ProbableCauseDescription": message["name"],
            "AlertingElementFormat": 1,
            "OtherAlertingElementFormat": "Class and uuid of the Xen-API",
            "AlertingManagedElement": f"{message['cls']} {message['obj_uuid']}",
            "Description": message["body"],
            "Message": message["body"],
            "MessageID": message["name"],
            "EventID": message["uuid"],
            "EventTime": timestamp(message["timestamp"]),
            "OwningEntity": "Xen-API",
            "ProviderName": "xencim",
        }
        return Event(ALERT, timestamp(self.provider.source.now()) or "", (), (), extra)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """Names of the properties whose values differ."""
    return tuple(name for name, value in after.items() if before.get(name) != value)
