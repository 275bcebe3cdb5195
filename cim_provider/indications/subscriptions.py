"""Filters, destinations and subscriptions as clients create, modify and delete them (DSP1054), with the rules for each.

Theory of operation
1. Writing needs the role pool-operator, whatever the class; everybody may read.
2. A stored instance is valid: names, queries, URLs and references were checked when it came in. Filters, collections
   and destinations cannot go while a subscription uses them.
3. Keys that a client leaves out are chosen here; those it gives are kept, as clients look for their names later.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cim_provider.indications.address import Address, address_of
from cim_provider.indications.repeats import DELAY, LINES, NONE, SUPPRESS, Repetition, repetition_of
from cim_provider.mapping.rule import timestamp
from cim_provider.operations.api import InstanceWriter, Operation
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.indications import (
    DESTINATIONS,
    FILTER,
    MAX_INSTANCES,
    SERVICE_CLASS,
    SERVICE_PATH,
    SETTINGS,
    SUBSCRIPTIONS,
    IndicationService,
    OfferedCollection,
    OfferedFilter,
    ends_at,
)
from cim_provider.query import languages
from cim_provider.query.ast import STAR, Query
from cim_provider.query.parser import bad_query
from cim_provider.query.predicate import Names, predicate, selected_class
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import (
    ACCESS_DENIED,
    ALREADY_EXISTS,
    CIMV2,
    FAILED,
    INTEROP,
    INVALID_PARAMETER,
    NOT_SUPPORTED,
    SERVER_LIMITS_EXCEEDED,
    CimError,
    Instance,
    Path,
    canonical_namespace,
)
from xenapi_core.clock import Later
from xenapi_core.model.schema import POOL_OPERATOR, roles_above

if TYPE_CHECKING:
    from cim_provider.provider import CimProvider

log = logging.getLogger("xencim.indications")

Values = dict[str, Any]
Settled = Callable[[], "Later[None] | None"]

WRITERS = roles_above(POOL_OPERATOR)
IGNORE, DISABLE, REMOVE = 2, 3, 4  # OnFatalErrorPolicy
ENABLED, DISABLED = 2, 4  # SubscriptionState
MAX_TEXT = 4096


def invalid(text: str) -> CimError:
    return CimError(INVALID_PARAMETER, text)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter ready for use: `name` is its Name, `query` its query, `test` tells of an indication. It lets through
    what happens in `namespaces`. `language` and `text` are the query as it was written; `columns` the properties of
    indications that it selects, in lower case, None for all: of an embedded instance the whole is sent."""

    name: str
    query: Query
    test: Callable[[Instance], bool]
    namespaces: frozenset[str] = frozenset({CIMV2})
    language: str = ""
    text: str = ""
    columns: frozenset[str] | None = None


@lru_cache(maxsize=2 * MAX_INSTANCES)
def compiled(
    graph: ClassGraph, name: str, language: str, text: str, namespaces: frozenset[str] = frozenset({CIMV2})
) -> Filter:
    """CimError QUERY_LANGUAGE_NOT_SUPPORTED, INVALID_QUERY."""
    query = languages.parse(language, text)
    source = selected_class(query, graph)
    if not graph.is_a(source.name, "CIM_Indication"):
        raise bad_query(f"{query.source} is no class of indications")
    test = predicate(query, graph)
    names = Names(graph, source, query.alias)
    first = {next((step.name.lower() for step in names.steps(path)), STAR) for path in query.columns or ()}
    columns = frozenset(first) if first and STAR not in first else None
    return Filter(name, query, test, namespaces, language, text, columns)


@dataclass(frozen=True, slots=True)
class Subscription:
    """An enabled subscription: which filters it has, and where what they let through goes. `ends` is an instant."""

    path: Path
    filters: tuple[Filter, ...]
    destination: Path
    address: Address
    ends: int | None
    policy: int
    trigger: int  # FailureTriggerTimeInterval, seconds
    repetition: Repetition | None = None


