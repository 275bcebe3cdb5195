"""DSP1097: uplinks of switches are added, changed and removed as resource settings: VLANs and bonds of the pool."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import NULL, call, path_in
from cim_services import MANAGEMENT, NICS, Instance, Path, Site, site

from cim_provider.schema.objects import ACCESS_DENIED, CimError

SETTINGS, UPLINKS = "Xen_VirtualSwitchSettingData", "Xen_SwitchUplinkPortSettingData"
PORT = "CIM_EthernetPortAllocationSettingData"


def lan(at: Site, name: str = "office") -> str:
    """A network without cards."""
    return at.sim.add("network", name_label=name, bridge=f"x{name}", MTU=1500)


def cards(at: Site, count: int, host: int = 0) -> list[str]:
    """New cards of a host, in a network of their own each; they are up."""
    return [
        at.sim.add_pif(at.sim.hosts[host], lan(at, f"own{n}"), f"eth{n}", currently_attached=True)
        for n in range(5, 5 + count)
    ]


def names(at: Site, *pifs: str) -> tuple[str, ...]:
    """HostResource: the first card by its uuid alone, others within a path."""
    bare, *paths = (at.uuid(pif) for pif in pifs)
    host = at.uuid(at.sim.hosts[0])
    return (bare, *(f'root/cimv2:Xen_HostNetworkPort.SystemName="{host}",DeviceID="{pif}"' for pif in paths))


async def add(at: Site, network: str, *settings: dict[str, Any], cls: str = UPLINKS) -> tuple[int, dict[str, Any]]:
    return await at.ask(
        MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(network, cls=SETTINGS),
        ResourceSettings=tuple(Instance(cls, values) for values in settings),
    )  # fmt: skip


def uplinks(at: Site, network: str) -> list[Path]:
    """The settings of a switch's uplinks."""
    found = at.related(at.settings(network, cls=SETTINGS), "Xen_VirtualSystemSettingDataComponent")
    return [Path.of(path.classname, dict(path.keys or ()), "root/cimv2") for path in found]


def results(out: dict[str, Any]) -> list[str]:
    """The InstanceIDs in ResultingResourceSettings."""
    return [
        name.findtext("KEYBINDING/KEYVALUE")
        for name in out["ResultingResourceSettings"].iter("INSTANCENAME")
    ]  # fmt: skip


@pytest.mark.parametrize("cls", [UPLINKS, PORT])
async def test_a_card_with_a_tag_becomes_an_uplink_and_goes_without_a_trace(cls: str) -> None:
    async with site() as at:
        network, (card,) = lan(at), cards(at, 1)
        before = at.sim.picture()["records"]
        asked = {"HostResource": names(at, card), "DefaultPortVID": 12, "ResourceType": 30, "VirtualQuantity": 1}
        value, out = await add(at, network, asked, cls=cls)
        (path,) = uplinks(at, network)
        assert (value, results(out)) == (0, [path.key("InstanceID")])
        assert at.shown(path)["DefaultPortVID"] == 12
        (pif,) = at.store.related(network, "PIFs")
        vlan = at.store.get(at.store.get(pif)["VLAN_master_of"])
        assert (vlan["tagged_PIF"], vlan["tag"]) == (card, 12)
        assert await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(path,)) == (0, {})
        assert at.sim.picture()["records"] == before


async def test_several_cards_become_a_bond() -> None:
    async with site() as at:
        network, members = lan(at), cards(at, 2)
        before = at.sim.picture()["records"].keys()
        value, out = await add(at, network, {"HostResource": names(at, *members)})
        (path,) = uplinks(at, network)
        assert (value, results(out)) == (0, [path.key("InstanceID")])
        (pif,) = at.store.related(network, "PIFs")
        (bond,) = at.store.related(pif, "bond_master_of")
        assert set(at.store.related(bond, "slaves")) == set(members)
        assert await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(path,)) == (0, {})
        assert at.sim.picture()["records"].keys() == before


