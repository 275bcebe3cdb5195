"""DSP1081: the default migration settings of machines."""

from __future__ import annotations

from cim_services import Path, Site, site

from cim_provider.schema.objects import CIMV2

DEFAULT, LINK = "Xen_VirtualSystemMigrationSettingData", "Xen_ElementSettingData"


def default_of(at: Site, host: str) -> Path:
    return Path.of(DEFAULT, {"InstanceID": f"Xen:{at.uuid(host)}/MigrationSettingData"}, CIMV2)


async def test_a_machine_has_the_default_migration_settings_of_its_host() -> None:
    async with site(hosts=2) as at:
        first, second = at.sim.hosts
        away, off = at.sim.add_vm("away"), at.sim.add_vm("off")
        await at.sim.call("VM.start_on", away, second, False, False)
        for vm, host in ((away, second), (off, first)):
            assert at.related(at.system(vm), LINK) == [default_of(at, host)]
            assert at.system(vm) in at.related(default_of(at, host), LINK)
            (link,) = at.links(at.system(vm), LINK)
            assert (link["IsDefault"], link["IsNext"]) == ("1", "1")
