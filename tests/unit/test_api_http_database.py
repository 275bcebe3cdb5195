"""The database over HTTP: GET /pool/xmldbdump, and the session that reads such a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from action_server import action_server
from sim_api import ask, refused
from wire_calls import Refused, called, login

from xenapi_core.api.auth import Identity
from xenapi_core.api.database_reader import DatabaseReader
from xenapi_core.engine.caller import Caller
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import READ_ONLY
from xenapi_core.store.dump import decode_file

DUMP = "/pool/xmldbdump"
SUPERUSER = Caller("", "root", frozenset(), local_root=True)


async def test_an_administrator_fetches_the_whole_database() -> None:
    async with action_server() as site:
        vm = site.pool.add_vm("shop")
        secret = await site.call("secret.create", {"value": "hidden", "other_config": {}})
        reply = await site.root("GET", DUMP)
        assert reply.status == 200
        database = decode_file(SCHEMA, reply.body)
        assert database.pool == site.pool.store.get(site.pool.pool)["uuid"]
        assert database.store.get(vm)["name_label"] == "shop"
        assert database.store.get(secret)["value"] == "hidden"
        operator = await site.login("pool-operator")
        assert (await site.ask("GET", DUMP, Cookie=f"session_id={operator}")).status == 403
        assert (await site.ask("GET", DUMP)).status == 401


async def test_a_session_on_a_file_reads_it_and_fetches_nothing(tmp_path: Path) -> None:
    async with action_server() as site:
        pool, path = site.pool, tmp_path / "database"
        vm = pool.add_vm("shop")
        uuid = pool.vm(vm)["uuid"]
        data = (await site.root("GET", DUMP)).body
        await asyncio.to_thread(path.write_bytes, data)
        await site.call("VM.destroy", vm)
        copy = await ask(pool, "session.create_from_db_file", str(path), caller=SUPERUSER)
        assert await called(pool, "VM.get_name_label", copy, vm) == "shop"
        await called(pool, "VM.recover", copy, vm, await login(pool), False)
        assert pool.store.by_uuid("VM", uuid) is not None
        with pytest.raises(Refused) as failure:
            await called(pool, "session.create_from_db_file", copy, str(path))
        assert failure.value.description[0] == "RBAC_PERMISSION_DENIED"


async def test_an_action_takes_no_session_on_a_copy() -> None:
    async with action_server() as site:
        somebody, path = Identity("root", frozenset({READ_ONLY})), "/host_rrd"
        ordinary = site.sessions.open(somebody)
        copy = site.sessions.open(somebody, database=DatabaseReader(SCHEMA, site.pool.store))
        assert (await site.ask("GET", path, Cookie=f"session_id={ordinary}")).status == 200
        assert (await site.ask("GET", path, Cookie=f"session_id={copy}")).status == 401


@pytest.mark.parametrize("content", [b"", b"<database/>", None])
async def test_what_is_no_database_gives_no_session(tmp_path: Path, content: bytes | None) -> None:
    async with action_server() as site:
        path = tmp_path / "database"
        if content is not None:
            await asyncio.to_thread(path.write_bytes, content)
        error = await refused(site.pool, "session.create_from_db_file", str(path), caller=SUPERUSER)
        assert error[0] == "COULD_NOT_IMPORT_DATABASE"
        error = await refused(site.pool, "session.create_from_db_file", "a\0b", caller=SUPERUSER)
        assert error[0] == "COULD_NOT_IMPORT_DATABASE"
