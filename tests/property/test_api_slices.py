"""Long reads of the Xen-API: others are served meanwhile, and the answer is of one revision whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import random
import warnings
import xmlrpc.client

import pytest
from api_pool import api_pool, value_of

from xenapi_core.clock import FEW, Later, Slices

CLASSES = ("VM", "VIF", "network")
MANY = FEW + 20


@contextlib.asynccontextmanager
async def sliced_pool(few=10):
    """A pool whose long reads give the loop a turn after every record."""
    async with api_pool() as pool:
        pool.dispatcher.records.slices = Slices(seconds=0.0, few=few)
        yield pool


def add_networks(pool, count):
    txn = pool.store.begin()
    for number in range(count):
        txn.create("network", pool.ids.ref(), {"uuid": pool.ids.uuid(), "name_label": f"net-{number}"})
    pool.store.commit(txn)


def state(pool):
    """What clients should see of CLASSES at this moment: (class, reference) -> record, from the store itself."""
    schema, records = pool.dispatcher.schema, pool.dispatcher.records
    render = {cls: pool.codec.record(schema[cls]) for cls in CLASSES}
    return {
        (cls, ref): decoded(render[cls](records.values(version)))
        for cls in CLASSES
        for ref, version in pool.store.all(cls).items()
    }


def decoded(fragment):
    """A fragment as an independent decoder reads it."""
    document = f"<methodResponse><params><param>{fragment.decode()}</param></params></methodResponse>"
    return xmlrpc.client.loads(document)[0][0]


def transact(pool, rng):
    """A transaction of some random writes; references make new versions of their targets too."""
    txn = pool.store.begin()
    gone = set()
    for _ in range(rng.randint(1, 3)):
        kind, networks = rng.random(), [ref for ref in pool.store.all("network") if ref not in gone]
        if kind < 0.2:
            txn.create("network", pool.ids.ref(), {"uuid": pool.ids.uuid()})
        elif kind < 0.4:
            target = rng.choice(networks)
            txn.create("VIF", pool.ids.ref(), {"uuid": pool.ids.uuid(), "network": target})
        elif kind < 0.5:
            victim = rng.choice(networks)
            gone.add(victim)
            txn.delete(victim)
        else:
            txn.update(rng.choice(networks), name_label=f"name-{rng.randint(0, 9)}")
    pool.store.commit(txn)


class Observer:
    """Everything clients could rightly be told: the state of the pool at every revision."""

    def __init__(self, pool):
        self.pool, self.states = pool, {}
        self.note()

    def note(self):
        self.states[self.pool.store.revision] = state(self.pool)

    async def write_while(self, work, rng, turns=60):
        """Random transactions while `work` lasts, but not for ever."""
        for _ in range(turns):
            if work.done():
                return
            await asyncio.sleep(0)
            if rng.random() < 0.5:
                transact(self.pool, rng)
                self.note()

    def records(self, cls):
        """What get_all_records of a class may answer."""
        return [{ref: record for (own, ref), record in s.items() if own == cls} for s in self.states.values()]


def begun(pool, method, *params):
    """A call that has begun, and goes on while others do."""
    reply = pool.send(method, *params)
    assert isinstance(reply, Later)
    return asyncio.ensure_future(answer(reply))


async def answer(reply):
    return value_of(await reply)


async def test_a_small_read_is_answered_while_a_long_one_goes_on():
    async with sliced_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(name_label="small")
        add_networks(pool, 50)
        long = begun(pool, "network.get_all_records", session)
        for _ in range(20):
            await asyncio.sleep(0)
            assert value_of(pool.send("VM.get_name_label", session, vm)) == "small"
        assert not long.done()
        assert len(await long) == 50


async def test_few_missing_records_are_rendered_at_once():
    async with api_pool() as pool:
        session = await pool.login()
        add_networks(pool, FEW - 1)
        assert isinstance(pool.send("network.get_all_records", session), bytes)


async def test_many_records_are_rendered_later_and_answered_at_once_the_next_time():
    async with api_pool() as pool:
        session = await pool.login()
        add_networks(pool, MANY)
        reply = await pool.send("network.get_all_records", session)
        assert value_of(reply) == state_of(pool, "network")
        assert pool.send("network.get_all_records", session) is reply
        assert isinstance(pool.send("network.get_all_records_where", session, "true"), bytes)


async def test_what_was_replaced_meanwhile_is_not_rendered():
    async with api_pool() as pool:
        records, host = pool.dispatcher.records, pool.host
        old = pool.store.get(host)
        pool.add_vm(resident_on=host)  # the old version must not be told with the new list of machines
        new = pool.store.get(host)
        assert len(list(records.missing(pool.codec, [old, new]))) == 1
        assert pool.codec.name not in old.memo
        assert pool.codec.name in new.memo


def state_of(pool, cls):
    return {ref: record for (own, ref), record in state(pool).items() if own == cls}


@pytest.mark.parametrize("seed", range(6))
async def test_all_records_are_of_one_revision(seed):
    rng = random.Random(seed)
    async with sliced_pool() as pool:
        session = await pool.login()
        add_networks(pool, 40)
        observer = Observer(pool)
        for method, params in (("get_all_records", ()), ("get_all_records_where", ('not field "bridge" = "x"',))):
            work = begun(pool, f"network.{method}", session, *params)
            await observer.write_while(work, rng)
            assert await work in observer.records("network")
            txn = pool.store.begin()
            for ref in pool.store.all("network"):
                txn.touch(ref)
            pool.store.commit(txn)
            observer.note()


@pytest.mark.parametrize("seed", range(6))
async def test_a_first_batch_of_events_is_of_the_revision_its_token_says(seed):
    rng = random.Random(seed)
    async with sliced_pool() as pool:
        session = await pool.login()
        add_networks(pool, 40)
        observer = Observer(pool)
        work = begun(pool, "event.from", session, list(CLASSES), "", 0.0)
        await observer.write_while(work, rng)
        batch = await work
        told = {(event["class"].lower(), event["ref"]): event["snapshot"] for event in batch["events"]}
        revision = int(batch["token"].split(",")[0])
        expected = {(cls.lower(), ref): record for (cls, ref), record in observer.states[revision].items()}
        assert told == expected
        for cls in CLASSES:
            assert batch["valid_ref_counts"][cls.lower()] == sum(key[0] == cls.lower() for key in expected)


@pytest.mark.parametrize("seed", range(4))
async def test_many_events_of_a_registered_session_are_of_one_revision_and_none_is_lost(seed):
    rng = random.Random(seed)
    async with sliced_pool() as pool:
        session = await pool.login()
        await pool.call("event.register", session, list(CLASSES))
        cache = {}
        add_networks(pool, 40)
        observer = Observer(pool)
        while len(observer.states) < 20:
            work = begun(pool, "event.next", session)
            await observer.write_while(work, rng, turns=30)
            for event in await work:
                key = ({c.lower(): c for c in CLASSES}[event["class"]], event["ref"])
                if event["operation"] == "del":
                    cache.pop(key, None)
                else:
                    cache[key] = event["snapshot"]
            assert cache in observer.states.values()
            transact(pool, rng)
            observer.note()


async def test_a_session_that_ends_during_a_first_batch_is_told_so():
    async with sliced_pool() as pool:
        session, other = await pool.login(), await pool.login()
        add_networks(pool, 40)
        work = begun(pool, "event.from", session, ["*"], "", 0.0)
        for _ in range(5):
            await asyncio.sleep(0)
        await pool.call("session.logout", session)
        with pytest.raises(Exception, match="SESSION_INVALID"):
            await work
        assert await pool.call("network.get_all", other)


async def test_many_messages_are_answered_in_slices_too():
    async with sliced_pool() as pool:
        session = await pool.login()
        uuid = await pool.call("host.get_uuid", session, pool.host)
        for number in range(15):
            await pool.call("message.create", session, f"m-{number}", "1", "host", uuid, "")
        found = await begun(pool, "message.get_all_records", session)
        assert sorted(record["name"] for record in found.values()) == sorted(f"m-{n}" for n in range(15))


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("network.get_all_records", ()),
        ("event.from", (["*"], "", 0.0)),
        ("event.next", ()),
        ("VM.start", ("vm", False, False)),
    ],
)
async def test_a_reply_nobody_waits_for_leaves_no_warning(method, params):
    async with sliced_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        add_networks(pool, 40)
        given = [vm if param == "vm" else param for param in params]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            reply = pool.send(method, session, *given)
            assert inspect.isawaitable(reply)
            task = asyncio.ensure_future(answer(reply))
            del reply
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gc.collect()
        assert [str(warning.message) for warning in caught] == []
