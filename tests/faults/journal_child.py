"""A process that writes to a journalled store until it is killed, and says what was acknowledged.

Run as `python journal_child.py DIRECTORY SEED`. Its output, one line each: `open N` (the last transaction found on
disk), `seen N REVISION` (transaction N is visible under REVISION), `done N` (everything up to N is durable).
With a third argument, a limit in bytes for every file: the disk becomes full; then `full SENTENCE`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import signal
import sys
from typing import Any

from xenapi_core.model.schema import RO, RW, Class, Field, Schema
from xenapi_core.model.types import INT, STRING, Ref, Set
from xenapi_core.store.failure import ReadOnlyError
from xenapi_core.store.journal import open_store
from xenapi_core.store.memory import MemoryStore

UUID = Field("uuid", STRING, RO, "", default="")
N = Field("n", INT, RW, "", default=0)
SCHEMA = Schema(
    Class("Counter", "", (UUID, N)),
    Class("VM", "", (UUID, N, Field("VBDs", Set(Ref("VBD")), RO, "", inverse="VBD.VM"))),
    Class("VBD", "", (UUID, N, Field("VM", Ref("VM"), RO, "", default=""))),
    Class("task", "", (UUID, N), persist=False),
)  # fmt: skip
SLOTS = 12
COUNTER = "OpaqueRef:counter"

World = dict[str, tuple[str, dict[str, Any]]]  # reference -> class, values


def transaction(world: World, seed: str, n: int) -> World:
    """The persistent world after transaction `n` of the history `seed`, given the world before it.

    Every transaction changes several objects, so that half of one would be noticed.
    """
    rnd = random.Random(f"{seed}/{n}")
    after = dict(world)
    after[COUNTER] = ("Counter", {"uuid": "counter", "n": n})
    for slot in rnd.sample(range(SLOTS), rnd.randint(2, 6)):
        alive = [ref for ref in after if ref.split("/")[0] == f"OpaqueRef:{slot}"]
        if alive and rnd.random() < 0.3:
            del after[alive[0]]
        elif alive:
            cls, values = after[alive[0]]
            after[alive[0]] = (cls, {**values, "n": n})
        elif slot % 2:
            vms = sorted(ref for ref, (cls, _) in after.items() if cls == "VM")
            after[f"OpaqueRef:{slot}/{n}"] = (
                "VBD", {"uuid": f"{slot}/{n}", "n": n, "VM": rnd.choice(vms) if vms else "OpaqueRef:NULL"},
            )  # fmt: skip
        else:
            after[f"OpaqueRef:{slot}/{n}"] = ("VM", {"uuid": f"{slot}/{n}", "n": n})
    return after


def apply(store: MemoryStore, before: World, after: World, n: int) -> int:
    """One commit that turns `before` into `after`, and leaves a task that does not survive."""
    txn = store.begin()
    for ref in before.keys() - after.keys():
        txn.delete(ref)
    for ref, (cls, values) in after.items():
        if ref not in before:
            txn.create(cls, ref, values)
        else:
            txn.update(ref, **values)
    txn.create("task", f"OpaqueRef:task/{n}/{store.revision}", {"uuid": f"task {n}"})
    return store.commit(txn)


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def main(directory: str, seed: str, limit: int | None) -> None:
    store = await open_store(directory, SCHEMA)
    counter = store.find(COUNTER)
    n = 0 if counter is None else counter["n"]
    world: World = {}
    for earlier in range(1, n + 1):
        world = transaction(world, seed, earlier)
    say("open", n)
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    rnd = random.Random()
    while True:
        try:
            revision = store.revision
            for _ in range(rnd.randint(1, 8)):
                after = transaction(world, seed, n + 1)
                revision = apply(store, world, after, n + 1)
                world, n = after, n + 1
                say("seen", n, revision)
            await store.durable(revision)
        except ReadOnlyError as error:
            say("full", error)
            return
        say("done", n)


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None))