class Subscriptions:
    """The written instances of one provider. `settled` is asked after a subscription was created: a Later if something
    has to happen before its client is told."""

    def __init__(self, provider: CimProvider, settled: Settled = lambda: None) -> None:
        self.provider = provider
        self.repository = provider.repository
        self.graph = provider.graph(INTEROP)
        self.settled = settled
        self._off: set[Path] = set()  # filters that cannot be used with the classes there are

    def writers(self) -> dict[str, InstanceWriter]:
        """For CimProvider.writers."""
        return {
            SERVICE_CLASS: ServiceWriter(self),
            FILTER: FilterWriter(self),
            **{name: DestinationWriter(self) for name in DESTINATIONS},
            **{name: SubscriptionWriter(self) for name in SUBSCRIPTIONS},
        }

    # ---- for the matcher and the delivery

    def enabled(self) -> list[Subscription]:
        """All subscriptions that are enabled, with their filters compiled."""
        now = self.provider.source.now()
        found = []
        self._off.clear()
        for stored in self._all():
            ends = ends_at(stored.values)
            try:
                filters = self._filters(stored.values["Filter"])
            except CimError as error:  # what its query names was deleted, or an earlier start had it
                log.warning("a filter cannot be used: %s", error.text)
                self._off.add(stored.values["Filter"])
                continue
            handler = self.repository.find(stored.values["Handler"])
            if stored.values["SubscriptionState"] != ENABLED or handler is None or (ends is not None and ends <= now):
                continue
            found.append(
                Subscription(
                    _path_of(stored), filters, _path_of(handler), address_of(handler.values["Destination"]), ends,
                    stored.values["OnFatalErrorPolicy"], stored.values.get("FailureTriggerTimeInterval") or 0,
                    repetition_of(stored.values),
                )
            )  # fmt: skip
        return found

    def revived(self) -> bool:
        """Whether a filter that was unusable at the last `enabled` is usable now."""
        return any(map(self._usable, self._off))

    def _usable(self, path: Path) -> bool:
        try:
            return bool(self._filters(path))
        except CimError:
            return False

    def _all(self) -> list[Instance]:
        return [stored for name in SUBSCRIPTIONS for stored in self.repository.all(name).values()]

    def _filters(self, path: Path) -> tuple[Filter, ...]:
        provider = self.provider
        stored = self.repository.find(path)
        if stored is not None:
            v = stored.values
            spaces = frozenset(map(canonical_namespace, v["SourceNamespaces"]))
            there = [space for space in sorted(spaces) if provider.spaces.find(space)]  # some may be gone since
            graph = provider.spaces.whole(CIMV2 if CIMV2 in spaces or not there else there[0])
            return (compiled(graph, v["Name"], v["QueryLanguage"], v["Query"], spaces),)
        offered = provider.extent(OfferedFilter).find(path) if path.classname == OfferedFilter.cim else None
        if offered is not None:
            v = offered.values
            return (compiled(self.graph, v["Name"], v["QueryLanguage"], v["Query"]),)
        if path.classname != OfferedCollection.cim:
            return ()
        collection = provider.extent(OfferedCollection).find(path)
        links = provider.associations(INTEROP, "CIM_MemberOfCollection")
        members = [
            link.right
            for association in links
            for link in (association.links_of(provider, collection, association.left) if collection else ())
        ]
        return tuple(
            compiled(self.graph, m.values["Name"], m.values["QueryLanguage"], m.values["Query"]) for m in members
        )

    def settings(self) -> Mapping[str, int]:
        """The settings of the indication service."""
        stored = self.repository.find(SERVICE_PATH)
        return SETTINGS if stored is None else stored.values

    def expire(self) -> None:
        """Remove subscriptions whose duration is over."""
        now = self.provider.source.now()
        ends = ((stored, ends_at(stored.values)) for stored in self._all())
        self.repository.remove([_path_of(stored) for stored, at in ends if at is not None and at <= now])

    def next_end(self) -> int | None:
        """The instant at which the next subscription ends."""
        return min((at for stored in self._all() if (at := ends_at(stored.values)) is not None), default=None)

    def disable(self, path: Path) -> None:
        """A subscription that cannot be served is not tried again until a client enables it."""
        stored = self.repository.find(path)
        if stored is not None:
            self.repository.put(path, {**stored.values, **self._state(DISABLED)})

    def remove(self, path: Path) -> None:
        self.repository.remove([path])

    def _state(self, state: int) -> Values:
        return {"SubscriptionState": state, "TimeOfLastStateChange": timestamp(self.provider.source.now())}

    # ---- for the writers

    def admit(self, op: Operation) -> None:
        """CimError ACCESS_DENIED."""
        if not WRITERS & op.principal.roles:
            raise CimError(ACCESS_DENIED, f"{op.name} of indication classes needs the role {POOL_OPERATOR}")

    def add(self, path: Path, values: Mapping[str, Any]) -> Path:
        """CimError ALREADY_EXISTS, SERVER_LIMITS_EXCEEDED."""
        if self.provider.find(path, INTEROP) is not None or self.repository.find(path) is not None:
            raise CimError(ALREADY_EXISTS, f"there is such an instance of {path.classname}")
        if len(self.repository.all(path.classname)) >= MAX_INSTANCES:
            raise CimError(SERVER_LIMITS_EXCEEDED, f"there are {MAX_INSTANCES} instances of {path.classname} already")
        self.repository.put(path, values)
        return path

    def with_keys(self, new: Instance) -> Values:
        """The values of a new filter or destination, with all four keys."""
        values = {name: value for name, value in new.values.items() if value is not None}
        _check_texts(values)
        if values.setdefault("CreationClassName", new.classname) != new.classname:
            raise invalid(f"CreationClassName must be {new.classname}")
        values.setdefault("SystemCreationClassName", HostComputerSystem.cim)
        if "SystemName" not in values:
            (service,) = self.provider.extent(IndicationService)
            values["SystemName"] = service.values["SystemName"]
        values.setdefault("Name", f"xencim:{secrets.token_hex(16)}")
        if not values["Name"]:
            raise invalid("Name must not be empty")
        return values

    def unused(self, path: Path) -> None:
        """CimError FAILED while a subscription refers to `path`."""
        if any(path in (stored.values["Filter"], stored.values["Handler"]) for stored in self._all()):
            raise CimError(FAILED, "a subscription uses this instance")

    def keys_of(self, classname: str, values: Mapping[str, Any]) -> Path:
        cls = self.graph.classes[classname.lower()]
        return Path.of(cls.name, {key: values[key] for key in cls.keys}, INTEROP)

    def changed(self, op: Operation, path: Path, changed: Instance, settable: frozenset[str]) -> Values:
        """The values after a modification. Keys may be repeated but not changed. CimError INVALID_PARAMETER,
        NOT_SUPPORTED."""
        self.admit(op)
        stored = self.repository.find(path)
        values = dict(stored.values) if stored is not None else {}
        for name, value in changed.values.items():
            if name in settable:
                values[name] = value
            elif path.key(name) is not None:
                if value is not None and value != path.key(name):
                    raise invalid(f"the key {name} cannot be changed")
            elif value is not None and value != values.get(name):
                raise CimError(NOT_SUPPORTED, f"{name} of {path.classname} cannot be changed")
        _check_texts(values)
        return values


