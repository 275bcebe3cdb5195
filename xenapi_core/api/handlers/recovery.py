"""Recovering VMs: opening a copy of a database, and the VMs and appliances in it.

Rule 1: the messages to VMs and appliances are called in a session on a copy (api/database_reader.py), whose store is
        then call.store; in an ordinary session it is this pool's own. `session_to` is a session of the pool the VMs go
        to, which is this one; its role counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from xenapi_core.api.database_reader import DatabaseReader
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.api.roles import may, refusal
from xenapi_core.drivers.storage import Storage
from xenapi_core.engine.plan import Plan, Run, World
from xenapi_core.engine.plans.database_copy import METADATA, copies, this_pool
from xenapi_core.engine.plans.vm_recover import check_alone, check_repositories, plan_recover, required_repositories
from xenapi_core.engine.steps.database_disk import read_copy
from xenapi_core.engine.steps.vdi_transfer import plan_read
from xenapi_core.errors import E
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, roles_above
from xenapi_core.store.api import Store, Version
from xenapi_core.store.dump import HEAD, LARGEST, Database, DumpError, decode_file

OPERATORS: Final = roles_above(POOL_OPERATOR)
ORIGINATOR: Final = "disaster recovery"
_opened: Final[WeakValueDictionary[bytes, DatabaseReader]] = WeakValueDictionary()  # nothing writes to them
WITHIN: Final = 60.0  # seconds of real time that a file may take


# Copies.


def _open(call: CallContext, database: Database) -> str:
    """A read-only session on a copy, of the user who opened it. Sessions on the same contents share them."""
    reader = _opened.get(database.digest) or DatabaseReader(call.services.schema, database.store)
    _opened[database.digest] = reader
    sessions = call.services.sessions
    identity = replace(sessions.identity(call.caller), roles=frozenset({READ_ONLY}), superuser=False)
    return sessions.open(identity, originator=ORIGINATOR, address=call.address, database=reader)


async def _read_database(call: CallContext, ref: str) -> Database:
    """VDI_INCOMPATIBLE_TYPE [vdi, type]; COULD_NOT_IMPORT_DATABASE; what forbids reading a disk."""
    kind = call.get(ref, "VDI")["type"]
    if kind != METADATA:
        raise E.VDI_INCOMPATIBLE_TYPE(ref, kind)
    found: list[Database] = []

    async def use(run: Run, storage: Storage, record: Version) -> None:
        found.append(await read_copy(run.world.schema, storage, record["uuid"], record["virtual_size"]))

    engine = call.services.engine
    await engine.see_through(engine.work(call.wire_name), lambda world: plan_read(world, ref, use))
    return found[0]


@handles("VDI.open_database")
async def open_database(call: CallContext, ref: str) -> str:
    """A session on the copy. VDI_CONTAINS_METADATA_OF_THIS_POOL while this pool writes to the disk."""
    if any(vdi.ref == ref for vdi in copies(call.store)):
        raise E.VDI_CONTAINS_METADATA_OF_THIS_POOL(ref, this_pool(call.store).ref)
    return _open(call, await _read_database(call, ref))


@handles("VDI.read_database_pool_uuid")
async def read_database_pool_uuid(call: CallContext, ref: str) -> str:
    return (await _read_database(call, ref)).pool


@handles("session.create_from_db_file")
async def create_from_db_file(call: CallContext, filename: str) -> str:
    """A session on a database in a file of the server, as /pool/xmldbdump gives it. COULD_NOT_IMPORT_DATABASE."""
    path = Path(filename)
    try:
        _check_file(path)
        async with asyncio.timeout(WITHIN):
            return _open(call, await asyncio.to_thread(_from_file, call, path))
    except TimeoutError:
        raise E.COULD_NOT_IMPORT_DATABASE("The file could not be read in time.") from None
    except OSError as error:
        raise E.COULD_NOT_IMPORT_DATABASE(str(error.strerror)) from error
    except (DumpError, ValueError) as error:  # ValueError: a name that no file can have
        raise E.COULD_NOT_IMPORT_DATABASE(str(error)) from error


def _check_file(path: Path) -> None:
    """DumpError, OSError, ValueError for what need not be read."""
    if not path.is_file():
        raise DumpError("There is no such file.")
    if path.stat().st_size > HEAD + LARGEST:
        raise DumpError("It is too large.")


def _from_file(call: CallContext, path: Path) -> Database:
    return decode_file(call.services.schema, path.read_bytes())


# VMs and appliances.


def _target(call: CallContext, session_to: str) -> World:
    """The pool the VMs go to. SESSION_INVALID; RBAC_PERMISSION_DENIED unless that session may operate the pool."""
    there = call.services.sessions.check(session_to)
    if not may(there, OPERATORS):
        raise refusal(call.wire_name, OPERATORS)
    return call.services.engine.world


async def _recover(call: CallContext, session_to: str, vms: tuple[str, ...], force: bool, appliance: str = "") -> None:
    _target(call, session_to)
    decide = partial(_plan, call.store, vms, force, appliance)
    engine = call.services.engine
    await engine.see_through(engine.work(call.wire_name), decide)


def _plan(source: Store, vms: tuple[str, ...], force: bool, appliance: str, world: World) -> Plan:
    return plan_recover(world, source, vms, force, appliance)


@handles("VM.assert_can_be_recovered")
def assert_vm(call: CallContext, ref: str, session_to: str) -> None:
    """VM_IS_PART_OF_AN_APPLIANCE, VM_REQUIRES_SR."""
    check_alone(call.store, ref)
    check_repositories(_target(call, session_to), call.store, ref)


@handles("VM.recover")
async def recover_vm(call: CallContext, ref: str, session_to: str, force: bool) -> None:
    """VM_IS_PART_OF_AN_APPLIANCE; what plan_recover says."""
    check_alone(call.store, ref)
    await _recover(call, session_to, (ref,), force)


@handles("VM.get_SRs_required_for_recovery")
def required_by_vm(call: CallContext, ref: str, session_to: str) -> tuple[str, ...]:
    """Where the disks of the VM are, by references of the database it is in."""
    return required_repositories(call.store, ref)


@handles("VM_appliance.assert_can_be_recovered")
def assert_appliance(call: CallContext, ref: str, session_to: str) -> None:
    """VM_REQUIRES_SR."""
    world = _target(call, session_to)
    for vm in call.store.related(ref, "VMs"):
        check_repositories(world, call.store, vm)


@handles("VM_appliance.recover")
async def recover_appliance(call: CallContext, ref: str, session_to: str, force: bool) -> None:
    """All its VMs or none; what plan_recover says. OPERATION_NOT_ALLOWED for an appliance without VMs."""
    vms = call.store.related(ref, "VMs")
    if not vms:
        raise E.OPERATION_NOT_ALLOWED("The appliance has no VMs.")
    await _recover(call, session_to, vms, force, ref)


@handles("VM_appliance.get_SRs_required_for_recovery")
def required_by_appliance(call: CallContext, ref: str, session_to: str) -> tuple[str, ...]:
    """Where the disks of its VMs are."""
    found = (required_repositories(call.store, vm) for vm in call.store.related(ref, "VMs"))
    return tuple(dict.fromkeys(sr for srs in found for sr in srs))
