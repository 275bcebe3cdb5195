"""Every message that the Xen-API implies for a class works on every class: a walk over a pool that has them all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from api_pool import ApiPool, api_pool

from xenapi_core.api.registry import HANDLERS
from xenapi_core.clock import VirtualClock
from xenapi_core.config import Inventory
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import REFERENCE, SCHEMA
from xenapi_core.model.schema import Class, Field, Method
from xenapi_core.model.types import (
    BoolType,
    DateTimeType,
    EnumType,
    FloatType,
    IntType,
    MapType,
    RefType,
    SetType,
    Type,
)
from xenapi_core.server.demo import populate
from xenapi_core.store.memory import MemoryStore

KEPT = tuple(cls.name for cls in SCHEMA.classes.values() if cls.in_database)
# Sessions and tasks come with the calls of the walk itself.
LIVING = ("session", "task")


def furnished() -> MemoryStore:
    """The demo's pool, and one record of every class that the demo has none of."""
    store, ids, clock = MemoryStore(SCHEMA), Ids("walk"), VirtualClock()
    populate(store, Inventory(hosts=1, vms=4), ids, clock)
    txn = store.begin()
    for cls in KEPT:
        if cls not in LIVING and not store.all(cls):
            label = {"name_label": f"the {cls}"} if "name_label" in SCHEMA[cls].by_name else {}
            txn.create(cls, ids.ref(), {"uuid": ids.uuid(), **label})
    store.commit(txn)
    return store


def another(type_: Type, old: Any) -> Any:
    """A value of the type that differs from `old`, as a client would send it, where the type has two."""
    if isinstance(type_, BoolType):
        return not old
    if isinstance(type_, IntType | DateTimeType):
        return old + 3
    if isinstance(type_, FloatType):
        return old + 0.5
    if isinstance(type_, EnumType):
        return next((value for value in type_.values if value != old), old)
    if isinstance(type_, RefType):
        return "OpaqueRef:NULL"
    if isinstance(type_, SetType):
        return [another(type_.item, type_.item.empty)]
    if isinstance(type_, MapType):
        return {another(type_.key, type_.key.empty): another(type_.value, type_.value.empty)}
    return f"{old}+"


def implied(cls: Class) -> Iterator[Method]:
    """The implied messages that need no behaviour of their own: create and destroy do."""
    for message in (m for m in SCHEMA.methods.values() if m.cls.name == cls.name and m.message.derived):
        if message.message.derived not in ("create", "destroy"):
            yield message


class Walk:
    """Calls messages of one class on one object, and knows which it has called."""

    def __init__(self, pool: ApiPool, session: str, cls: Class, ref: str) -> None:
        self.pool, self.session, self.cls, self.ref = pool, session, cls, ref
        self.called: set[str] = set()

    async def call(self, name: str, *args: Any) -> Any:
        self.called.add(f"{self.cls.name}.{name}")
        return await self.pool.call(f"{self.cls.name}.{name}", self.session, *args)

    def stored(self, field: str) -> Any:
        return self.pool.store.get(self.ref).values[field]

    async def queries(self) -> dict[str, Any]:
        """Everything that finds records; gives the record."""
        record = await self.call("get_record", self.ref)
        assert set(record) == {f.name for f in self.cls.fields if not f.internal}
        assert await self.call("get_by_uuid", record["uuid"]) == self.ref
        if self.cls.get_all:
            wanted = f'field "uuid" = "{record["uuid"]}"'
            assert self.ref in await self.call("get_all")
            assert (await self.call("get_all_records"))[self.ref] == record
            assert await self.call("get_all_where", wanted) == [self.ref]
            assert await self.call("get_all_records_where", wanted) == {self.ref: record}
        if f"{self.cls.name}.get_by_name_label" in SCHEMA.methods:
            assert self.ref in await self.call("get_by_name_label", record["name_label"])
        return record

    async def getters(self, record: dict[str, Any]) -> None:
        for field in self.cls.fields:
            if not field.internal and field.state != "removed":
                value = await self.call(f"get_{field.name}", self.ref)
                assert value == record.get(field.name, value), field.name

    async def setters(self) -> None:
        for field in self.cls.fields:
            method = SCHEMA.methods.get(f"{self.cls.name}.set_{field.name}")
            if method is None or method.message.derived != "set" or field.state == "removed":
                continue
            if method.wire_name in HANDLERS:  # has rules of its own, and tests of its own
                self.called |= {method.wire_name}
                continue
            await self.set(field)
            if isinstance(field.type, MapType):
                await self.keys(field, field.type)
            elif isinstance(field.type, SetType):
                await self.members(field, field.type)

    async def set(self, field: Field) -> None:
        value = another(field.type, self.stored(field.name))
        await self.call(f"set_{field.name}", self.ref, value)
        assert self.stored(field.name) == field.type.accept(value), field.name

    async def keys(self, field: Field, type_: MapType) -> None:
        await self.call(f"set_{field.name}", self.ref, {})
        ((key, value),) = another(type_, {}).items()
        await self.call(f"add_to_{field.name}", self.ref, key, value)
        assert self.stored(field.name) == {key: value}
        again = await self.pool.refusal(f"{self.cls.name}.add_to_{field.name}", self.session, self.ref, key, value)
        assert again == ["MAP_DUPLICATE_KEY", self.cls.name, field.name, self.ref, key]
        await self.call(f"remove_from_{field.name}", self.ref, key)
        assert self.stored(field.name) == {}

    async def members(self, field: Field, type_: SetType) -> None:
        await self.call(f"set_{field.name}", self.ref, [])
        value = another(type_.item, type_.item.empty)
        await self.call(f"add_{field.name}", self.ref, value)
        assert self.stored(field.name) == (value,)
        await self.call(f"remove_{field.name}", self.ref, value)
        assert self.stored(field.name) == ()