def _path_of(stored: Instance) -> Path:
    if stored.path is None:
        raise LookupError("a stored instance has a path")
    return stored.path


def _check_texts(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, str) and len(value) > MAX_TEXT and name != "Query":
            raise invalid(f"{name} is longer than {MAX_TEXT} characters")


def _one_of(values: Values, name: str, allowed: Mapping[int, str], default: int) -> None:
    """A number out of a ValueMap; NULL and missing become the default."""
    if values.get(name) is None:
        values[name] = default
    if values[name] not in allowed:
        raise invalid(f"{name} must be {' or '.join(f'{number} ({word})' for number, word in allowed.items())}")


def _only(values: Mapping[str, Any], known: frozenset[str], classname: str) -> None:
    """Properties that this server would not heed are refused, so that nobody relies on them."""
    for name, value in values.items():
        if value is not None and name not in known:
            raise invalid(f"{name} of {classname} is not supported")


_TEXTS = frozenset({"Caption", "Description", "ElementName"})
_KEYS = frozenset({"SystemCreationClassName", "SystemName", "CreationClassName", "Name"})
_FILTER_LINES = _TEXTS | {"SourceNamespace", "SourceNamespaces", "Query", "QueryLanguage"}


class FilterWriter:
    """CIM_IndicationFilter."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.all = subscriptions

    def create(self, op: Operation, new: Instance) -> Path:
        self.all.admit(op)
        values = self.checked(self.all.with_keys(new))
        return self.all.add(self.all.keys_of(new.classname, values), values)

    def checked(self, values: Values) -> Values:
        if values.pop("IndividualSubscriptionSupported", True) is False:
            raise invalid("IndividualSubscriptionSupported must be true")
        _only(values, _KEYS | _FILTER_LINES | {"InstanceID"}, FILTER)
        for name in ("Query", "QueryLanguage"):
            if not values.get(name):
                raise invalid(f"a filter needs {name}")
        old = values.get("SourceNamespace")
        spaces = values.get("SourceNamespaces") or ((old,) if old else (CIMV2,))
        for space in spaces:
            if space is None or canonical_namespace(space) not in self.all.provider.namespaces:
                raise invalid(f"there is no namespace {space}")
            graph = self.all.provider.spaces.whole(space)
            compiled(graph, values["Name"], values["QueryLanguage"], values["Query"])
        values["SourceNamespaces"] = spaces
        return values

    def modify(self, op: Operation, path: Path, changed: Instance) -> None:
        values = self.checked(self.all.changed(op, path, changed, _FILTER_LINES))
        self.all.repository.put(path, values)

    def delete(self, op: Operation, path: Path) -> None:
        self.all.admit(op)
        self.all.unused(path)
        self.all.repository.remove([path])


_DESTINATION_LINES = _TEXTS | {"Destination", "PersistenceType", "Protocol", "Owner"}


class DestinationWriter:
    """CIM_ListenerDestinationCIMXML and its predecessor CIM_IndicationHandlerCIMXML."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.all = subscriptions

    def create(self, op: Operation, new: Instance) -> Path:
        self.all.admit(op)
        values = self.checked(self.all.with_keys(new), new.classname)
        return self.all.add(self.all.keys_of(new.classname, values), values)

    def checked(self, values: Values, classname: str) -> Values:
        _only(values, _KEYS | _DESTINATION_LINES | {"InstanceID"}, classname)
        if not values.get("Destination"):
            raise invalid("a destination needs Destination, the URL of the listener")
        address_of(values["Destination"])
        _one_of(values, "PersistenceType", {2: "Permanent", 3: "Transient"}, 2)
        _one_of(values, "Protocol", {2: "CIM-XML"}, 2)
        return values

    def modify(self, op: Operation, path: Path, changed: Instance) -> None:
        values = self.checked(self.all.changed(op, path, changed, _DESTINATION_LINES), path.classname)
        self.all.repository.put(path, values)

    def delete(self, op: Operation, path: Path) -> None:
        self.all.admit(op)
        self.all.unused(path)
        self.all.repository.remove([path])


