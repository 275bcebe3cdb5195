"""Finding the physical interfaces of a host and recording them (API reference, PIF.scan and PIF.introduce)."""

from __future__ import annotations

from typing import Final

from xenapi_core.drivers.api import InterfaceState
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.network_records import new_metrics, new_pif
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.steps.network_rules import bridge_of, check_mac
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Txn, Version

FOUND: Final = "interfaces"  # what the step leaves in Run.results
# What PIF_metrics says of the hardware, named as the driver names it.
CARD_FIELDS: Final = (
    "carrier", "speed", "duplex", "vendor_id", "vendor_name", "device_id", "device_name", "pci_bus_path",
)  # fmt: skip
USUAL_MTU: Final = 1500


def _read_interfaces(host: str) -> Step:
    """Ask the host which interfaces it has."""

    async def look(run: Run) -> None:
        with told_as(HOST, About(host=host, operation="scan")):
            run.results[FOUND] = await run.hypervisor(host).interfaces()

    return Step("look", look, deadline=60.0)


@plans("PIF.scan")
def plan_scan(world: World, host: str) -> Plan:
    """Record the interfaces of `host` that are new, and correct what is known of the others. HOST_OFFLINE."""
    check_live(world.store, host)

    def finish(run: Run, txn: Txn) -> None:
        known = {pif["device"]: pif for pif in _physical(world, host)}
        bridges = _bridges(world)
        for card in run.results[FOUND]:
            if card.name in known:
                _refresh(world, txn, known[card.name], card)
            else:
                _introduce(world, txn, world.ids.ref(), host, card, True, bridges)

    return Plan(steps=(_read_interfaces(host),), finish=finish)


@plans("PIF.introduce")
def plan_introduce(world: World, host: str, mac: str, device: str, managed: bool) -> Plan:
    """Record the interface called `device`; its MAC may be left for the host to say.

    HOST_OFFLINE; MAC_INVALID [mac]; DUPLICATE_PIF_DEVICE_NAME [device];
    COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS [device, mac].
    """
    check_live(world.store, host)
    wanted = mac.lower()
    if wanted:
        check_mac(wanted)
    _check_new(world, host, device)
    ref = world.ids.ref()

    def finish(run: Run, txn: Txn) -> None:
        cards = {card.name: card for card in run.results[FOUND]}
        card = cards.get(device)
        address = wanted or (card.mac.lower() if card is not None else "")
        check_mac(address)
        _check_new(world, host, device)
        if card is None or card.mac.lower() != address:
            raise E.COULD_NOT_FIND_NETWORK_INTERFACE_WITH_SPECIFIED_DEVICE_NAME_AND_MAC_ADDRESS(device, address)
        _introduce(world, txn, ref, host, card, managed, _bridges(world))

    return Plan(steps=(_read_interfaces(host),), finish=finish, result=lambda run: ref)


def _physical(world: World, host: str) -> list[Version]:
    found = map(world.store.get, world.store.related(host, "PIFs"))
    return [pif for pif in found if pif["physical"]]


def _check_new(world: World, host: str, device: str) -> None:
    if any(pif["device"] == device for pif in _physical(world, host)):
        raise E.DUPLICATE_PIF_DEVICE_NAME(device)


def _bridges(world: World) -> dict[str, str]:
    """Networks by the name of their bridge."""
    return {network["bridge"]: ref for ref, network in world.store.all("network").items()}


def _introduce(
    world: World, txn: Txn, ref: str, host: str, card: InterfaceState, managed: bool, bridges: dict[str, str]
) -> None:
    """A record for a card, on the network whose bridge its name stands for; that is made when there is none."""
    bridge = bridge_of(card.name, set(bridges))
    if bridge not in bridges:
        values = {"name_label": f"Network of {card.name}", "bridge": bridge, "MTU": USUAL_MTU}
        bridges[bridge] = txn.create("network", world.ids.ref(), {"uuid": world.ids.uuid(), **values})
    hardware = {name: getattr(card, name) for name in CARD_FIELDS}
    new_pif(
        world, txn, ref, device=card.name, network=bridges[bridge], host=host, MAC=card.mac.lower(), MTU=card.mtu,
        physical=True, managed=managed, metrics=new_metrics(world, txn, **hardware),
    )  # fmt: skip


def _refresh(world: World, txn: Txn, pif: Version, card: InterfaceState) -> None:
    txn.update(pif.ref, MAC=card.mac.lower(), MTU=card.mtu)
    metrics = txn.find(pif["metrics"])
    hardware = {name: getattr(card, name) for name in CARD_FIELDS}
    if metrics is None:
        txn.update(pif.ref, metrics=new_metrics(world, txn, **hardware))
    elif any(metrics[name] != value for name, value in hardware.items()):
        txn.update(pif["metrics"], **hardware, last_updated=world.clock.now())