async def walked(pool: ApiPool, cls: Class) -> set[str]:
    """Walk over one object of `cls`; the names of the messages that answered."""
    session = await pool.login()
    if cls.name == "task":
        pool.add("task", name_label="work", status="success", session=session)
    ref = session if cls.name == "session" else next(iter(pool.store.all(cls.name)))
    walk = Walk(pool, session, cls, ref)
    # A class may be removed while some of its fields are not.
    await walk.getters(await walk.queries() if cls.state != "removed" else {"uuid": walk.stored("uuid")})
    await walk.setters()
    for method in implied(cls):
        if method.message.state == "removed":
            some = ("x",) * len(method.params)
            assert await pool.refusal(method.wire_name, session, *some) == ["MESSAGE_REMOVED"]
            walk.called.add(method.wire_name)
    return walk.called


@pytest.fixture(scope="module")
def lived_in() -> Iterator[tuple[asyncio.Runner, ApiPool]]:
    """One pool and its loop for all classes: the walk changes one object of each."""
    with asyncio.Runner() as runner:
        opening = api_pool(furnished())
        yield runner, runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize("name", KEPT)
def test_every_implied_message_of_a_class_answers_what_the_records_say(
    name: str, lived_in: tuple[asyncio.Runner, ApiPool]
) -> None:
    runner, pool = lived_in
    called = runner.run(walked(pool, SCHEMA[name]))
    expected = {method.wire_name for method in implied(SCHEMA[name])}
    assert expected - called <= HANDLERS.keys()


def test_the_walk_covers_all_implied_messages_of_the_reference() -> None:
    names = {cls.name for cls in REFERENCE}
    later = [m for m in SCHEMA.methods.values() if m.cls.name in names and m.message.derived]
    assert len(later) == 1_580


def test_records_of_the_demo_name_the_roles_and_the_storage_back_ends() -> None:
    store = furnished()
    roles = {role["name_label"]: role for role in store.all("role").values()}
    assert roles["pool-admin"]["uuid"] == "0165f154-ba3e-034e-6b27-5d271af109ba"  # the default of subject.roles
    assert {store.get(ref)["name_label"] for ref in roles["vm-admin"]["subroles"]} == {"vm-operator"}
    assert roles["read-only"]["subroles"] == ()
    assert {sr["type"] for sr in store.all("SR").values()} <= {sm["type"] for sm in store.all("SM").values()}


async def test_a_role_consists_of_the_messages_it_may_call() -> None:
    async with api_pool(furnished()) as pool:
        session = await pool.login()
        (operator,) = await pool.call("role.get_by_name_label", session, "vm-operator")
        names = await pool.call("role.get_permissions_name_label", session, operator)
        assert "vm.start" in names
        assert "vm.destroy" not in names
        holders = await pool.call("role.get_by_permission_name_label", session, "vm.start")
        assert operator in holders
        assert await pool.call("role.get_by_permission_name_label", session, "vm.fly") == []
        subject = pool.add("subject", subject_identifier="S-1-5-21", roles=(operator,))
        assert await pool.call("subject.get_permissions_name_label", session, subject) == names