_SUBSCRIPTION_LINES = frozenset(
    {
        "OnFatalErrorPolicy", "FailureTriggerTimeInterval", "SubscriptionState", "SubscriptionDuration",
        "RepeatNotificationPolicy", "SubscriptionInfo", *LINES,
    }
)  # fmt: skip
# What clients may send along because they got it from us, and what is kept beside the properties.
_SUBSCRIPTION_RESULTS = frozenset(
    {"SubscriptionStartTime", "TimeOfLastStateChange", "SubscriptionTimeRemaining", "Started", "AlertOnStateChange"}
)


class SubscriptionWriter:
    """CIM_IndicationSubscription and CIM_FilterCollectionSubscription."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.all = subscriptions

    def create(self, op: Operation, new: Instance) -> Path | Later[Path]:
        self.all.admit(op)
        given = {name: value for name, value in new.values.items() if value is not None}
        ends = {}
        for role in ("Filter", "Handler"):
            end = given.get(role)
            found = self.all.provider.find(end, INTEROP) if isinstance(end, Path) else None
            declared = self.all.graph.classes[new.classname.lower()].properties[role.lower()]
            if found is None or not self.all.graph.is_a(found.path.classname, declared.reference_class):
                raise invalid(f"{role} must refer to an existing {declared.reference_class}")
            ends[role] = found.path
        now = self.all.provider.source.now()
        values = self.checked({**given, **ends}, new.classname)
        values |= {
            "Started": now,
            "SubscriptionStartTime": timestamp(now),
            "TimeOfLastStateChange": timestamp(now),
            "AlertOnStateChange": False,
        }
        path = self.all.add(Path.of(new.classname, ends, INTEROP), values)
        later = self.all.settled()
        return path if later is None else Later(_path_after(later, path))

    def checked(self, values: Values, classname: str) -> Values:
        if values.get("AlertOnStateChange"):
            raise invalid("AlertOnStateChange is not supported")
        _only(values, _SUBSCRIPTION_LINES | _SUBSCRIPTION_RESULTS | {"Filter", "Handler"}, classname)
        _check_texts(values)
        _one_of(values, "OnFatalErrorPolicy", {IGNORE: "Ignore", DISABLE: "Disable", REMOVE: "Remove"}, IGNORE)
        _one_of(values, "RepeatNotificationPolicy", {NONE: "None", SUPPRESS: "Suppress", DELAY: "Delay"}, NONE)
        repetition_of(values)
        _one_of(values, "SubscriptionState", {ENABLED: "Enabled", DISABLED: "Disabled"}, ENABLED)
        return values

    def modify(self, op: Operation, path: Path, changed: Instance) -> None:
        lines = {name: value for name, value in changed.values.items() if name not in _SUBSCRIPTION_RESULTS}
        before = self.all.repository.find(path)
        asked = Instance(changed.classname, lines, path)
        values = self.checked(self.all.changed(op, path, asked, _SUBSCRIPTION_LINES), path.classname)
        if before is not None and before.values["SubscriptionState"] != values["SubscriptionState"]:
            values["TimeOfLastStateChange"] = timestamp(self.all.provider.source.now())
        self.all.repository.put(path, values)

    def delete(self, op: Operation, path: Path) -> None:
        self.all.admit(op)
        self.all.repository.remove([path])


async def _path_after(later: Later[None], path: Path) -> Path:
    await later
    return path


class ServiceWriter:
    """Xen_IndicationService: its settings can be changed, and that is all."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self.all = subscriptions

    def create(self, op: Operation, new: Instance) -> Path:
        raise CimError(NOT_SUPPORTED, f"there is one instance of {new.classname}")

    def modify(self, op: Operation, path: Path, changed: Instance) -> None:
        self.all.admit(op)
        (service,) = self.all.provider.extent(IndicationService)
        settings = dict(self.all.settings())
        for name, value in changed.values.items():
            if name in SETTINGS:
                settings[name] = SETTINGS[name] if value is None else value
            elif value is not None and value != service.values.get(name):
                raise CimError(NOT_SUPPORTED, f"{name} of {path.classname} cannot be changed")
        _one_of(settings, "SubscriptionRemovalAction", {2: "Remove", 3: "Disable", 4: "Ignore"}, 2)
        self.all.repository.put(SERVICE_PATH, settings)

    def delete(self, op: Operation, path: Path) -> None:
        raise CimError(NOT_SUPPORTED, f"the instance of {path.classname} cannot be deleted")
