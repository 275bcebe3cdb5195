"""NewSystemSettingData and NewResourceSettingData of migrations: what is another when the machine arrives."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import DISKS, GIB, MEMORY, MIGRATION, NICS, VSSD, FaultRule, Instance, Site, site

from cim_provider.schema.objects import NOT_FOUND, CimError

LIVE, RESUME, RESTART = 2, 3, 4
METHOD = "MigrateVirtualSystemToSystem"


async def prepared(at: Site) -> tuple[str, str]:
    """A running machine, and a host it is not on; hosts have management interfaces."""
    for host in at.sim.hosts:
        address = at.store.get(host)["address"]
        at.sim.add_pif(host, at.sim.add("network", bridge=f"mgmt{host}"), "eth7", management=True, IP=address,
                       currently_attached=True)  # fmt: skip
    vm = await at.sim.running("one")
    return vm, next(host for host in at.sim.hosts if host != at.store.get(vm)["resident_on"])


async def move(at: Site, vm: str, host: str, kind: int, method: str = METHOD, **given: Any) -> tuple[int, Any]:
    settings = Instance("CIM_VirtualSystemMigrationSettingData", {"MigrationType": kind})
    return await at.ask(
        MIGRATION, method, ComputerSystem=at.system(vm), DestinationSystem=at.host(host),
        MigrationSettingData=settings, **given,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [LIVE, RESUME, RESTART])
async def test_a_machine_arrives_with_its_new_name(kind: int) -> None:
    async with site(hosts=2) as at:
        vm, host = await prepared(at)
        new = Instance(VSSD, {"ElementName": "two", "Notes": ("moved",)})
        assert (await move(at, vm, host, kind, NewSystemSettingData=new))[0] == 0
        record = at.store.get(vm)
        assert (record["name_label"], record["tags"], record["resident_on"]) == ("two", ("moved",), host)
        assert record["power_state"] == "Running"


async def test_a_restart_changes_what_only_a_halted_machine_can() -> None:
    async with site(hosts=2) as at:
        vm, host = await prepared(at)
        more = Instance(MEMORY, {"InstanceID": f"Xen:{at.uuid(vm)}/Memory", "VirtualQuantity": 2 * GIB})
        assert (await move(at, vm, host, RESTART, NewResourceSettingData=(more,)))[0] == 0
        assert (at.store.get(vm)["memory_static_max"], at.store.get(vm)["resident_on"]) == (2 * GIB, host)
        before = at.sim.picture()
        other = next(each for each in at.sim.hosts if each != host)
        less = Instance(MEMORY, {"InstanceID": f"Xen:{at.uuid(vm)}/Memory", "VirtualQuantity": GIB})
        assert (await move(at, vm, other, LIVE, NewResourceSettingData=(less,)))[0] == 5
        assert at.sim.picture() == before


async def test_disks_and_networks_change_on_the_way_of_a_live_migration() -> None:
    async with site(hosts=2) as at:
        vm, host = await prepared(at)
        sr = at.sim.add_sr("other", 100 * GIB)
        network = at.sim.add("network", name_label="other", bridge="xenbr8", MTU=1500)
        for each in at.sim.hosts:
            at.sim.add_pif(each, network, "eth8", currently_attached=True)
        (vbd,) = (at.store.get(ref) for ref in at.store.related(vm, "VBDs"))
        (vif,) = (at.store.get(ref) for ref in at.store.related(vm, "VIFs"))
        disk = Instance(DISKS, {"InstanceID": f"Xen:{at.uuid(vm)}/{vbd['uuid']}", "PoolID": at.uuid(sr)})
        nic = Instance(NICS, {"InstanceID": f"Xen:{at.uuid(vm)}/{vif['uuid']}", "PoolID": at.uuid(network)})
        new = {"NewResourceSettingData": (disk, nic)}
        sessions = len(at.store.all("session"))
        check = "CheckVirtualSystemIsMigratableToSystem"
        for kind, answer in ((LIVE, "true"), (RESTART, "false")):
            value, out = await move(at, vm, host, kind, check, **new)
            assert (value, out["IsMigratable"].findtext("VALUE")) == (0, answer)
        assert (await move(at, vm, host, RESTART, **new))[0] == 1
        assert (await move(at, vm, host, LIVE, **new))[0] == 0
        assert (at.store.get(vm)["resident_on"], at.store.get(vm)["power_state"]) == (host, "Running")
        assert at.store.get(at.store.get(vbd.ref)["VDI"])["SR"] == sr
        assert at.store.get(vif.ref)["network"] == network
        assert len(at.store.all("session")) == sessions


async def test_disks_move_to_other_storage_while_the_machine_stays_on_its_host() -> None:
    async with site(hosts=2) as at:
        vm, _ = await prepared(at)
        sr, home = at.sim.add_sr("other", 100 * GIB), at.store.get(vm)["resident_on"]
        (vbd,) = (at.store.get(ref) for ref in at.store.related(vm, "VBDs"))
        disk = Instance(DISKS, {"InstanceID": f"Xen:{at.uuid(vm)}/{vbd['uuid']}", "PoolID": at.uuid(sr)})
        assert (await move(at, vm, home, LIVE))[0] == 5
        assert (await move(at, vm, home, LIVE, NewResourceSettingData=(disk,)))[0] == 0
        assert (at.store.get(vm)["resident_on"], at.store.get(vm)["power_state"]) == (home, "Running")
        assert at.store.get(at.store.get(vbd.ref)["VDI"])["SR"] == sr


async def test_new_settings_are_taken_back_when_the_machine_cannot_leave() -> None:
    async with site(hosts=2) as at:
        vm, host = await prepared(at)
        at.faulty(FaultRule("migrate"), FaultRule("migrate_receive"), FaultRule("receive"))
        new = Instance(VSSD, {"ElementName": "two"})
        before = at.sim.picture()
        value = 0
        try:
            value, _ = await move(at, vm, host, LIVE, NewSystemSettingData=new)
        except CimError:
            value = 1
        assert value
        assert at.sim.picture() == before


async def test_settings_of_another_machine_or_that_cannot_be_are_refused() -> None:
    async with site(hosts=2) as at:
        vm, host = await prepared(at)
        other = at.sim.add_vm("other")
        before = at.sim.picture()
        name = Instance(VSSD, {"InstanceID": f"Xen:{at.uuid(other)}", "ElementName": "x"})
        assert (await move(at, vm, host, LIVE, NewSystemSettingData=name))[0] == 4
        memory = at.copy(at.settings(other, "Memory", MEMORY))
        assert (await move(at, vm, host, LIVE, NewResourceSettingData=(memory,)))[0] == 4
        assert (await move(at, vm, host, LIVE, NewSystemSettingData=Instance(MEMORY, {})))[0] == 4
        gone = Instance(DISKS, {"InstanceID": f"Xen:{at.uuid(vm)}/{at.uuid(other)}", "Bootable": True})
        with pytest.raises(CimError) as error:
            await move(at, vm, host, LIVE, NewResourceSettingData=(gone,))
        assert error.value.status == NOT_FOUND
        assert at.sim.picture() == before
