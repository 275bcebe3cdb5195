"""The pool as the CIM provider sees it: LocalSource over the real store and dispatcher."""

from __future__ import annotations

import pytest
from api_pool import api_pool

from xenapi_core.bridge.local import LocalSource
from xenapi_core.errors import ApiError
from xenapi_core.model.catalog import SCHEMA


def source_of(pool):
    return LocalSource(pool.store, pool.dispatcher, pool.sessions, pool.clock)


async def test_source_reads_what_the_store_has():
    async with api_pool() as pool:
        source, vm = source_of(pool), pool.add_vm(name_label="one")
        vbd = pool.add("VBD", VM=vm)
        version = source.find(vm)
        assert source.schema is SCHEMA
        assert source.revision == pool.store.revision
        assert source.by_uuid("VM", version["uuid"]) is version
        assert source.all("VM")[vm] is version
        assert source.related(vm, "VBDs") == (vbd,)
        assert source.value(version, "VBDs") == (vbd,)
        assert "start" in source.value(version, "allowed_operations")
        assert source.now() == pool.clock.now()
        assert {change.ref for change in source.changes(source.revision - 1)} == {vm, vbd}


async def test_wait_ends_with_the_next_commit_or_the_timeout():
    async with api_pool() as pool:
        source = source_of(pool)
        assert await source.wait(source.revision - 1, 0.0)
        assert not await source.wait(source.revision, 0.0)


async def test_calls_are_made_in_the_name_of_the_principal():
    async with api_pool() as pool:
        source, vm = source_of(pool), pool.add_vm()
        admin = await source.authenticate("root", "secret", "wbem")
        assert await source.call(admin, "VM.get_record", vm) is pool.store.get(vm)
        assert await source.call(admin, "VM.set_name_label", vm, "new") is None
        assert pool.store.get(vm)["name_label"] == "new"
        task = await source.call(admin, "Async.VM.set_memory", vm, 1 << 30)
        await pool.clock.settle()
        assert pool.store.get(task)["status"] == "success"
        reader = await source.authenticate("read-only", "read-only word", "wbem")
        with pytest.raises(ApiError, match="RBAC_PERMISSION_DENIED"):
            await source.call(reader, "VM.set_name_label", vm, "newer")


async def test_call_that_cannot_be_made_raises_what_the_wire_would_tell():
    async with api_pool() as pool:
        source = source_of(pool)
        admin = await source.authenticate("root", "secret", "wbem")
        for method, args, code in (
            ("VM.fly", (), "MESSAGE_METHOD_UNKNOWN"),
            ("VM.get_record", (), "MESSAGE_PARAMETER_COUNT_MISMATCH"),
            ("VM.get_record", ("OpaqueRef:x",), "HANDLE_INVALID"),
            ("VM.snapshot_with_quiesce", ("a", "b"), "MESSAGE_REMOVED"),
            ("VM.query_services", (pool.add_vm(),), "NOT_IMPLEMENTED"),
        ):
            with pytest.raises(ApiError) as caught:
                await source.call(admin, method, *args)
            assert caught.value.code == code


async def test_wrong_credentials_make_no_principal():
    async with api_pool() as pool:
        source = source_of(pool)
        assert await source.authenticate("root", "wrong", "wbem") is None
        assert source.known("root", "secret") is None
        principal = await source.authenticate("root", "secret", "wbem")
        assert source.known("root", "secret") == principal
        await pool.call("session.logout", principal.session)
        assert source.known("root", "secret") is None
        with pytest.raises(ApiError, match="SESSION_INVALID"):
            await source.call(principal, "VM.get_all")
