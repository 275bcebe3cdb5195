"""The controller of the pool's virtual switches: sent to all hosts, then recorded.

Rule 1: there is at most one controller. Hosts connect to it (ssl), or wait for it (pssl), which then has no address.
Rule 2: the setting (sdn_controller, "protocol:address:port") goes to all hosts or none, so all must be up; a host gets
        it when it joins (server/joining.py).
Rule 3: pool.vswitch_controller, of older clients, is the address of the controller that hosts connect to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from xenapi_core.address import bracketed
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.steps.host_settings import tell
from xenapi_core.errors import E
from xenapi_core.store.api import Store, Txn, Version

USUAL_PORT: Final = 6632
_LARGEST_PORT: Final = 65535


@plans("SDN_controller.introduce")
def plan_introduce(world: World, protocol: str, address: str, port: int) -> Plan:
    """`port` 0: the usual one. OPERATION_NOT_ALLOWED while there is another controller; OPENVSWITCH_NOT_ACTIVE,
    INVALID_IP_ADDRESS_SPECIFIED, VALUE_NOT_SUPPORTED for a port or an address that cannot be; HOST_OFFLINE."""
    if world.store.all("SDN_controller"):
        raise E.OPERATION_NOT_ALLOWED("The pool has a controller of its switches; forget it first.")
    return _plan(world, None, protocol, address, port)


@plans("SDN_controller.forget")
def plan_forget(world: World, ref: str) -> Plan:
    """HOST_OFFLINE."""
    return _plan_none(world, world.store.get(ref, "SDN_controller"))


@plans("pool.set_vswitch_controller")
def plan_set(world: World, address: str) -> Plan:
    """Hosts connect to `address` at the usual port in place of the controller there was; "": to none.

    OPERATION_NOT_ALLOWED while hosts wait for a controller (pssl); else as SDN_controller.introduce.
    """
    present = next(iter(world.store.all("SDN_controller").values()), None)
    if present is not None and present["protocol"] != "ssl":
        raise E.OPERATION_NOT_ALLOWED("The hosts wait for a controller; forget that one first.")
    if address:
        return _plan(world, present, "ssl", address, 0)
    return Plan(steps=()) if present is None else _plan_none(world, present)


def _plan(world: World, present: Version | None, protocol: str, address: str, port: int) -> Plan:
    """In place of `present`, if there is one."""
    if any(host["software_version"].get("network_backend") != "openvswitch" for host in _hosts(world)):
        raise E.OPENVSWITCH_NOT_ACTIVE()
    _check(protocol, address, port)
    ref = world.ids.ref()
    values = {"protocol": protocol, "address": address, "port": port or USUAL_PORT}

    def finish(run: Run, txn: Txn) -> None:
        if present is not None:
            txn.delete(present.ref)
        txn.create("SDN_controller", ref, {"uuid": world.ids.uuid(), **values})
        _write_legacy_address(world, txn, address)

    return Plan(steps=_steps_of_hosts(world, _setting(values)), finish=finish, result=lambda run: ref)


def _plan_none(world: World, present: Version) -> Plan:
    def finish(run: Run, txn: Txn) -> None:
        txn.delete(present.ref)
        _write_legacy_address(world, txn, "")

    return Plan(steps=_steps_of_hosts(world, None), finish=finish)


def _setting(controller: Mapping[str, Any] | Version) -> str:
    """The host setting for a controller (rule 2)."""
    return f"{controller['protocol']}:{bracketed(controller['address'])}:{controller['port']}"


def known_to_hosts(store: Store) -> dict[str, str]:
    """The settings that a host gets when it joins the pool."""
    controller = next(iter(store.all("SDN_controller").values()), None)
    return {} if controller is None else {"sdn_controller": _setting(controller)}


def _hosts(world: World) -> list[Version]:
    return list(world.store.all("host").values())


def _steps_of_hosts(world: World, value: str | None) -> tuple[Step, ...]:
    return tuple(tell(host.ref, {"sdn_controller": value}, "tell controller") for host in _hosts(world))


def _write_legacy_address(world: World, txn: Txn, address: str) -> None:
    """Record the controller as older clients read it (rule 3)."""
    for pool in world.store.all("pool"):
        txn.update(pool, vswitch_controller=address)


def _check(protocol: str, address: str, port: int) -> None:
    """INVALID_IP_ADDRESS_SPECIFIED, VALUE_NOT_SUPPORTED."""
    if not 0 <= port <= _LARGEST_PORT:
        raise E.VALUE_NOT_SUPPORTED("port", str(port), "It is no TCP port.")
    if protocol == "pssl":
        if address:
            raise E.VALUE_NOT_SUPPORTED("address", address, "Hosts that wait for a controller are told no address.")
        return
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise E.INVALID_IP_ADDRESS_SPECIFIED("address") from None
