"""Whoever follows event.from knows the store exactly: random transactions, random pollers with tokens of any age."""

from __future__ import annotations

import asyncio
import random
import xmlrpc.client

import pytest
from api_pool import api_pool

CLASSES = ("VM", "VBD", "VIF", "network")


def records_now(pool):
    """What a client should believe: lower-case class and reference -> record, from the store itself."""
    return {
        (cls.lower(), ref): value
        for cls in CLASSES
        for ref, value in (
            (ref, pool.codec.record(pool.dispatcher.schema[cls])(pool.dispatcher.records.values(version)))
            for ref, version in pool.store.all(cls).items()
        )
    }


def transact(pool, rng):
    """One transaction of some random writes."""
    txn = pool.store.begin()
    alive = [(cls, ref) for cls in CLASSES for ref in pool.store.all(cls)]
    gone = set()
    for _ in range(rng.randint(1, 4)):
        kind = rng.random()
        living = [(cls, ref) for cls, ref in alive if ref not in gone]
        if kind < 0.4 or not living:
            cls = rng.choice(CLASSES)
            values = {"uuid": pool.ids.uuid()}
            targets = [ref for target, ref in living if target == "VM"]
            if cls in ("VBD", "VIF") and targets:
                values["VM"] = rng.choice(targets)
            txn.create(cls, pool.ids.ref(), values)
        elif kind < 0.55:
            _, ref = rng.choice(living)
            gone.add(ref)
            txn.delete(ref)
        elif kind < 0.65:
            txn.touch(rng.choice(living)[1])
        else:
            _, ref = rng.choice(living)
            txn.update(ref, other_config={"n": str(rng.randint(0, 3))})
    pool.store.commit(txn)


class Follower:
    """A client with a cache, fed by event.from alone."""

    def __init__(self, pool, session):
        self.pool, self.session, self.token = pool, session, ""
        self.cache = {}
        self.history = []  # tokens, each with the cache as it was then

    async def poll(self, timeout=0.0):
        batch = await self.pool.call("event.from", self.session, list(CLASSES), self.token, timeout)
        assert len({(e["class"], e["ref"]) for e in batch["events"]}) == len(batch["events"])
        for event in batch["events"]:
            key = (event["class"], event["ref"])
            if event["operation"] == "del":
                assert key in self.cache, "a deletion of what was never told"
                del self.cache[key]
            else:
                assert (key in self.cache) == (event["operation"] == "mod")
                self.cache[key] = event["snapshot"]
        self.token = batch["token"]
        self.history.append((self.token, dict(self.cache)))
        counts = batch["valid_ref_counts"]
        for cls in CLASSES:
            assert counts[cls.lower()] == sum(key[0] == cls.lower() for key in self.cache)

    def rewind(self, rng):
        """Go on from an older token, as a client that was away would."""
        self.token, known = rng.choice(self.history)
        self.cache = dict(known)


def decoded(fragments):
    """Records as an independent decoder reads them."""

    def one(fragment):
        document = f"<methodResponse><params><param>{fragment.decode()}</param></params></methodResponse>"
        return xmlrpc.client.loads(document)[0][0]

    return {key: one(fragment) for key, fragment in fragments.items()}


@pytest.mark.parametrize("seed", range(8))
async def test_followers_reconstruct_the_store_exactly(seed):
    rng = random.Random(seed)
    async with api_pool() as pool:
        session = await pool.login()
        followers = [Follower(pool, session) for _ in range(3)]
        for _ in range(40):
            for _ in range(rng.randint(0, 3)):
                transact(pool, rng)
            follower = rng.choice(followers)
            await follower.poll()
            assert follower.cache == decoded(records_now(pool))
            if rng.random() < 0.3:
                follower.rewind(rng)


@pytest.mark.parametrize("seed", range(4))
async def test_waiting_followers_lose_nothing_while_others_write(seed):
    rng = random.Random(seed)
    async with api_pool() as pool:
        session = await pool.login()
        followers = [Follower(pool, session) for _ in range(3)]
        done = asyncio.Event()

        async def follow(follower):
            while not done.is_set():
                await follower.poll(timeout=60.0)

        tasks = [asyncio.ensure_future(follow(follower)) for follower in followers]
        for _ in range(60):
            transact(pool, rng)
            for _ in range(rng.randint(0, 4)):
                await asyncio.sleep(0)
        done.set()
        pool.add("network")  # wakes whoever still waits
        await asyncio.gather(*tasks)
        for follower in followers:
            await follower.poll()
            assert follower.cache == decoded(records_now(pool))
