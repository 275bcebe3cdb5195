"""Settings of screens, TPMs, USB devices and virtual GPUs in DefineSystem, Add-, Modify- and RemoveResourceSettings."""

from __future__ import annotations

from typing import Any

import pytest
from cim_services import DISKS, GIB, MANAGEMENT, VSSD, FaultRule, Instance, Path, Site, site

from cim_provider.schema.objects import CIMV2, CimError

DISPLAY, TPM = "Xen_DisplaySettingData", "Xen_TPMSettingData"
USB, GPU = "Xen_USBSettingData", "Xen_VirtualGPUSettingData"
RASD = "CIM_ResourceAllocationSettingData"


def words(at: Site, vm: str) -> list[str]:
    """The classes of a machine's settings of such devices."""
    parts = at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")
    return sorted(path.classname for path in parts if path.classname in (DISPLAY, TPM, USB, GPU))


async def define(at: Site, *settings: Instance, **more: Any) -> tuple[int, str]:
    name = Instance(VSSD, {"ElementName": "new"})
    value, out = await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=name, ResourceSettings=settings, **more)
    return value, at.made(out, "ResultingSystem", "VM") if value == 0 else ""


async def test_a_machine_is_defined_with_a_screen_and_a_tpm_and_its_settings_define_another_one() -> None:
    async with site() as at:
        screen = Instance(RASD, {"ResourceType": 24, "ResourceSubType": "rdp"})
        tpm = Instance(RASD, {"ResourceType": 1, "OtherResourceType": "TPM"})
        value, vm = await define(at, screen, tpm)
        assert (value, words(at, vm)) == (0, [DISPLAY, TPM])
        (console,) = (at.store.get(ref) for ref in at.store.related(vm, "consoles"))
        assert console["protocol"] == "rdp"
        parts = at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")
        known = [at.copy(path) for path in parts]
        value, other = await define(at, *known, ReferenceConfiguration=at.settings(vm))
        assert (value, words(at, other)) == (0, [DISPLAY, TPM])
        assert len(at.store.related(other, "VTPMs")) == 1
        alone = [Instance(each.classname, {**each.values, "InstanceID": None}) for each in known]
        value, third = await define(at, *alone)
        assert (value, words(at, third)) == (0, [DISPLAY, TPM])


async def test_a_tpm_is_added_and_removed_and_a_screen_stays_when_the_machine_stops() -> None:
    async with site() as at:
        vm = at.sim.add_vm()
        given = (Instance(TPM, {}), Instance(DISPLAY, {}))
        value, out = await at.ask(
            MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm), ResourceSettings=given
        )
        assert (value, words(at, vm)) == (0, [DISPLAY, TPM])
        assert [path.get("CLASSNAME") for path in out["ResultingResourceSettings"].iter("INSTANCENAME")] == [
            TPM, DISPLAY,
        ]  # fmt: skip
        await at.sim.call("VM.start", vm, False, False)
        await at.sim.call("VM.hard_shutdown", vm)
        assert words(at, vm) == [DISPLAY, TPM]
        parts = at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")
        chosen = tuple(path for path in parts if path.classname in (TPM, DISPLAY))
        assert (await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=chosen))[0] == 0
        assert words(at, vm) == []


async def test_a_removal_that_fails_leaves_the_tpm_and_brings_the_screen_back() -> None:
    async with site() as at:
        vm = await at.sim.running()
        await at.sim.call("VM.hard_shutdown", vm)
        given = (Instance(TPM, {}), Instance(DISPLAY, {}))
        await at.ask(MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm), ResourceSettings=given)
        await at.sim.call("VM.start", vm, False, False)
        parts = at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")
        chosen = tuple(path for path in parts if path.classname in (TPM, DISPLAY))
        # The TPM of a running machine cannot go; it is last, when the screen is gone.
        assert (await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=chosen))[0] == 5
        assert words(at, vm) == [DISPLAY, TPM]


async def test_a_failed_definition_leaves_no_device() -> None:
    async with site() as at:
        at.faulty(FaultRule("create"))
        before = at.sim.picture()
        settings = (Instance(TPM, {}), Instance(DISPLAY, {}), Instance(DISKS, {"VirtualQuantity": GIB}))
        given = {"SystemSettings": Instance(VSSD, {}), "ResourceSettings": settings}
        with pytest.raises(CimError) as error:
            await at.ask(MANAGEMENT, "DefineSystem", **given)
        assert "SR_BACKEND_FAILURE" in str(error.value)
        assert at.sim.picture() == before


@pytest.mark.parametrize(
    ("cls", "values", "code"),
    [(RASD, {"ResourceType": 1}, 4), (RASD, {"ResourceType": 1, "OtherResourceType": "toaster"}, 4), (USB, {}, 4),
     (GPU, {}, 4), (DISPLAY, {"ResourceSubType": "vt100"}, 4), (TPM, {"VirtualQuantity": 2}, 4),
     (TPM, {"PoolID": "elsewhere"}, 4), (DISPLAY, {"AllocationUnits": "byte"}, 4), (TPM, {"ResourceType": 23}, 4),
     (USB, {"HostResource": ("nothing",)}, 4), (DISPLAY, {"Weight": 7}, 4)],
)  # fmt: skip
async def test_settings_that_make_no_device_are_refused(cls: str, values: dict[str, Any], code: int) -> None:
    async with site() as at:
        vm, before = at.sim.add_vm(), at.store.revision
        value, _ = await at.ask(
            MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm),
            ResourceSettings=(Instance(cls, values),),
        )  # fmt: skip
        assert value == code
        assert not at.store.changes(before)


async def test_a_device_shown_in_both_configurations_cannot_be_changed_nor_unplugged() -> None:
    async with site() as at:
        vm = await at.sim.running()
        (console,) = at.store.related(vm, "consoles")
        state = Path.of(DISPLAY, {"InstanceID": f"Xen:{at.uuid(vm)}/State/{at.uuid(console)}"}, CIMV2)
        same = at.copy(state)
        assert (await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=(same,)))[0] == 0
        other = at.copy(state, ResourceSubType="rdp")
        assert (await at.ask(MANAGEMENT, "ModifyResourceSettings", ResourceSettings=(other,)))[0] == 4
        assert (await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(state,)))[0] == 1
        assert at.store.find(console) is not None


async def test_what_the_pool_cannot_make_yet_is_not_supported_and_leaves_nothing() -> None:
    async with site() as at:
        group = at.sim.add("USB_group", name_label="sticks")
        vm = at.sim.add_vm()
        settings = Instance(USB, {"HostResource": (at.uuid(group),), "ConsumerVisibility": 2})
        before = at.sim.picture()
        value, _ = await at.ask(
            MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm), ResourceSettings=(settings,)
        )
        assert value == 1 or at.store.related(vm, "VUSBs")
        if value == 1:
            assert at.sim.picture() == before
