"""Views of samples: instances whose values are the newest samples of the pool's data sources, or an aggregation over
the newest minute.

    class MetricValue(SampleView, cim="Xen_MetricValue", meaning=meaning_of):
        InstanceID = computed(instance_id)

Theory of operation
1. Samples are no change of the pool: they have no revision, no event and no memo on a record's version. What is made of
   them is kept for one round (bridge.source.Samples), by the uuid of what was measured, and made on request.
2. An instance is of the time of its sample: the name of what was measured is the name it had then, or later.
3. Paths and links depend on what is measured, not on the value: they go from a rendition to its successor in the next
   round, so a new round costs the values alone. The earlier rendition is let go then.
4. A view of windows (`window=True`) has an instance for each field of a data source's Summary, which is named
   <data source>/<field>. What is made of a window is kept as long as the window, a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from cim_provider.mapping.association import Extents
from cim_provider.mapping.extent import Extent, Listing, Rendition, Tally
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.schema.graph import CimClass
from cim_provider.schema.objects import Path
from xenapi_core.bridge.source import NO_SAMPLES, Samples, Summary, Window
from xenapi_core.clock import Steps

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

MEASURED = ("VM", "host")  # Xen-API classes that have data sources
ATTEMPTS = 3  # rounds that a listing in steps begins with, before it is made of one at once


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, as rules find it in `subject.item`: what was measured, the data source's name (rule 4), what the view
    says it means, the value in the data source's units, the instant (seconds since the epoch), and for how many seconds
    before it the value stands."""

    record: Version
    source: str
    meaning: Any
    value: float
    at: int
    lasts: int = 0


Meaning = Callable[[str], Any]


def _nothing_by_itself(subject: Subject) -> Iterable[Any]:
    return ()


class SampleView(View):
    """Base of views of samples. `meaning(name)` says what a data source of that name means; None: it is not shown.
    `window`: these are of windows, not of rounds (rule 4)."""

    meaning: ClassVar[Meaning]
    window: ClassVar[bool] = False

    def __init_subclass__(
        cls, cim: str = "", meaning: Meaning | None = None, window: bool | None = None, **more: Any
    ) -> None:
        super().__init_subclass__(cim=cim, items=_nothing_by_itself, **more)
        if meaning is not None:
            cls.meaning = staticmethod(meaning)
        if window is not None:
            cls.window = window


def _readings(values: Mapping[str, float | Summary]) -> Iterator[tuple[str, float]]:
    """Names and values (rule 4)."""
    for name, value in values.items():
        if isinstance(value, Summary):
            yield from ((f"{name}/{field}", one) for field, one in zip(Summary._fields, value, strict=True))
        else:
            yield name, value


