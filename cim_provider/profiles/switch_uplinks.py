"""DSP1097: the uplinks of a switch, added, changed and removed as resource settings of its configuration.

Rule 1: settings of a new uplink name the cards of hosts it is made of in HostResource. One card carries a VLAN: its tag
        is DefaultPortVID or, if that is left out, the one that the switch has on other hosts. Several cards of one host
        are a bond. A card alone is in the network it was made with.
Rule 2: another tag makes another interface, whose settings have another InstanceID: see the result.
Rule 3: the other ports of a switch come and go with the interfaces of machines, and are settings of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.method import Call, Result
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.methods.given import Given
from cim_provider.methods.pool_resources import BOND_MODE
from cim_provider.methods.setting_terms import IDENTITY, UUID
from cim_provider.profiles.job_relations import AffectedJobElement, made_by_jobs
from cim_provider.profiles.virtual_ethernet_switch import UplinkPort, UplinkSettingData, VirtualSwitchSettingData
from cim_provider.schema.objects import CIMV2, Instance, Path

if TYPE_CHECKING:
    from xenapi_core.store.api import Version

CLASSES = (UplinkSettingData.cim, "CIM_EthernetPortAllocationSettingData")

# What a client may leave as it read it of another uplink: it follows from the cards.
_OWN = IDENTITY | {"ElementName", "Address", "ConsumerVisibility"}
# What may be said, and says nothing new.
_FIXED = {"ResourceType": 30, "VirtualQuantity": 1, "VirtualQuantityUnits": "count", "AllocationUnits": "count"}


@dataclass(frozen=True)
class Uplink:
    """A new uplink: the references of its cards, and the tag of the VLAN if it is one card."""

    cards: tuple[str, ...]
    tag: int = -1


def is_of_switch(path: Path | None) -> bool:
    """Whether a configuration is that of a switch."""
    return path is not None and path.classname.lower() == VirtualSwitchSettingData.cim.lower()


def is_uplink(path: Path) -> bool:
    """Whether a reference to resource settings is one to those of an uplink."""
    return path.classname.lower() == UplinkSettingData.cim.lower()


def shown_as_uplink(call: Call, settings: Instance) -> Subject | None:
    """The PIF whose uplink settings have the InstanceID of `settings`; None if there are none."""
    identity = settings.values.get("InstanceID")
    if not identity or settings.classname not in CLASSES:
        return None
    found = call.find(Path.of(UplinkSettingData.cim, {"InstanceID": identity}, CIMV2))
    return None if found is None or found.version is None else Subject(call.source, found.version)


def read_new(call: Call, settings: Instance, network: Subject | None) -> Uplink:
    """A new uplink of a switch, or of one that is still to be made (None). RefusedError."""
    if settings.classname not in CLASSES:
        raise RefusedError(Kind.NOT_SUPPORTED, "ports of a switch are made with the interfaces of machines")
    given = Given(settings, {}, _OWN)
    _take_fixed(given)
    pool = given.take("PoolID")
    if pool and (network is None or pool.rpartition("/")[2].lower() != network["uuid"]):
        raise invalid("PoolID names another switch")
    cards, tag = _cards(call, given.take("HostResource")), given.take("DefaultPortVID")
    given.end()
    if len(cards) == 1:
        return Uplink((cards[0].ref,), _own_tag(network) if tag is None else tag)
    if tag is not None:
        raise RefusedError(Kind.NOT_SUPPORTED, "a VLAN has one card on a host; make the bond first")
    if len({card.values["host"] for card in cards}) != 1:
        raise invalid("a bond has cards of one host")
    return Uplink(tuple(card.ref for card in cards))


def _take_fixed(given: Given) -> None:
    for name, right in _FIXED.items():
        if given.take(name) not in (None, right):
            raise invalid(f"{name} of an uplink is {right}")


def _cards(call: Call, words: tuple[str | None, ...] | None) -> list[Version]:
    """The interfaces of hosts that HostResource names by their uuids, alone or within paths."""
    found: dict[str, Version] = {}
    for word in words or ():
        pifs = [call.source.by_uuid("PIF", uuid.lower()) for uuid in UUID.findall(word or "")]
        named = [pif for pif in pifs if pif is not None]
        if len(named) != 1:
            raise invalid(f"HostResource names no interface of a host: {word}")
        found[named[0].ref] = named[0]
    if not found:
        raise invalid("an uplink needs a HostResource")
    return list(found.values())


def _own_tag(network: Subject | None) -> int:
    """The tag of the VLAN a switch is in. RefusedError NOT_SUPPORTED if it is in none, or in several."""
    tags = {int(pif["VLAN"]) for pif in network.each("PIFs") if pif["VLAN"] >= 0} if network is not None else set()
    if len(tags) != 1:
        raise RefusedError(Kind.NOT_SUPPORTED, "a card alone is in the network it was made with")
    return tags.pop()


def require(call: Call, uplinks: Iterable[Uplink]) -> None:
    """RBAC_PERMISSION_DENIED if the caller may not make one of these."""
    jobs.require(call, *("VLAN.create" if len(each.cards) == 1 else "Bond.create" for each in uplinks))


async def make(work: Work, network: str, uplink: Uplink) -> str:
    """Make an uplink of a network; the reference of its PIF, which is up."""
    if len(uplink.cards) == 1:
        return await _carry(work, uplink.cards[0], uplink.tag, network)
    bond = await work.run("Bond.create", network, uplink.cards, "", BOND_MODE, {})
    await work.undo("Bond.destroy", bond)
    return await _plugged_pif(work, bond, "master")


async def _carry(work: Work, card: str, tag: int, network: str) -> str:
    vlan = await work.run("VLAN.create", card, tag, network)
    await work.undo("VLAN.destroy", vlan)
    return await _plugged_pif(work, vlan, "untagged_PIF")


async def _plugged_pif(work: Work, ref: str, field: str) -> str:
    """The PIF of a new VLAN or bond, brought up: a pool may leave that to its clients."""
    made = work.source.find(ref)
    pif = work.source.find(made.values[field]) if made is not None else None
    if pif is None:
        raise jobs.gone("VLAN" if field == "untagged_PIF" else "Bond", ref)
    if not pif.values["currently_attached"]:
        await work.run("PIF.plug", pif.ref)
        await work.undo("PIF.unplug", pif.ref)
    return pif.ref


def _paths(call: Call, pifs: Iterable[str]) -> tuple[Path, ...]:
    """The settings of uplinks that there are (still)."""
    return tuple(path for pif in pifs if (path := call.path_of(UplinkSettingData.cim, pif)) is not None)


async def add(call: Call, configuration: Path, settings: tuple[Instance, ...] | None) -> Result:
    """AddResourceSettings to the configuration of a switch (rule 1)."""
    network = call.target(configuration, "AffectedConfiguration", VirtualSwitchSettingData.cim)
    if not settings:
        raise invalid("ResourceSettings is missing")
    asked = [read_new(call, each, network) for each in settings]
    require(call, asked)

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(asked)
        made = [await make(work, network.ref, each) for each in asked]
        await work.made(*made)
        return {"ResultingResourceSettings": _paths(call, made)}

    return await call.jobs.several(call, jobs.DEFINITIONS, "CIM.AddResourceSettings", body, about=network["uuid"])


async def modify(call: Call, settings: tuple[Instance, ...]) -> Result:
    """ModifyResourceSettings of uplinks: another tag for those that have one (rule 2)."""
    changes: list[tuple[Subject, Subject, int | None]] = []
    for each in settings:
        pif = shown_as_uplink(call, each)
        if pif is None:
            raise invalid("ResourceSettings are of uplinks or of machines, not of both")
        now = call.find(Path.of(UplinkSettingData.cim, {"InstanceID": each.values["InstanceID"]}, CIMV2))
        given = Given(each, now.values if now is not None else {})
        tag, vlan = given.take("DefaultPortVID"), pif.follow("VLAN_master_of")
        given.end()
        if tag is not None and vlan is None:
            raise RefusedError(Kind.NOT_SUPPORTED, "only an uplink that leads to a VLAN has a tag")
        if tag is not None and pif["ip_configuration_mode"] not in ("", "None"):
            raise RefusedError(Kind.IN_USE, "the host has an address there")
        changes.append((pif, vlan or pif, tag))
    jobs.require(call, "VLAN.create", "VLAN.destroy")

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = 2 * len(changes)
        after = []
        for pif, vlan, tag in changes:
            if tag is None:
                after.append(pif.ref)
                continue
            await _drop(work, pif, vlan)
            after.append(await _carry(work, vlan["tagged_PIF"], tag, pif["network"]))
        await work.made(*(ref for ref in after if ref not in {pif.ref for pif, _, _ in changes}))
        return {"ResultingResourceSettings": _paths(call, after)}

    return await call.jobs.several(
        call, jobs.SYSTEMS, "CIM.ModifyResourceSettings", body, about=_switch_of(pif for pif, _, _ in changes)
    )


async def _drop(work: Work, pif: Subject, vlan: Subject) -> None:
    await work.run("VLAN.destroy", vlan.ref)
    await work.undo("VLAN.create", vlan["tagged_PIF"], pif["VLAN"], pif["network"])


async def remove(call: Call, settings: tuple[Path, ...]) -> Result:
    """RemoveResourceSettings of uplinks: the VLANs and bonds they are end; 1 for a card in its own network."""
    found = [call.target(path, "ResourceSettings", UplinkSettingData.cim) for path in settings]
    chosen = {pif.ref: pif for pif in found}
    vlans: list[tuple[Subject, Subject]] = []
    bonds: list[str] = []
    for pif in chosen.values():
        vlan, bond = pif.follow("VLAN_master_of"), next(iter(pif["bond_master_of"]), None)
        if vlan is not None:
            vlans.append((pif, vlan))
        elif bond is not None:
            bonds.append(bond)
        else:
            raise RefusedError(Kind.NOT_SUPPORTED, "a card is in the network it was made with")
    jobs.require(call, *(["VLAN.destroy"] if vlans else []), *(["Bond.destroy"] if bonds else []))

    async def body(work: Work) -> Mapping[str, Any]:
        work.expected = len(chosen)
        for pif, vlan in vlans:
            await _drop(work, pif, vlan)
        for bond in bonds:  # a bond made again would have lost the addresses of its cards: these come last
            await work.run("Bond.destroy", bond)
        return {}

    return await call.jobs.several(
        call, jobs.SYSTEMS, "CIM.RemoveResourceSettings", body, about=_switch_of(chosen.values())
    )


def _switch_of(pifs: Iterable[Subject]) -> str:
    """The uuid of the one switch that uplinks belong to; "" if they belong to several."""
    networks = {str(network["uuid"]) for pif in pifs if (network := pif.follow("network")) is not None}
    return networks.pop() if len(networks) == 1 else ""


AffectedJobElement.also(made_by_jobs(UplinkPort))
