"""The coordinator's side of pool.join: receives the records of a host, and manages the host from then on.

Rule 1: only a client with the pool secret is answered, and only by a coordinator.
Rule 2: the records come in one transaction, and the simulator has the host, its storage and its volumes before anybody
        can ask for them. (A simulator has no hardware: which process simulates a host changes nothing for its clients.
        What was written on disks stays behind.)
Rule 3: shared storage of the pool is connected to the new host afterwards; a connection that fails is logged, and can
        be plugged again. The same goes for the VLANs and tunnels of the coordinator (steps/network_copies.py), and for
        the pool's settings that hosts must know.
Rule 4: the hosts here know the certificate of the host before its records come (handlers/pool_trust.py). If they are
        refused, they forget it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.api import pool_transfer
from xenapi_core.api.certificates import record_certificates
from xenapi_core.api.handlers.pool_join import MEMBERS
from xenapi_core.api.member_certificates import forget_member, record_members
from xenapi_core.api.membership import place_of
from xenapi_core.api.registry import Services
from xenapi_core.drivers.api import DriverError
from xenapi_core.drivers.sim.world import SimWorld
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.plans.guest_agent import known_to_guests
from xenapi_core.engine.plans.sdn_controller import known_to_hosts
from xenapi_core.engine.steps.host_records import check_newcomer
from xenapi_core.engine.steps.network_copies import missing_tunnels, missing_vlans
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.model.types import STRING
from xenapi_core.server.adopt import adopt_host, adopt_image, adopt_sr
from xenapi_core.server.http_auth import cookie
from xenapi_core.server.routes import Request, Response, Route
from xenapi_core.wire.api import Call
from xenapi_core.wire.xmlrpc import XmlRpc

log = logging.getLogger(__name__)

_MOST: Final = 64 * 1024 * 1024  # bytes of records
_SECONDS: Final = 60.0  # of real time, for the driver of the host to take settings
_HEADERS: Final = (("Content-Type", "text/xml"), ("Cache-Control", "no-cache, no-store"))
_COORDINATOR: Final = Caller(NULL_REF, "", frozenset({POOL_ADMIN}), originator="pool.join", local_root=True)


def members_route(services: Services, world: SimWorld) -> Route:
    """POST /pool/members: the answer is an XML-RPC reply with the uuid of the host, or the failure.

    SESSION_AUTHENTICATION_FAILED, HOST_IS_SLAVE, INVALID_VALUE, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION.
    """
    codec, call = XmlRpc(), Call("pool.members", [])

    async def take(request: Request) -> Response:
        try:
            host = await _admit(services, world, request)
        except ApiError as error:
            return Response(200, _HEADERS, codec.failure(call, error.description))
        return Response(200, _HEADERS, codec.success(call, codec.value(STRING, host)))

    return Route("POST", MEMBERS, take, _MOST)


async def _admit(services: Services, world: SimWorld, request: Request) -> str:
    membership, engine = services.sessions.membership, services.engine
    if not membership.knows(cookie(request.headers.get("cookie", ""), "pool_secret") or ""):
        raise E.SESSION_AUTHENTICATION_FAILED("", "The pool secret is another one")
    if membership.coordinator:
        raise E.HOST_IS_SLAVE(place_of(membership.coordinator)[1])
    records = _decode_records(services, request.body)
    hosts = [ref for ref, (cls, _) in records.items() if cls == "host"]
    if len(hosts) != 1:
        raise E.INVALID_VALUE("hosts", str(len(hosts)))
    uuid = str(records[hosts[0]][1]["uuid"])
    try:
        _check_new(services, records)
        check_newcomer(services.store, uuid)
        await _make_room(services, world, records)
        _take(services, engine, world, records)
    except ApiError:
        if services.store.by_uuid("host", uuid) is None:
            forget_member(services, uuid)
        raise
    await services.store.durable(services.store.revision)
    await _connect_shared(services, engine, hosts[0])
    _copy_networks(services, engine, hosts[0])
    await _send_settings(services, engine, hosts[0])
    return uuid


def _decode_records(services: Services, document: bytes) -> pool_transfer.Records:
    store = services.store
    bridges = {network["bridge"]: ref for ref, network in store.all("network").items()}

    def known(cls: str, values: Mapping[str, Any]) -> str | None:
        """A network of the pool on the same bridge."""
        return bridges.get(values["bridge"]) if cls == "network" else None

    try:
        return pool_transfer.read(services.schema, document, known, services.ids.ref)
    except (ValueError, TypeError, KeyError):
        raise E.INVALID_VALUE("records", "They are not those of a host.") from None


def _check_new(services: Services, records: pool_transfer.Records) -> None:
    """OPERATION_NOT_ALLOWED for anything that is here already."""
    for cls, values in records.values():
        if services.store.by_uuid(cls, values["uuid"]) is not None:
            raise E.OPERATION_NOT_ALLOWED(f"The pool has a {cls} with uuid {values['uuid']} already.")


async def _make_room(services: Services, world: SimWorld, records: pool_transfer.Records) -> None:
    """Let the simulator forget a host and storage that were here before and left."""
    for cls, values in records.values():
        if cls == "host" and (old := world.hosts.pop(values["uuid"], None)) is not None:
            await old.close()
        elif cls == "SR":
            world.repositories.pop(values["uuid"], None)


def _take(services: Services, engine: Engine, world: SimWorld, records: pool_transfer.Records) -> None:
    """Make the records, and everything behind them (rule 2)."""
    store = services.store
    txn = store.begin()
    for ref, (cls, values) in records.items():
        txn.create(cls, ref, values)
    store.commit(txn)
    made = [store.get(ref) for ref in records]
    for sr in made:
        if sr.cls == "SR":
            adopt_sr(store, engine, world, sr)
    for host in made:
        if host.cls == "host":
            adopt_host(store, engine, world, host)
    for vm in made:
        if vm.cls == "VM":
            adopt_image(store, world, vm)
    record_certificates(services)
    record_members(services)


async def _connect_shared(services: Services, engine: Engine, host: str) -> None:
    """Connections of the host to the pool's shared storage, as the coordinator has them (rule 3)."""
    store = services.store
    (pool,) = store.all("pool").values()
    theirs = [store.get(pbd) for pbd in store.related(pool["master"], "PBDs")]
    for pbd in theirs:
        if not store.get(pbd["SR"])["shared"]:
            continue
        txn = store.begin()
        own = txn.create("PBD", services.ids.ref(), {
            "uuid": services.ids.uuid(), "host": host, "SR": pbd["SR"], "device_config": pbd["device_config"],
        })  # fmt: skip
        store.commit(txn)
        try:
            await engine.perform("PBD.plug", (own,), _COORDINATOR)
        except ApiError as error:
            log.warning("shared storage is not connected to a host that joined: %s", error.code)


async def _send_settings(services: Services, engine: Engine, host: str) -> None:
    """What all hosts of the pool know of its network and tell their guests (rule 3)."""
    try:
        async with asyncio.timeout(_SECONDS):
            told = known_to_hosts(services.store) | known_to_guests(services.store)
            await engine.hypervisors[host].configure(told)
    except (DriverError, TimeoutError) as error:
        log.warning("a host that joined does not know the settings of the pool: %s", error)


def _copy_networks(services: Services, engine: Engine, host: str) -> None:
    """The pool's tagged and tunnelled networks on the new host (rule 3)."""
    store = services.store
    for find in (missing_vlans, missing_tunnels):
        for missing in find(engine.world, host):
            try:
                missing.check()
            except ApiError as error:
                log.warning("%s is not carried by a host that joined: %s", missing.name, error.code)
                continue
            txn = store.begin()
            missing.make(txn)
            store.commit(txn)