class SampleExtent(Extent):
    """The instances of a SampleView. Its listings are of their round, so nobody else may keep them (stamp None)."""

    def __init__(self, view: type[SampleView], cls: CimClass, pool: Pool, tally: Tally) -> None:
        super().__init__(view, cls, pool, tally)
        self._meaning, self._window = view.meaning, view.window
        self._round: Samples | Window = NO_SAMPLES
        self._made: dict[str, tuple[Rendition, ...]] = {}
        self._before: dict[str, tuple[Rendition, ...]] = {}

    def _current(self) -> Samples | Window:
        """The newest round or window; what was made of another one is put behind (rule 3)."""
        samples = self.pool.samples or NO_SAMPLES
        newest = samples.window if self._window else samples
        if newest is not self._round:
            self._round, self._before, self._made, self._listing = newest, self._made, {}, None
        return newest

    def measured(self, uuid: str) -> tuple[Rendition, ...]:
        """The instances about the VM or host with that uuid."""
        samples = self._current()
        found = self._made.get(uuid)
        if found is None:
            record = next(filter(None, (self.pool.by_uuid(cls, uuid) for cls in MEASURED)), None)
            found = () if record is None else tuple(self._renditions_of(record, samples))
            if record is not None:
                self._made[uuid] = found
        return found

    def _renditions_of(self, record: Version, samples: Samples | Window) -> Iterator[Rendition]:
        values = samples.values.get(record.values["uuid"])
        if not values:
            return
        self.tally.made += 1
        subject = Subject(self.pool, record)
        lasts = samples.lasts if isinstance(samples, Window) else 0
        earlier = {one.item.source: one for one in self._before.pop(record.values["uuid"], ())}
        for source, value in _readings(values):
            meaning = self._meaning(source)
            if meaning is None:
                continue
            item = Sample(record, source, meaning, value, samples.at, lasts)
            one = subject.at(item)
            shown = {name: read(one) for name, read in self._rules}
            old = earlier.get(source)
            cim = self.view.kind(one) if self.view.kinds else self.view.cim
            path = Path.of(cim, {key: shown[key] for key in self.cls.keys}, self.view.namespace)
            made = Rendition(self.view, None, item, path if old is None else old.path, shown)
            if old is not None:
                made.links = old.links
            yield made

    def of(self, version: Version) -> tuple[Rendition, ...]:
        return self.measured(version.values["uuid"]) if version.cls in MEASURED else ()

    def listed(self) -> Steps[Listing]:
        """All of the newest round; a step for each object whose samples had not been rendered."""
        for _ in range(ATTEMPTS):
            samples = self._current()
            for uuid in samples.values:
                if uuid not in self._made:
                    self.measured(uuid)
                    yield
                if self._current() is not samples:  # what is made now would be half of each round
                    break
            else:
                break
        return self.listing()

    def listing(self) -> Listing:
        samples = self._current()
        if self._listing is None:
            self._listing = Listing(tuple(one for uuid in samples.values for one in self.measured(uuid)), None)
        return self._listing

    def __iter__(self) -> Iterator[Rendition]:
        return iter(cast("tuple[Rendition, ...]", self.listing().shown))

    def find(self, path: Path) -> Rendition | None:
        uuid_of = self.view.rules[self.locator].uuid_of if self.locator is not None else None
        uuid = uuid_of(path.key(self.locator or "")) if uuid_of is not None else None
        candidates = tuple(self) if uuid is None else self.measured(uuid)
        same = (one for one in candidates if one.path.keys == path.keys)
        return next((one for one in same if not self.view.kinds or one.path.classname == path.classname), None)


Part = Callable[["Version | None", Any], "str | None"]


@dataclass(frozen=True)
class Measured:
    """A measured object, or a device of one (left), and the samples about it (right).

    owner    the field of the left view's records that points at what is measured; "" if it is measured itself.
    about    whether a meaning is one of the left view's.
    part     which part of the owner an instance is, given its record and item: it has the samples whose `part_of` is
             the same; None: it has them all.
    """

    left: type[View]
    right: type[SampleView]
    owner: str
    about: Callable[[Any], bool]
    part: Part | None = None
    part_of: Callable[[Any], str] = str

    def _fits(self, left: Rendition, right: Rendition) -> bool:
        meaning = right.item.meaning
        return self.about(meaning) and (
            self.part is None or self.part(left.version, left.item) == self.part_of(meaning)
        )

    def forward(self, extents: Extents, left: Rendition) -> Iterator[Rendition]:
        version = left.version
        if version is not None and self.owner:
            version = extents.pool.find(version.values[self.owner])
        if version is not None:
            yield from (one for one in extents.extent(self.right).of(version) if self._fits(left, one))

    def backward(self, extents: Extents, right: Rendition) -> Iterator[Rendition]:
        pool, left = extents.pool, extents.extent(self.left)
        owner = pool.find(right.item.record.ref)
        if owner is None:
            return
        for version in self._parts(pool, owner):
            yield from (one for one in left.of(version) if self._fits(one, right))

    def _parts(self, pool: Pool, owner: Version) -> Iterator[Version]:
        """The records of the left view that may be what was measured, or a part of it."""
        if not self.owner:
            if owner.cls == self.left.of:
                yield owner
            return
        owners, inverse = pool.schema.relations[self.left.of or "", self.owner]
        for ref in pool.related(owner.ref, inverse) if owner.cls == owners else ():
            version = pool.find(ref)
            if version is not None and version.cls == self.left.of:
                yield version
