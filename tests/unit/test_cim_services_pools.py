"""Resource pools: SRs and networks made, filled and removed through the configuration service."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import DISKS, GIB, NICS, POOLS, FaultRule, Instance, Path, Site, site

from cim_provider.schema.objects import CIMV2, NOT_FOUND, CimError

RASD = "CIM_ResourceAllocationSettingData"


def pool(at: Site, ref: str) -> Path:
    kind = {"SR": "Storage", "network": "Network", "host": "Memory"}[at.store.get(ref).cls]
    return Path.of(f"Xen_{kind}Pool", {"InstanceID": f"Xen:{kind}Pool/{at.uuid(ref)}"}, CIMV2)


async def create(at: Site, name: str | None = "new", parent: Path | None = None, **values: Any) -> Any:
    settings = (Instance(values.pop("cls", RASD), values),)
    parents = None if parent is None else (parent,)
    return await at.ask(POOLS, "CreateChildResourcePool", ElementName=name, Settings=settings, ParentPool=parents)


async def test_a_storage_pool_is_made_and_forgotten() -> None:
    async with site() as at:
        before = at.sim.picture()["records"]
        value, out = await create(
            at, ResourceType=17, ResourceSubType="nfs", HostResource=("server=192.0.2.9", "serverpath=/vms"),
            VirtualQuantity=10, VirtualQuantityUnits="byte*2^30",
        )  # fmt: skip
        assert value == 0
        sr = at.store.get(at.made(out, "Pool", "SR"))
        assert (sr["name_label"], sr["type"], sr["shared"]) == ("new", "nfs", True)
        (pbd,) = (at.store.get(ref) for ref in at.store.related(sr.ref, "PBDs"))
        assert pbd["device_config"] == {"server": "192.0.2.9", "serverpath": "/vms"}
        assert at.shown(path_in(out["Pool"]))["ResourceType"] == 17
        assert await at.ask(POOLS, "DeleteResourcePool", Pool=path_in(out["Pool"])) == (0, {})
        assert at.sim.picture()["records"] == before


async def test_pools_that_can_be_changed_lead_to_the_services_of_the_hosts_that_have_them() -> None:
    async with site(hosts=2) as at:
        services = [at.service(POOLS, number) for number in range(2)]
        for ref in (at.sim.sr, at.sim.network):
            assert at.related(pool(at, ref), "CIM_ServiceAffectsElement") == services
        for service in services:
            found = at.related(service, "CIM_ServiceAffectsElement")
            assert {pool(at, at.sim.sr), pool(at, at.sim.network)} <= set(found)
            assert {path.classname for path in found} <= {
                "Xen_StoragePool",
                "Xen_NetworkPool",
                "Xen_PrimordialPool",
            }
        for kind, its in (("StoragePool", services[:1]), ("NetworkPool", services[:1]), ("MemoryPool", [])):
            path = Path.of("Xen_PrimordialPool", {"InstanceID": f"Xen:{kind}/Primordial"}, CIMV2)
            assert at.related(path, "CIM_ServiceAffectsElement") == its
            assert (path in at.related(services[0], "CIM_ServiceAffectsElement")) == bool(its)
        (link, *_) = at.links(pool(at, at.sim.sr), "CIM_ServiceAffectsElement")
        assert link["ElementEffects"] == ["5"]


async def test_a_network_is_made_with_and_without_a_vlan_and_destroyed() -> None:
    async with site(hosts=2) as at:
        before = at.sim.picture()["records"]
        value, plain = await at.ask(POOLS, "CreateResourcePool", ElementName="plain", ResourceType="10")
        assert value == 0
        assert at.store.get(at.made(plain, "Pool", "network"))["name_label"] == "plain"
        value, tagged = await create(
            at, "vlan", pool(at, at.sim.network), cls=NICS, ResourceType=33, DefaultPortVID=12
        )  # fmt: skip
        assert value == 0
        network = at.made(tagged, "Pool", "network")
        pifs = [at.store.get(ref) for ref in at.store.related(network, "PIFs")]
        assert [pif["VLAN"] for pif in pifs] == [12, 12]
        for out in (plain, tagged):
            assert await at.ask(POOLS, "DeleteResourcePool", Pool=path_in(out["Pool"])) == (0, {})
        assert at.sim.picture()["records"] == before


async def test_volumes_are_made_and_destroyed_in_a_pool() -> None:
    async with site() as at:
        before = at.sim.picture()["volumes"]
        where = pool(at, at.sim.sr)
        settings = Instance(DISKS, {"VirtualQuantity": GIB, "ElementName": "data"})
        value, out = await at.ask(POOLS, "CreateResourceInPool", Settings=settings, Pool=where)
        assert value == 0
        volume = path_in(out["Resource"])
        vdi = at.store.by_uuid("VDI", str(volume.key("DeviceID")))
        assert vdi is not None
        assert (vdi["virtual_size"], vdi["name_label"], vdi["SR"]) == (GIB, "data", at.sim.sr)
        other = pool(at, at.sim.iso)
        assert await at.ask(POOLS, "DeleteResourceInPool", Resource=volume, Pool=other) == (5, {})
        assert await at.ask(POOLS, "DeleteResourceInPool", Resource=volume, Pool=where) == (0, {})
        assert at.sim.picture()["volumes"] == before


async def test_what_is_used_is_not_removed() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        before = at.sim.picture()
        for ref in (at.sim.sr, at.sim.network):
            assert await at.ask(POOLS, "DeleteResourcePool", Pool=pool(at, ref)) == (6, {})
        (vbd,) = (at.store.get(ref) for ref in at.store.related(vm, "VBDs"))
        image = at.uuid(vbd["VDI"])
        volume = next(p for p in at.pool.provider.extents(CIMV2, "Xen_StorageVolume"))
        path = next(one.path for one in volume if one.values["DeviceID"] == image)
        assert await at.ask(
            POOLS, "DeleteResourceInPool", Resource=path, Pool=pool(at, at.sim.sr)
        ) == (6, {})  # fmt: skip
        assert at.sim.picture() == before


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ResourceType": 3}, 1),
        ({"ResourceType": 4}, 1),
        ({}, 1),
        ({"ResourceType": 17}, 5),
        ({"ResourceType": 17, "ResourceSubType": "no such type"}, 5),
        ({"ResourceType": 17, "ResourceSubType": "nfs", "HostResource": ("nonsense",)}, 5),
        ({"ResourceType": 17, "ResourceSubType": "nfs", "VirtualQuantity": 1, "VirtualQuantityUnits": "hertz"}, 5),
        ({"ResourceType": 17, "ResourceSubType": "nfs", "Weight": 1}, 5),
        ({"ResourceType": 10, "Weight": 1}, 5),
        ({"cls": NICS, "ResourceType": 33, "DefaultPortVID": 12}, 5),
    ],
)
async def test_pools_that_cannot_be_made_are_refused(values: dict[str, Any], code: int) -> None:
    async with site() as at:
        before = at.sim.picture()
        assert await create(at, **values) == (code, {})
        assert at.sim.picture() == before


async def test_a_parent_of_another_kind_is_the_wrong_type() -> None:
    async with site() as at:
        parent = Path.of("Xen_PrimordialPool", {"InstanceID": "Xen:MemoryPool/Primordial"}, CIMV2)
        assert await create(at, parent=parent, ResourceType=17, ResourceSubType="nfs") == (7, {})
        right = Path.of("Xen_PrimordialPool", {"InstanceID": "Xen:NetworkPool/Primordial"}, CIMV2)
        value, _ = await create(at, parent=right, ResourceType=10)
        assert value == 0


async def test_pools_of_hosts_stay_as_they_are() -> None:
    async with site() as at:
        memory = pool(at, at.sim.hosts[0])
        assert await at.ask(POOLS, "DeleteResourcePool", Pool=memory) == (1, {})
        for method in ("AddResourcesToResourcePool", "RemoveResourcesFromResourcePool"):
            assert await at.ask(POOLS, method, HostResources=(), Pool=memory) == (1, {})
        assert await at.ask(POOLS, "ChangeParentResourcePool", ChildPool=memory) == (1, {})
        assert await at.ask(POOLS, "DeleteResourcePool") == (5, {})
        gone = Path.of("Xen_StoragePool", {"InstanceID": "Xen:StoragePool/gone"}, CIMV2)
        with pytest.raises(CimError) as error:
            await at.ask(POOLS, "DeleteResourcePool", Pool=gone)
        assert error.value.status == NOT_FOUND


def port(at: Site, pif: str) -> Path:
    keys = {
        "SystemCreationClassName": "Xen_HostComputerSystem", "SystemName": at.uuid(at.store.get(pif)["host"]),
        "CreationClassName": "Xen_HostNetworkPort", "DeviceID": at.uuid(pif),
    }  # fmt: skip
    return Path.of("Xen_HostNetworkPort", keys, CIMV2)


def memory_of(at: Site, host: str) -> Path:
    """A device of a host."""
    (path,) = [p for p in at.related(at.host(host), "Xen_SystemDevice") if p.classname == "Xen_HostMemory"]
    return path


async def change(at: Site, method: str, pool_path: Path, *devices: Path) -> int:
    value, _ = await at.ask(POOLS, f"{method}ResourcePool", HostResources=devices, Pool=pool_path)
    return value


ADD, REMOVE = "AddResourcesTo", "RemoveResourcesFrom"


def connected(at: Site, sr: str) -> dict[str, bool]:
    pbds = (at.store.get(ref) for ref in at.store.related(sr, "PBDs"))
    return {pbd["host"]: pbd["currently_attached"] for pbd in pbds}


async def test_a_host_is_disconnected_from_storage_and_connected_again() -> None:
    async with site(hosts=2) as at:
        storage, (first, second) = pool(at, at.sim.sr), at.sim.hosts
        device = memory_of(at, second)
        assert await change(at, ADD, storage, device) == 6
        assert await change(at, REMOVE, storage, device) == 0
        assert connected(at, at.sim.sr) == {first: True}
        assert await change(at, REMOVE, storage, device) == 5
        assert await change(at, ADD, storage, device) == 0
        assert connected(at, at.sim.sr) == {first: True, second: True}
        configs = {str(at.store.get(ref)["device_config"]) for ref in at.store.related(at.sim.sr, "PBDs")}
        assert len(configs) == 1
        # Without a device it is the host of the service.
        assert await change(at, REMOVE, storage) == 0
        assert connected(at, at.sim.sr) == {second: True}


async def test_storage_in_use_stays_connected_and_a_failed_connection_leaves_none() -> None:
    async with site(hosts=2) as at:
        vm = await at.sim.running()
        here = at.store.get(vm)["resident_on"]
        storage, device = pool(at, at.sim.sr), memory_of(at, here)
        assert await change(at, REMOVE, storage, device) == 6
        assert connected(at, at.sim.sr)[here]
        (there,) = (host for host in at.sim.hosts if host != here)
        assert await change(at, REMOVE, storage, memory_of(at, there)) == 0
        at.faulty(FaultRule("attach"))
        before = at.sim.picture()
        with pytest.raises(CimError):
            await change(at, ADD, storage, memory_of(at, there))
        assert at.sim.picture() == before


async def test_cards_make_a_bond_and_carry_a_vlan() -> None:
    async with site(hosts=2) as at:
        cards = [at.sim.add_pif(at.sim.hosts[0], at.sim.add("network", bridge=f"b{n}"), f"eth{n}") for n in (5, 6)]
        bonded = at.sim.add("network", name_label="bonded", bridge="xapi5", MTU=1500)
        before = at.sim.picture()["records"].keys()
        assert await change(at, ADD, pool(at, bonded), *(port(at, card) for card in cards)) == 0
        (master,) = at.store.related(bonded, "PIFs")
        assert await change(at, REMOVE, pool(at, bonded), port(at, master)) == 0
        assert at.sim.picture()["records"].keys() == before

        _, out = await create(at, "vlan", pool(at, at.sim.network), ResourceType=33, DefaultPortVID=12)
        tagged = at.made(out, "Pool", "network")
        mine, other = at.store.related(tagged, "PIFs")
        assert await change(at, REMOVE, pool(at, tagged), port(at, other)) == 0
        assert at.store.related(tagged, "PIFs") == (mine,)
        carrier = next(p for p in at.store.related(at.sim.network, "PIFs")
                       if at.store.get(p)["host"] != at.store.get(mine)["host"])  # fmt: skip
        assert await change(at, ADD, pool(at, tagged), port(at, carrier)) == 0
        assert [at.store.get(pif)["VLAN"] for pif in at.store.related(tagged, "PIFs")] == [12, 12]


async def test_cards_that_a_network_cannot_take_or_lose_are_refused() -> None:
    async with site(hosts=2) as at:
        first, second = at.store.related(at.sim.network, "PIFs")
        network = pool(at, at.sim.network)
        lonely = at.sim.add("network", name_label="other", bridge="xenbr9", MTU=1500)
        assert await change(at, ADD, pool(at, lonely), port(at, first)) == 1
        assert await change(at, ADD, pool(at, lonely), port(at, first), port(at, second)) == 5
        assert await change(at, ADD, network) == 5
        assert await change(at, REMOVE, network, port(at, first)) == 1
        assert await change(at, REMOVE, pool(at, lonely), port(at, first)) == 5
