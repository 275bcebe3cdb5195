"""The indication service of one provider: subscriptions, the pump that follows the pool, and the delivery.

Theory of operation
1. Nothing runs before `start`, and nothing watches the pool while there is no enabled subscription.
2. One task, the pump, follows the source's revision: changes become events, events go through the filters into the
   channels of their destinations. It never awaits a listener.
3. Subscriptions take effect where they are written: `_follow` is called after every change of the repository, and when
   a class comes that a filter waited for. A client that subscribes is answered when the present renditions are known,
   so whatever it does next is noticed.
4. A listener that fails costs its subscriptions what their OnFatalErrorPolicy says, once the failures last for their
   FailureTriggerTimeInterval, and what the service's SubscriptionRemovalAction says after its interval.
5. The repository reports what clients write where there is no provider, and those events go through the filters at
   once; conditions are read with the classes of the event's namespace, as they are at that moment.
6. All tasks belong to the service (or its Delivery): `stop` cancels and awaits them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from cim_provider.indications.connection import TRUST_SYSTEM, Trust
from cim_provider.indications.delivery import Delivery
from cim_provider.indications.events import Event, written
from cim_provider.indications.matcher import Matcher
from cim_provider.indications.repeats import Repeats
from cim_provider.indications.subscriptions import DISABLE, REMOVE, Filter, Subscription, Subscriptions, compiled
from cim_provider.mapping.rule import timestamp
from cim_provider.profiles.interop_service import server_address
from cim_provider.repository.static import Stored
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import CIMV2, CimError, Path
from cim_provider.wire.encode import encoder_of
from xenapi_core.clock import Clock, Later, Steps
from xenapi_core.errors import ApiError

if TYPE_CHECKING:
    from cim_provider.provider import CimProvider

log = logging.getLogger("xencim.indications")

IDLE_SECONDS = 30  # the pump looks at the clock at least this often: subscriptions end
SETTLE_SECONDS = 20.0
FAULT_SECONDS = 1.0  # after a fault of ours, so that one that stays does not take all the loop's time
REMOVE_ALL, DISABLE_ALL = 2, 3  # SubscriptionRemovalAction


class Indications:
    """The indication service of one provider."""

    def __init__(self, provider: CimProvider, clock: Clock, trust: Trust = TRUST_SYSTEM) -> None:
        self.provider = provider
        self.clock = clock
        self.subscriptions = Subscriptions(provider, self._settled)
        self.matcher = Matcher(provider)
        self.delivery = Delivery(clock, self.subscriptions.settings, self._failed, trust)
        self.repeats = Repeats()
        self._enabled: list[Subscription] = []
        self._fitting: dict[tuple[str, ...], tuple[ClassGraph, Filter | None]] = {}  # by filter and namespace
        self._since = 0
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling = 0
        self._filled = asyncio.Event()
        self._wanted = asyncio.Event()
        provider.writers.update(self.subscriptions.writers())
        provider.repository.observe(self._follow)
        provider.static.observe(self._stored)
        provider.spaces.observe(self._class_written)

    async def start(self) -> None:
        """Begin to watch and to deliver."""
        self._running = True
        self._own(self._pump())
        self._follow()

    async def stop(self) -> None:
        """End all tasks. Subscriptions stay; `start` takes them up again."""
        self._running = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.delivery.close()

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="indications")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- subscriptions

    def _follow(self) -> None:
        """Watch what the enabled subscriptions select, and open a channel for each of their destinations (rule 3)."""
        if not self._running:
            return
        self._enabled = self.subscriptions.enabled()
        self._fitting.clear()
        self.repeats.keep({one.path for one in self._enabled})
        self.delivery.keep({one.destination: one.address for one in self._enabled})
        views, alerts = self.matcher.watched_by(f for one in self._enabled for f in one.filters)
        if not self.matcher.watching:
            self._since = self.provider.source.revision
        steps = self.provider.slices.run(self.matcher.watch(views, alerts))
        if isinstance(steps, Later):
            self._filling += 1
            self._filled.clear()
            self._own(self._fill(steps))
        if self.matcher.watching:
            self._wanted.set()
        else:
            self._wanted.clear()

    def _class_written(self) -> None:
        if self.subscriptions.revived():
            self._follow()

    async def _fill(self, steps: Later[None]) -> None:
        try:
            await steps
        finally:
            self._filling -= 1
            if not self._filling:
                self._filled.set()

    def _settled(self) -> Later[None] | None:
        return Later(self._until_filled()) if self._filling else None

    async def _until_filled(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._filled.wait()

    # ---- the pump

    async def _pump(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                jobs = self.provider.jobs.ended
                if await self.provider.source.wait(self._since, self._seconds_to_wait()) or jobs.is_due():
                    await self._take()
                self.subscriptions.expire()
            except Exception:
                log.exception("indications: a batch of changes is skipped")
                self._since = self.provider.source.revision
                await self.clock.sleep(FAULT_SECONDS)

    def _seconds_to_wait(self) -> float:
        """How long to wait for changes, seconds."""
        ends = [end for end in (self.subscriptions.next_end(), self.provider.jobs.ended.next_end()) if end is not None]
        return max(1, min(IDLE_SECONDS, min(ends) - self.provider.source.now())) if ends else IDLE_SECONDS

    async def _take(self) -> None:
        source, jobs = self.provider.source, self.provider.jobs.ended
        upto = source.revision
        jobs.catch_up()
        try:
            steps = self.matcher.events(source.changes(self._since), jobs.let_go())
        except ApiError:  # EVENTS_LOST: the pump was too slow, or the pool too fast
            steps = self.matcher.everything()
        self._since = upto
        routed = self.provider.slices.run(self._routed(steps))
        if isinstance(routed, Later):
            await routed

    def _routed(self, steps: Steps[list[Event]]) -> Steps[None]:
        """Route what the steps find; a step for each event."""
        for event in (yield from steps):
            self._route(event)
            yield

    def _route(self, event: Event) -> None:
        """Give an event to every destination once for each subscription that has a filter letting it through."""
        graph = self.provider.spaces.whole(event.namespace)
        now = self.provider.source.now()
        for one in self._enabled:
            if one.ends is not None and one.ends <= now:
                continue
            for chosen in one.filters:
                if event.namespace not in chosen.namespaces:
                    continue
                classname = event.named(graph, chosen.query.source)
                fitting = None if classname is None else self._read_in(chosen, event, graph)
                if classname is not None and fitting is not None and fitting.test(event.instance):
                    channel = self.delivery.channels.get(one.destination)
                    if channel is not None and self._wanted_again(one, event):
                        body = event.body(encoder_of(self.provider.graph(CIMV2)), chosen.columns)
                        channel.offer(classname, chosen.name, body)
                    break

    def _stored(self, before: Stored | None, after: Stored | None) -> None:
        """An instance of the repository was written or deleted (rule 5)."""
        if self._running and self._enabled:
            at, host = timestamp(self.provider.source.now()) or "", server_address(self.provider.pool)
            event = written(before, after, at, self.provider.mode.spaces, host)
            if event is not None:
                self._route(event)

    def _read_in(self, chosen: Filter, event: Event, graph: ClassGraph) -> Filter | None:
        """A filter as the classes of an event's namespace let it be read; None if they no longer do."""
        if not event.sources or not isinstance(event.sources[0], Stored):
            return chosen  # what the pool shows is of classes that never change
        key = (event.namespace, chosen.name, chosen.language, chosen.text)
        kept = self._fitting.get(key)
        if kept is None or kept[0] is not graph:
            try:
                found = compiled(graph, chosen.name, chosen.language, chosen.text, chosen.namespaces)
            except CimError:
                found = None
            kept = self._fitting[key] = (graph, found)
        return kept[1]

    def _wanted_again(self, one: Subscription, event: Event) -> bool:
        """Whether the subscription's RepeatNotificationPolicy lets one more of these through."""
        if one.repetition is None:
            return True
        return self.repeats.admits(one.path, one.repetition, event.subject, self.clock.monotonic())

    # ---- failures

    def _failed(self, destination: Path, seconds: float) -> None:
        """A listener has not answered for `seconds`: do what its subscriptions say (rule 4)."""
        settings = self.subscriptions.settings()
        for one in [one for one in self._enabled if one.destination == destination]:
            action = one.policy if seconds >= one.trigger else 0
            overdue = seconds >= settings["SubscriptionRemovalTimeInterval"]
            if action == REMOVE or (overdue and settings["SubscriptionRemovalAction"] == REMOVE_ALL):
                log.warning("a subscription is removed: its listener does not answer")
                self.subscriptions.remove(one.path)
            elif action == DISABLE or (overdue and settings["SubscriptionRemovalAction"] == DISABLE_ALL):
                log.warning("a subscription is disabled: its listener does not answer")
                self.subscriptions.disable(one.path)
