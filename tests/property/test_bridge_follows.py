"""A bridge's replica follows whatever happens in a real pool: the pool itself is the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import ServerProcess, start_server, until_done

from xenapi_core.bridge.pool_client import PoolClient, record
from xenapi_core.bridge.remote import RemoteSource
from xenapi_core.bridge.replica import mirror_schema
from xenapi_core.clock import RealClock
from xenapi_core.errors import ApiError
from xenapi_core.model.catalog import SCHEMA

MIRROR = mirror_schema(SCHEMA)
COMPARED = ("VM", "VBD", "VIF", "VDI", "SR", "network", "host", "VM_metrics", "VM_guest_metrics", "task")
STEPS = 40


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from until_done(start_server(tmp_path_factory.mktemp("pool"), "--speed", "100"))


async def something_happens(source: RemoteSource, me: Any, chance: random.Random) -> None:
    """One random call; a refusal is an outcome like others."""
    vm = chance.choice([ref for ref, v in source.all("VM").items() if not v["is_control_domain"]])
    network = chance.choice(list(source.all("network")))
    calls: list[tuple[Any, ...]] = [
        ("Async.VM.clone", vm, "a clone"),
        ("Async.VM.snapshot", vm, "a snapshot", ()),
        ("Async.VM.destroy", vm),
        ("Async.VM.hard_shutdown", vm),
        ("Async.VM.start", vm, False, False),
        ("VM.set_name_label", vm, f"name {chance.random()}"),
        ("VM.add_tags", vm, chance.choice("abc")),
        ("network.create", {"name_label": "new", "MTU": 1500, "other_config": {}}),
        ("network.destroy", network),
        ("VIF.create", {"VM": vm, "network": network, "device": "7", "MAC": "", "MTU": 1500, "other_config": {}}),
    ]
    with contextlib.suppress(ApiError):
        await source.call(me, *chance.choice(calls))


@pytest.mark.parametrize("seed", range(3))
async def test_after_random_calls_the_replica_is_what_the_pool_says(pool: ServerProcess, seed: int) -> None:
    client = PoolClient(pool.ready["xenapi"], MIRROR)
    source = RemoteSource(client, MIRROR, RealClock(), pool.user, pool.password)
    try:
        await source.start()
        me = await source.authenticate(pool.user, pool.password, "test")
        assert me is not None
        chance = random.Random(seed)
        for _ in range(STEPS):
            await something_happens(source, me, chance)
        async with asyncio.timeout(60):
            while any(task["status"] == "pending" for task in source.all("task").values()):
                await source.wait(source.revision, 1.0)
        for cls in COMPARED:
            for _ in range(10):  # guests go on booting: what is compared may be a moment apart
                there = await client.raw(me.session, f"{cls}.get_all_records", [])
                await source.call(me, "event.inject", "pool", next(iter(source.all("pool"))))
                expected = {ref: record(MIRROR[cls], values, MIRROR) for ref, values in there.items()}
                found = {ref: dict(version.values) for ref, version in source.all(cls).items()}
                if found == expected:
                    break
            assert found == expected, f"{cls} still differs"
    finally:
        await source.close()
