"""The store with the real data model: every class can be kept, and survives a restart as it was."""

from __future__ import annotations

from pathlib import Path

from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.database import Database
from xenapi_core.store.journal import open_store


async def test_an_object_of_every_class_survives_a_restart(tmp_path: Path) -> None:
    store = await open_store(tmp_path, SCHEMA)
    txn = store.begin()
    for cls in SCHEMA.classes.values():
        if cls.has_records:
            txn.create(cls.name, f"OpaqueRef:{cls.name}", {"uuid": f"uuid of {cls.name}"})
    store.commit(txn)
    before = {ref: store.get(ref).values for ref in map("OpaqueRef:{}".format, SCHEMA.classes) if store.find(ref)}
    await store.close()

    again = await open_store(tmp_path, SCHEMA)
    kept = {ref: values for ref, values in before.items() if SCHEMA[ref.removeprefix("OpaqueRef:")].persist}
    assert kept
    assert {version.ref: version.values for name in SCHEMA.classes for version in again.all(name).values()} == kept
    await again.close()


def test_the_disk_is_told_to_survive_a_loss_of_power(tmp_path: Path) -> None:
    database = Database(tmp_path)
    try:
        full = 2
        assert database._connection.execute("PRAGMA synchronous").fetchone() == (full,)
        assert database._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        database.close()
