"""Events: the changes since a token, returned to a client that waits for them.

Theory of operation
1. Nothing is queued. A token is a revision; the changes after it come from the store, which coalesces: one event per
   object, with its present version. So a snapshot and the batch's token are of one revision by construction.
2. event.next is the same with a cursor per session in place of the token: a client that does not come costs nothing. If
   it comes too late for the store's tombstones it gets EVENTS_LOST, and continues from the present. It waits without
   limit, so that it can tell a quiet pool from a dead connection, the pool is touched now and then while it waits.
3. A batch is collected and encoded without an await in between (records.py, rule 2). If many records must be rendered
   first, that is done in slices, and then the batch is collected anew: snapshots, counts and token are of one revision
   whatever happened meanwhile.
4. Waiting calls wait for commits. Logout is a commit, so it wakes the calls that wait in its session: SESSION_INVALID.
5. Classes without events (session) cannot be subscribed to: no reference of a session is ever in an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xenapi_core.api.records import Records
from xenapi_core.api.sessions import Sessions
from xenapi_core.clock import Clock, Steps
from xenapi_core.engine.caller import Caller
from xenapi_core.errors import E
from xenapi_core.model.schema import Schema
from xenapi_core.model.types import STRING
from xenapi_core.store.api import Change, Store
from xenapi_core.store.failure import StoreError
from xenapi_core.wire.api import Call, Codec

LONGEST_WAIT = 24 * 3600.0  # seconds; a larger timeout is taken for this one
FROM_DELAY = 0.05  # event.from waits so long for more to happen at the same time
NEXT_DELAY = 0.2
HEARTBEAT = 300.0  # seconds of nothing at all, after which who waits in event.next is told of the pool
OPERATIONS = ("add", "mod", "del")  # in the order of a batch

_TOKEN = re.compile(r"([0-9]{1,20}),([0-9]{1,20})\Z")


class Token(NamedTuple):
    """Where a client is: a revision for objects, and one for messages."""

    objects: int
    messages: int

    def __str__(self) -> str:
        return f"{self.objects:020d},{self.messages:020d}"


def parse_token(text: str) -> Token:
    """ "" is the beginning. EVENT_FROM_TOKEN_PARSE_FAILURE [text]."""
    if text == "":
        return Token(0, 0)
    match = _TOKEN.match(text)
    if match is None:
        raise E.EVENT_FROM_TOKEN_PARSE_FAILURE(text)
    return Token(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Subscription:
    """The objects a client wants events of: whole classes, and single objects as (class, reference)."""

    classes: frozenset[str]
    objects: frozenset[tuple[str, str]]
    tables: frozenset[str]  # the classes of both

    def wants(self, change: Change) -> bool:
        return change.cls in self.classes or (change.cls, change.ref) in self.objects

    @property
    def only_tasks(self) -> bool:
        return self.tables == {"task"}


_HOLE = b"\0"  # stands for what is put in later; no codec ever writes this byte


def _head(codec: Codec, change: Change, timestamp: str, with_uuid: bool) -> bytes:
    """An event up to its snapshot; the whole event if it has none ("del")."""
    version = change.version
    members = [
        ("id", codec.value(STRING, str(change.revision))),
        ("timestamp", codec.value(STRING, timestamp)),
        ("class", codec.value(STRING, change.cls.lower())),  # as xapi sends it
        ("operation", codec.value(STRING, change.operation)),
        ("ref", codec.value(STRING, change.ref)),
    ]
    if with_uuid:  # clients of API 1.0 know objects by it
        uuid = change.uuid if version is None else version.values.get("uuid", "")
        members.append(("obj_uuid", codec.value(STRING, uuid)))
    if version is not None:
        members.append(("snapshot", _HOLE))
    return codec.struct(members).partition(_HOLE)[0]


def _snapshot(codec: Codec, records: Records, change: Change) -> bytes | None:
    return None if change.version is None else records.fragment(codec, change.version)


def _array(codec: Codec, events: Iterable[tuple[bytes, bytes | None]]) -> list[bytes]:
    """The pieces of an array of events, each a head and the fragment of its snapshot."""
    start, comma, end = codec.array((_HOLE, _HOLE)).split(_HOLE)
    tail = codec.struct((("snapshot", _HOLE),)).partition(_HOLE)[2]
    pieces = [start]
    for head, fragment in events:
        pieces += (head, comma) if fragment is None else (head, fragment, tail, comma)
    if len(pieces) > 1:
        pieces.pop()
    pieces.append(end)
    return pieces


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The result of event.from, of one revision; `again` collects it anew."""

    changes: Sequence[Change]
    counts: Mapping[str, int]  # lower-case class -> live objects
    revision: int
    again: Callable[[], EventBatch]

    def prepare(self, codec: Codec, records: Records) -> Steps[EventBatch]:
        """Make records and heads that are missing; a step each (records.py, rule 4)."""
        present = self if self.revision == records.store.revision else self.again()
        missing, name, find = [], codec.name, records.store.find
        keys = _head_keys(codec)
        for change in present.changes:
            version = change.version
            if version is not None and not (name in version.memo and keys[change.operation] in version.memo):
                missing.append((change, version))
        for change, version in missing:
            if find(version.ref) is version:
                records.fragment(codec, version)
                self._kept_head(codec, keys, change)
                yield
        return present

    @staticmethod
    def _kept_head(codec: Codec, keys: Mapping[str, str], change: Change) -> bytes:
        """The head of an event, memoised on its version: it tells nothing else."""
        version = change.version
        if version is None:
            return _head(codec, change, "0.0", False)
        key = keys[change.operation]
        head: bytes | None = version.memo.get(key)
        if head is None:
            head = version.memo[key] = _head(codec, change, "0.0", False)
        return head

    def reply(self, codec: Codec, call: Call, records: Records) -> bytes:
        keys, head = _head_keys(codec), self._kept_head
        counts = codec.struct((cls, codec.integer(n)) for cls, n in self.counts.items())
        token = codec.value(STRING, str(Token(self.revision, self.revision)))
        result = codec.struct((("events", _HOLE), ("valid_ref_counts", counts), ("token", token)))
        before, after = codec.success(call, result).split(_HOLE)  # one join: a first batch has tens of megabytes
        events = [(head(codec, keys, c), _snapshot(codec, records, c)) for c in self.changes]
        return b"".join((before, *_array(codec, events), after))