async def test_settings_of_an_uplink_tell_its_cards_and_make_another_one_elsewhere() -> None:
    async with site() as at:
        (single, *pair), (one, other, third) = cards(at, 3), (lan(at, name) for name in ("one", "other", "third"))
        await add(at, one, {"HostResource": names(at, single), "DefaultPortVID": 12})
        await add(at, other, {"HostResource": names(at, *pair)})
        told = {network: at.shown(uplinks(at, network)[0])["HostResource"] for network in (one, other)}
        ports = {f'DeviceID="{at.uuid(card)}"' for card in pair}
        assert [f'DeviceID="{at.uuid(single)}"' in line for line in told[one]] == [True]
        assert sorted(port for line in told[other] for port in ports if port in line) == sorted(ports)
        (own,) = uplinks(at, at.sim.network)
        (card,) = at.store.related(at.sim.network, "PIFs")
        assert at.uuid(card) in at.shown(own)["HostResource"][0]
        copied = at.copy(own, DefaultPortVID=31, PoolID=at.uuid(third)).values
        assert (await add(at, third, copied))[0] == 0
        assert at.shown(uplinks(at, third)[0])["HostResource"] == at.shown(own)["HostResource"]


async def test_a_card_without_a_tag_takes_that_of_the_switch() -> None:
    async with site(hosts=2) as at:
        network = lan(at)
        (first,), (second,) = cards(at, 1, 0), cards(at, 1, 1)
        tagged = {"HostResource": names(at, first), "DefaultPortVID": 7}
        assert (await add(at, network, tagged))[0] == 0
        assert (await add(at, network, {"HostResource": names(at, second)}))[0] == 0
        assert sorted(at.shown(path)["DefaultPortVID"] for path in uplinks(at, network)) == [7, 7]


async def test_another_tag_makes_another_uplink_of_the_same_card() -> None:
    async with site() as at:
        network, (card,) = lan(at), cards(at, 1)
        await add(at, network, {"HostResource": names(at, card), "DefaultPortVID": 12})
        (path,) = uplinks(at, network)

        async def modify(**changes: Any) -> tuple[int, dict[str, Any]]:
            settings = (at.copy(path, **changes),)
            return await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=settings)

        before = at.sim.picture()["records"]
        assert results((await modify())[1]) == [path.key("InstanceID")]
        assert await modify(Address="525400112233") == (4, {})
        assert at.sim.picture()["records"] == before
        value, out = await modify(DefaultPortVID=13)
        (after,) = uplinks(at, network)
        assert (value, results(out)) == (0, [after.key("InstanceID")])
        assert at.shown(after)["DefaultPortVID"] == 13
        (pif,) = at.store.related(network, "PIFs")
        assert at.store.get(at.store.get(pif)["VLAN_master_of"])["tagged_PIF"] == card


async def test_a_tag_that_cannot_be_changed_to_leaves_the_old_one() -> None:
    async with site() as at:
        network, (card,) = lan(at), cards(at, 1)
        await add(at, network, {"HostResource": names(at, card), "DefaultPortVID": 12})
        (path,) = uplinks(at, network)
        asked = (at.copy(path, DefaultPortVID=5000),)
        assert await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=asked) == (4, {})
        (pif,) = at.store.related(network, "PIFs")
        assert at.store.get(pif)["VLAN"] == 12


async def test_uplinks_are_made_all_or_none() -> None:
    async with site() as at:
        network, pair = lan(at), cards(at, 2)
        before = at.sim.picture()["records"]
        settings = ({"HostResource": names(at, card), "DefaultPortVID": 12} for card in pair)
        with pytest.raises(CimError):  # the second card of one host is refused
            await add(at, network, *settings)
        assert at.sim.picture()["records"] == before


