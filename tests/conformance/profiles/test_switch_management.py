"""DSP1097: the virtual system management service defines, changes and destroys switches."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import path_in
from cim_services import MANAGEMENT, NICS, Instance, Path, Site, site

from cim_provider.schema.objects import CIMV2
from xenapi_core.store.api import Version

SWITCH, SETTINGS = "Xen_VirtualSwitch", "Xen_VirtualSwitchSettingData"
DSP1097_SETTINGS = "CIM_VirtualEthernetSwitchSettingData"
SYSTEM_TYPE = "DMTF:Virtual Ethernet Switch"


async def define(at: Site, cls: str = SETTINGS, **values: Any) -> tuple[int, dict[str, Any]]:
    return await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=Instance(cls, values))


def switch(at: Site, network: str) -> Path:
    return Path.of(SWITCH, {"CreationClassName": SWITCH, "Name": at.uuid(network)}, CIMV2)


@pytest.mark.parametrize("cls", [SETTINGS, DSP1097_SETTINGS])
async def test_a_switch_is_defined_and_destroyed_without_a_trace(cls: str) -> None:
    async with site() as at:
        before = at.sim.picture()["records"]
        asked = {"ElementName": "sw", "Description": "for tests", "VirtualSystemType": SYSTEM_TYPE, "EVBMode": 2}
        value, out = await define(at, cls, **asked)
        assert value == 0
        path = path_in(out["ResultingSystem"])
        network = at.store.get(at.made(out, "ResultingSystem", "network"))
        assert (network["name_label"], network["name_description"]) == ("sw", "for tests")
        settings = at.settings(network.ref, cls=SETTINGS)
        assert {name: at.shown(settings)[name] for name in asked} == asked
        assert at.service(MANAGEMENT) in at.related(path, "Xen_ServiceAffectsElement")
        assert await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=path) == (0, {})
        assert at.sim.picture()["records"] == before


async def test_settings_of_a_present_switch_define_another_one() -> None:
    async with site() as at:
        plain = at.sim.add("network", name_label="plain", bridge="xapi9", MTU=1500)
        copy = at.copy(at.settings(plain, cls=SETTINGS))
        value, out = await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=copy)
        assert value == 0
        made = at.store.get(at.made(out, "ResultingSystem", "network"))
        assert (made["name_label"], made.ref != plain, made["bridge"] != "xapi9") == ("plain", True, True)


@pytest.mark.parametrize(
    ("values", "more", "code"),
    [
        ({"VirtualSystemType": "DMTF:Xen:HVM"}, {}, 4),
        ({"EVBMode": 3}, {}, 4),
        ({"MaxNumMACAddress": 7}, {}, 4),
        ({"VLANConnection": ("5",)}, {}, 1),
        ({}, {"ResourceSettings": (Instance(NICS, {}),)}, 1),
    ],
)
async def test_what_a_switch_cannot_be_is_refused(values: dict[str, Any], more: dict[str, Any], code: int) -> None:
    async with site() as at:
        before = at.sim.picture()["records"]
        settings = Instance(SETTINGS, {"ElementName": "sw", **values})
        assert await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=settings, **more) == (code, {})
        assert at.sim.picture()["records"] == before


async def test_a_switch_that_connects_a_machine_is_not_destroyed() -> None:
    async with site() as at:
        at.sim.add_vm("one")
        path = switch(at, at.sim.network)
        assert await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=path) == (5, {})
        assert isinstance(at.store.get(at.sim.network), Version)


async def test_the_name_of_a_switch_changes_and_what_is_null_stays() -> None:
    async with site() as at:
        before = at.store.get(at.sim.network)
        identity = at.shown(at.settings(at.sim.network, cls=SETTINGS))["InstanceID"]

        async def modify(**values: Any) -> int:
            settings = Instance(SETTINGS, {"InstanceID": identity, **values})
            return (await at.ask(MANAGEMENT, "ModifySystemSettings", SystemSettings=settings))[0]

        assert await modify(ElementName="renamed", Description=None) == 0
        after = at.store.get(at.sim.network)
        assert (after["name_label"], after["name_description"]) == ("renamed", before["name_description"])
        assert await modify(ElementName="other", VLANConnection=("7",)) == 4
        assert await modify(InstanceID="Xen:nothing", ElementName="other") == 4
        assert at.store.get(at.sim.network)["name_label"] == "renamed"


async def test_while_methods_do_not_wait_the_job_tells_the_new_switch() -> None:
    async with site(mode="always") as at:
        value, out = await define(at, ElementName="sw")
        assert value == 4096
        assert (await at.ended(out))["status"] == "success"
        (link,) = (
            each
            for each in at.links(path_in(out["Job"]), "Xen_AffectedJobElement")
            if path_in(each["AffectedElement"]).classname == SWITCH
        )
        assert link["ElementEffects"] == ["5"]
