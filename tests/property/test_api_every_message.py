"""Every message that has behaviour, asked with arguments of the right types from a live pool: it succeeds, or it says
why not in the API's own words. INTERNAL_ERROR with a log id is our bug, whatever was asked."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import xmlrpc.client
from typing import Any

import pytest
from api_pool import ACCOUNTS, TCP, UNIX, Refused, value_of

from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.coverage import DERIVED, IMPLEMENTED, status
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.sessions import Sessions
from xenapi_core.clock import VirtualClock
from xenapi_core.config import Inventory
from xenapi_core.drivers.sim.world import SimWorld
from xenapi_core.engine.engine import Engine
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import Class, Method
from xenapi_core.model.types import (
    BOOL,
    DATETIME,
    FLOAT,
    INT,
    EnumType,
    MapType,
    OptionType,
    RecordType,
    RefType,
    SetType,
    Type,
)
from xenapi_core.server.adopt import adopt_pool
from xenapi_core.server.demo import populate
from xenapi_core.server.routes import Peer
from xenapi_core.store.memory import MemoryStore
from xenapi_core.testing.virtual_time import drive
from xenapi_core.wire.xmlrpc import XmlRpc

TRIES = 4
WAITS = {"event.next"}  # for ever, if nothing happens
ANSWERING = {
    name: [m for m in SCHEMA.methods.values() if m.cls.name == name and status(m) in (IMPLEMENTED, DERIVED)]
    for name in SCHEMA.classes
}
WORDS = ("", "0", "1", "7", "xvda", "autodetect", "true", "web-0", "192.0.2.77/24", "fe80::1", "02:00:00:00:00:01", "é")
NUMBERS = (0, 1, 2, -1, 900, 1 << 20, 1 << 31, 1 << 40, -(1 << 63))


class Demo:
    """The demo pool behind a dispatcher, and a session of root; `draw` makes arguments."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.store = MemoryStore(SCHEMA)
        self.ids = Ids("every message")
        populate(self.store, Inventory(hosts=2, vms=8), Ids("demo"), self.clock)
        self.codec = XmlRpc()
        self.engine = Engine(self.store, SCHEMA, self.clock, self.ids, lambda t, v: self.codec.value(t, v).decode())
        self.world = SimWorld(self.clock, seed=1)
        adopt_pool(self.store, self.engine, self.world)
        sessions = Sessions(SCHEMA, self.store, self.ids, self.clock, StaticAuthenticator(ACCOUNTS))
        self.dispatcher = Dispatcher(SCHEMA, self.store, self.engine, sessions, self.clock, self.ids)
        self.session = ""

    async def send(self, name: str, *params: Any, peer: Peer = TCP) -> Any:
        """The value of a call, while time passes as it is needed. Raises Refused."""
        body = xmlrpc.client.dumps(params, name, allow_none=True).encode()
        reply = self.dispatcher.handle(self.codec.decode(body), self.codec, peer)
        return value_of(await drive(self.clock, reply) if inspect.isawaitable(reply) else reply)

    async def log_in(self) -> None:
        if not self.dispatcher.sessions.alive(self.session):
            # through the socket: some message may have changed the password
            self.session = await self.send("session.login_with_password", "root", "", "1.0", "test", peer=UNIX)

    async def furnish(self) -> None:
        """What the demo has not: a snapshot, a task, small records, and one of each class that has none."""
        await self.log_in()
        vm = next(v for v in self.store.all("VM").values() if v["power_state"] == "Halted" and not v["is_a_template"])
        await self.send("VM.snapshot", self.session, vm.ref, "snapshot", [])
        await self.send("task.create", self.session, "work", "")
        await self.send("message.create", self.session, "NOTE", "3", "VM", vm["uuid"], "text")
        await self.send("secret.create", self.session, {"value": "word", "other_config": {}})
        await self.send("subject.create", self.session, {"subject_identifier": "ann", "other_config": {}})
        await self.send("VM_group.create", self.session, {"name_label": "group"})
        await self.send("VM_appliance.create", self.session, {"name_label": "appliance"})
        await self.send("VMSS.create", self.session, {"type": "snapshot", "frequency": "daily"})
        for cls in SCHEMA.classes.values():
            if cls.in_database and not self.store.all(cls.name):
                self._add(cls)

    def _add(self, cls: Class) -> None:
        """A record of a class that nothing here makes, such as hardware: it points at what there is.

        Only one of its fields points at an object of the same class: nothing carries itself.
        """
        txn = self.store.begin()
        values: dict[str, Any] = {}
        seen: set[str] = set()
        for field in cls.fields:
            if field.stored and isinstance(field.type, RefType) and field.type.cls in SCHEMA.classes:
                other = field.type.cls
                values[field.name] = NULL_REF if other in seen else next(iter(self.store.all(other)), NULL_REF)
                seen.add(other)
        txn.create(cls.name, self.ids.ref(), {"uuid": self.ids.uuid(), **values})
        self.store.commit(txn)

    async def close(self) -> None:
        await drive(self.clock, self.engine.close())
        await self.world.close()

    def _reference(self, cls: str) -> str:
        live = list(self.store.all(cls)) if cls in SCHEMA.classes and SCHEMA[cls].has_records else []
        if live and self.chance.random() < 0.9:
            return self.chance.choice(live)
        return self.chance.choice((NULL_REF, "", "OpaqueRef:gone"))

    def _text(self, name: str, cls: str) -> str:
        live = list(self.store.all(cls).values()) if SCHEMA[cls].has_records else []
        if "uuid" in name and live and self.chance.random() < 0.9:
            return self.chance.choice(live)["uuid"]
        if name == "expr":
            return self.chance.choice(("true", 'field "uuid" = "x"', 'not field "_ref" = ""', "field", "("))
        return self.chance.choice(WORDS)

    async def draw(self, type_: Type, name: str, cls: str) -> Any:
        """A value of `type_` as a client sends it, for a parameter or field called `name`."""
        chance = self.chance
        if isinstance(type_, RefType):
            return self.session if type_.cls == "session" else self._reference(type_.cls)
        if isinstance(type_, EnumType):
            return chance.choice(type_.values)
        if isinstance(type_, SetType):
            return [await self.draw(type_.item, name, cls) for _ in range(chance.randrange(3))]
        if isinstance(type_, MapType):
            names = [await self.draw(type_.key, name, cls) for _ in range(chance.randrange(3))]
            return {str(key): await self.draw(type_.value, name, cls) for key in names}
        if isinstance(type_, OptionType):
            return await self.draw(type_.item, name, cls)
        if isinstance(type_, RecordType):
            return await self._record(type_.cls)
        if type_ == BOOL:
            return chance.random() < 0.5
        if type_ == INT:
            return str(chance.choice(NUMBERS))
        if type_ == FLOAT:
            return 0.0 if name == "timeout" else chance.choice((0.0, 0.5, -1.0, 1e300))
        if type_ == DATETIME:
            return chance.choice(("20260101T00:00:00Z", "19700101T00:00:00Z"))
        return self._text(name, cls)

    async def _record(self, cls: str) -> dict[str, Any]:
        """A record as a client gives it: one it has read, or one made up; either with a field it has changed."""
        live = list(self.store.all(cls)) if SCHEMA[cls].in_database else []
        fields = [field for field in SCHEMA[cls].fields if not field.internal]
        if live and self.chance.random() < 0.7:
            record = await self.send(f"{cls}.get_record", self.session, self.chance.choice(live))
            fields = self.chance.sample(fields, 1)
        else:
            record = {}
        return record | {field.name: await self.draw(field.type, field.name, cls) for field in fields}

    async def arguments(self, method: Method) -> list[Any]:
        given = [param for param in method.params if param.required or self.chance.random() < 0.5]
        drawn = [await self.draw(param.type, param.name, method.cls.name) for param in given]
        return [self.session, *drawn] if method.message.session else drawn


async def bugs(name: str) -> list[str]:
    """What went wrong that is no answer of the API's own."""
    demo, found = Demo(name), []
    await demo.furnish()
    try:
        methods = [method for method in ANSWERING[name] if method.wire_name not in WAITS]
        # what removes things comes last, so that the others find some
        methods.sort(key=lambda m: m.message.name.startswith(("destroy", "forget", "eject", "logout", "hard_")))
        for method in methods:
            for _ in range(TRIES):
                await demo.log_in()
                args = await demo.arguments(method)
                try:
                    await demo.send(method.wire_name, *args)
                except Refused as refused:
                    code, *params = refused.description
                    if code not in E.by_code or "log id" in "".join(params):
                        found.append(f"{method.wire_name}{tuple(args[1:])}: {refused.description}")
                except Exception as error:
                    found.append(f"{method.wire_name}{tuple(args[1:])}: {error!r}")
    finally:
        await demo.close()
    return found


@pytest.mark.parametrize("name", [name for name in SCHEMA.classes if ANSWERING[name]])
def test_no_message_fails_through_a_fault_of_ours(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = asyncio.run(bugs(name))
    assert not found, "\n".join([*found, *(record.getMessage() for record in caplog.records)])
    assert not caplog.records, caplog.text