async def test_a_switch_is_defined_with_its_uplinks() -> None:
    async with site() as at:
        (card,) = cards(at, 1)
        before = at.sim.picture()["records"]
        value, out = await at.ask(
            MANAGEMENT, "DefineSystem", SystemSettings=Instance(SETTINGS, {"ElementName": "tagged"}),
            ResourceSettings=(Instance(UPLINKS, {"HostResource": names(at, card), "DefaultPortVID": 9}),),
        )  # fmt: skip
        network = at.made(out, "ResultingSystem", "network")
        (path,) = uplinks(at, network)
        assert (value, at.shown(path)["DefaultPortVID"]) == (0, 9)
        assert at.shown(at.settings(network, cls=SETTINGS))["VLANConnection"] == ("9",)
        gone = await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=path_in(out["ResultingSystem"]))
        assert gone == (0, {})
        assert at.sim.picture()["records"] == before


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, 4),
        ({"HostResource": ("nothing",)}, 4),
        ({"HostResource": ("ONE TWO",), "DefaultPortVID": 3}, 4),
        ({"HostResource": ("ONE",)}, 1),
        ({"HostResource": ("ONE", "TWO"), "DefaultPortVID": 3}, 1),
        ({"HostResource": ("ONE", "FAR")}, 4),
        ({"HostResource": ("ONE",), "DefaultPortVID": 3, "Limit": 5}, 4),
        ({"HostResource": ("ONE",), "DefaultPortVID": 3, "VirtualQuantity": 2}, 4),
        ({"HostResource": ("ONE",), "DefaultPortVID": 3, "PoolID": "another"}, 4),
    ],
)
async def test_what_no_uplink_can_be_is_refused(values: dict[str, Any], code: int) -> None:
    async with site(hosts=2) as at:
        network, (one, two), (far,) = lan(at), cards(at, 2), cards(at, 1, 1)
        known = {"ONE": at.uuid(one), "TWO": at.uuid(two), "FAR": at.uuid(far)}
        words = tuple(
            " ".join(known.get(part, part) for part in word.split()) for word in values.get("HostResource", ())
        )
        before = at.sim.picture()["records"]
        asked = {**values, **({"HostResource": words} if words else {})}
        assert await add(at, network, asked) == (code, {})
        assert at.sim.picture()["records"] == before


async def test_settings_of_machines_and_of_switches_are_not_mixed() -> None:
    async with site() as at:
        vm = at.sim.add_vm("web")
        (nic,) = at.store.related(vm, "VIFs")
        machine = at.settings(vm, at.uuid(nic), cls=NICS)
        (own,) = uplinks(at, at.sim.network)  # the card that was there before
        for method, asked in (
            ("ModifyResourceSettings", (at.copy(own), at.copy(machine))),
            ("RemoveResourceSettings", (own, machine)),
        ):
            assert await at.ask(MANAGEMENT, method, ResourceSettings=asked) == (4, {})
        assert await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(own,)) == (1, {})
        tagged = (at.copy(own, DefaultPortVID=4),)
        assert await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=tagged) == (1, {})
        value, _ = await add(at, at.sim.network, {"Connection": ("x",)}, cls=NICS)
        assert value == 1


async def test_an_uplink_with_an_address_of_the_host_keeps_its_tag() -> None:
    async with site() as at:
        network, (card,) = lan(at), cards(at, 1)
        await add(at, network, {"HostResource": names(at, card), "DefaultPortVID": 12})
        (path,), (pif,) = uplinks(at, network), at.store.related(network, "PIFs")
        at.sim.change(pif, ip_configuration_mode="DHCP")
        asked = (at.copy(path, DefaultPortVID=13),)
        assert await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=asked) == (5, {})
        assert at.store.get(pif)["VLAN"] == 12
        assert at.store.get(pif)["VLAN_master_of"] != NULL


async def test_who_may_not_make_networks_makes_no_uplinks() -> None:
    async with site() as at:
        network, pair = lan(at), cards(at, 2)
        await add(at, network, {"HostResource": names(at, pair[0]), "DefaultPortVID": 12})
        (path,) = uplinks(at, network)
        guest = await at.pool.source.authenticate("guest", "guest", "wbem")
        assert guest is not None
        switch = {"AffectedConfiguration": at.settings(network, cls=SETTINGS)}
        bond = Instance(UPLINKS, {"HostResource": names(at, *pair)})
        before, tasks = at.sim.picture()["records"], set(at.store.all("task"))
        for method, params in (
            ("AddResourceSettings", {**switch, "ResourceSettings": (bond,)}),
            ("ModifyResourceSettings", {"ResourceSettings": (at.copy(path, DefaultPortVID=3),)}),
            ("RemoveResourceSettings", {"ResourceSettings": (path,)}),
        ):
            with pytest.raises(CimError) as refused:
                await call(at.pool.provider, at.service(MANAGEMENT), method, guest, **params)
            assert refused.value.status == ACCESS_DENIED
        assert (at.sim.picture()["records"], set(at.store.all("task"))) == (before, tasks)
