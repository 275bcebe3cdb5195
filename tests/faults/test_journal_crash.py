"""kill -9 at any moment loses nothing that was acknowledged, tears no transaction, and repeats no revision."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_child import COUNTER, SCHEMA, World, transaction

from xenapi_core.errors import ApiError
from xenapi_core.store.journal import open_store
from xenapi_core.store.memory import MemoryStore

CHILD = Path(__file__).with_name("journal_child.py")
ROOT = Path(__file__).parents[2]


def run_child(directory: Path, seed: str, *limit: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(directory), seed, *limit],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def whole_lines(child: subprocess.Popen[str]) -> Iterator[list[str]]:
    """What the child said; a line that was cut off by its death was not said."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith("\n"):
            yield line.split()


def world_after(seed: str, last: int) -> World:
    world: World = {}
    for n in range(1, last + 1):
        world = transaction(world, seed, n)
    return world


def check_world(store: MemoryStore, expected: World) -> None:
    """The store holds exactly `expected`, its relations included, and nothing that is not journalled."""
    found = {ref: (cls, dict(v.values)) for cls in SCHEMA.classes for ref, v in store.all(cls).items()}
    assert found == expected
    for ref, (cls, _) in expected.items():
        if cls == "VM":
            pointing = [vbd for vbd, (_, values) in expected.items() if values.get("VM") == ref]
            assert sorted(store.related(ref, "VBDs")) == sorted(pointing)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    seed = "a history"
    rnd = random.Random()
    acknowledged = shown = 0
    for patience in (0, 1, rnd.randint(2, 30), rnd.randint(2, 60), rnd.randint(20, 200), rnd.randint(20, 200), 3, 400):
        child = run_child(tmp_path, seed)
        seen_by_then = 0
        for heard, words in enumerate(whole_lines(child)):
            if heard == patience:
                child.kill()  # and read on: what it said before it died counts
            if words[0] == "open":
                assert int(words[1]) >= acknowledged
            elif words[0] == "seen":
                assert int(words[2]) > shown, "a revision was used twice"
                seen_by_then, shown = int(words[1]), int(words[2])
            elif words[0] == "done":
                acknowledged = int(words[1])
        assert child.wait() == -9
        assert child.stdout is not None
        child.stdout.close()
        acknowledged = asyncio.run(check_after_crash(tmp_path, seed, acknowledged, seen_by_then, shown))
    assert acknowledged > 0


async def check_after_crash(directory: Path, seed: str, acknowledged: int, seen: int, shown: int) -> int:
    """Open what a dead process left; returns the last transaction that survived."""
    store = await open_store(directory, SCHEMA)
    counter = store.find(COUNTER)
    survived = 0 if counter is None else counter["n"]
    # The child may have committed more than it could still say.
    assert acknowledged <= survived <= max(seen, acknowledged) + 8
    check_world(store, world_after(seed, survived))
    assert store.revision > shown
    if shown:
        with pytest.raises(ApiError, match="EVENTS_LOST"):
            store.changes(shown)
    await store.close()
    return survived


def test_a_full_disk_makes_the_store_read_only_and_loses_nothing(tmp_path: Path) -> None:
    seed = "a full disk"
    child = run_child(tmp_path, seed, "150000")
    acknowledged = 0
    sentence = ""
    for words in whole_lines(child):
        if words[0] == "done":
            acknowledged = int(words[1])
        elif words[0] == "full":
            sentence = " ".join(words[1:])
    assert child.wait() == 0
    assert child.stdout is not None
    child.stdout.close()
    assert sentence.startswith("The store is read-only since its journal failed:")
    assert acknowledged > 0
    asyncio.run(check_after_crash(tmp_path, seed, acknowledged, acknowledged, 0))