def _head_keys(codec: Codec) -> dict[str, str]:
    """Operation -> the name of an event's head in the memo of its version."""
    return {operation: f"{codec.name}:{operation}" for operation in OPERATIONS}


@dataclass(frozen=True, slots=True)
class EventList:
    """The result of event.next, of one revision; `again` collects it anew."""

    changes: Sequence[Change]
    timestamp: str
    revision: int
    again: Callable[[], EventList]

    def prepare(self, codec: Codec, records: Records) -> Steps[EventList]:
        """Make records that are missing; a step each (records.py, rule 4)."""
        present = self if self.revision == records.store.revision else self.again()
        yield from records.missing(codec, [c.version for c in present.changes if c.version is not None])
        return present

    def reply(self, codec: Codec, call: Call, records: Records) -> bytes:
        events = [(_head(codec, c, self.timestamp, True), _snapshot(codec, records, c)) for c in self.changes]
        return codec.success(call, b"".join(_array(codec, events)))


@dataclass(slots=True)
class Registration:
    """A session's subscription for event.next, and the revision it has heard of."""

    words: tuple[str, ...]
    subscription: Subscription
    heard: int


class Events:
    """The event calls of one server. Delays in seconds of the clock; 0 answers at once."""

    def __init__(
        self,
        schema: Schema,
        store: Store,
        clock: Clock,
        records: Records,
        sessions: Sessions,
        *,
        from_delay: float = FROM_DELAY,
        next_delay: float = NEXT_DELAY,
    ) -> None:
        self.store = store
        self.clock = clock
        self.records = records
        self.sessions = sessions
        self.from_delay = from_delay
        self.next_delay = next_delay
        self._names = {name.lower(): name for name, cls in schema.classes.items() if cls.events}
        self._all = frozenset(self._names.values())
        self._registered: dict[str, Registration] = {}
        sessions.ended.append(self._forget)

    def subscription(self, words: Iterable[str]) -> Subscription:
        """ "*", "VM" (any case) or "vm/OpaqueRef:..". EVENT_SUBSCRIPTION_PARSE_FAILURE [word].

        Names of no class, or of one without events, are accepted and match nothing, as in xapi.
        """
        classes: set[str] = set()
        objects: set[tuple[str, str]] = set()
        for word in words:
            name, slash, ref = word.partition("/")
            if not name or "/" in ref or (slash and not ref):
                raise E.EVENT_SUBSCRIPTION_PARSE_FAILURE(word)
            if word == "*":
                classes |= self._all
                continue
            cls = self._names.get(name.lower())
            if cls is None:
                continue
            if slash:
                objects.add((cls, ref))
            else:
                classes.add(cls)
        tables = frozenset(classes | {cls for cls, _ in objects})
        return Subscription(frozenset(classes), frozenset(objects), tables)

    def _collect(self, subscription: Subscription, since: Token) -> list[Change]:
        """Relevant changes in the order clients expect: messages, then adds, mods and dels, each by revision."""
        tables = subscription.tables
        found = self._matching_changes(subscription, since.objects, tables - {"message"})
        messages: list[Change] = []
        if "message" in tables:
            # A message never changes: "mod" would only mean that something touched its record.
            about = self._matching_changes(subscription, since.messages, frozenset({"message"}))
            messages = [change for change in about if change.operation != "mod"]
        for operation in OPERATIONS:
            messages += [change for change in found if change.operation == operation]
        return messages

    def _matching_changes(self, subscription: Subscription, since: int, tables: frozenset[str]) -> list[Change]:
        changes = self.store.changes(since, tables)
        return [change for change in changes if subscription.wants(change)] if subscription.objects else changes

    def _batch(self, caller: Caller, subscription: Subscription, since: Token, changes: Sequence[Change]) -> EventBatch:
        def again() -> EventBatch:
            self._check(caller)
            return self._batch(caller, subscription, since, self._collect(subscription, since))

        counts = {name.lower(): count for name, count in self.store.counts().items()}
        return EventBatch(changes, counts, self.store.revision, again)

    async def wait_from(self, caller: Caller, words: Iterable[str], token: str, timeout: float) -> EventBatch:
        """event.from: relevant changes after `token` as soon as there are any; an empty batch after `timeout` seconds.

        EVENT_FROM_TOKEN_PARSE_FAILURE, EVENT_SUBSCRIPTION_PARSE_FAILURE; EVENTS_LOST for a token that is too old or not
        of this server; SESSION_INVALID when the caller's session ends meanwhile. The result must be prepared before the
        next await.
        """
        since = parse_token(token)
        subscription = self.subscription(words)
        longest = LONGEST_WAIT if math.isnan(timeout) else min(max(timeout, 0.0), LONGEST_WAIT)
        deadline = self.clock.monotonic() + longest
        delay = 0.0 if subscription.only_tasks else self.from_delay
        if token:  # who begins at the beginning gets everything: there is nothing to wait for
            await self._pause(caller, min(delay, longest))
        while True:
            changes = self._collect(subscription, since)
            remaining = deadline - self.clock.monotonic()
            if changes or remaining <= 0:
                return self._batch(caller, subscription, since, changes)
            revision = self.store.revision
            since = Token(revision, revision)  # nothing relevant was before it
            if not await self.store.wait(revision, remaining):
                self._check(caller)
                return self._batch(caller, subscription, since, self._collect(subscription, since))
            await self._pause(caller, min(delay, max(0.0, deadline - self.clock.monotonic())))

    async def _pause(self, caller: Caller, seconds: float) -> None:
        if seconds > 0:
            await self.clock.sleep(seconds)
        self._check(caller)

    def _check(self, caller: Caller) -> None:
        if caller.session and not self.sessions.alive(caller.session):
            raise E.SESSION_INVALID(caller.session)

    def register(self, caller: Caller, words: Iterable[str]) -> None:
        """event.register: what event.next tells this session. No word at all means everything (API 1.0)."""
        added = tuple(words) or ("*",)
        old = self._registered.get(caller.session)
        before = old.words if old is not None else ()
        merged = tuple(dict.fromkeys((*before, *added)))
        heard = old.heard if old is not None else self.store.revision
        self._registered[caller.session] = Registration(merged, self.subscription(merged), heard)

    def unregister(self, caller: Caller, words: Iterable[str]) -> None:
        """event.unregister; a session without any subscription left is not registered."""
        gone = {word.lower() for word in words}
        self.subscription(gone)
        old = self._registered.get(caller.session)
        if old is None:
            return
        kept = tuple(word for word in old.words if word.lower() not in gone and "*" not in gone)
        if kept:
            self._registered[caller.session] = Registration(kept, self.subscription(kept), old.heard)
        else:
            del self._registered[caller.session]

    async def wait_next(self, caller: Caller) -> EventList:
        """event.next: what the session registered for and has not heard yet; waits without limit.

        SESSION_NOT_REGISTERED [session]; EVENTS_LOST; SESSION_INVALID. To be prepared before the next await.
        """
        if caller.session not in self._registered:
            raise E.SESSION_NOT_REGISTERED(caller.session)
        await self._pause(caller, self.next_delay)
        while True:
            registration = self._registered.get(caller.session)
            if registration is None:
                raise E.SESSION_NOT_REGISTERED(caller.session)
            news = self._events_since(caller, registration, registration.heard)
            if news.changes:
                return news
            loop = asyncio.get_running_loop()
            nearly = loop.time() + HEARTBEAT - 1.0  # timers may be a little early
            if not await self.store.wait(news.revision, HEARTBEAT):
                if loop.time() < nearly:
                    return news  # the server ends: nothing is better than no answer
                self._beat()
            await self._pause(caller, self.from_delay)

    def _beat(self) -> None:
        """A mod event of the pool (API reference, events: the heartbeat of event.next), while there can be any."""
        txn = self.store.begin()
        for pool in self.store.all("pool"):
            txn.touch(pool)
        with contextlib.suppress(StoreError):
            self.store.commit(txn)

    def _events_since(self, caller: Caller, registration: Registration, since: int) -> EventList:
        """What happened after `since`, which counts as heard from now on. EVENTS_LOST, SESSION_INVALID."""

        def again() -> EventList:
            self._check(caller)
            return self._events_since(caller, registration, since)

        registration.heard = revision = self.store.revision
        changes = self._matching_changes(registration.subscription, since, registration.subscription.tables)
        return EventList(changes, f"{self.clock.now()}.0", revision, again)

    def inject(self, cls: str, ref: str) -> str:
        """event.inject: a mod event of `ref`; the token from which event.from tells it. HANDLE_INVALID [class, ref]."""
        name = self._names.get(cls.lower())
        if name is None:
            raise E.HANDLE_INVALID(cls, ref)
        self.store.get(ref, name)
        before = self.store.revision
        txn = self.store.begin()
        txn.touch(ref)
        self.store.commit(txn)
        return str(Token(before, before))

    def _forget(self, session: str) -> None:
        self._registered.pop(session, None)
