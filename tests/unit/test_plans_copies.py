"""Clones, copies, snapshots, checkpoints, reverting, provisioning and destroying."""

from __future__ import annotations

from typing import Any

import pytest

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.testing.pool import GIB, TEST_CALLER, SimPool, sim_pool


async def refused(pool: SimPool, wire_name: str, *args: Any) -> list[str]:
    with pytest.raises(ApiError) as failure:
        await pool.call(wire_name, *args)
    return failure.value.description


def disks(pool: SimPool, vm: str) -> list[Any]:
    vbds = [pool.store.get(vbd) for vbd in pool.store.related(vm, "VBDs")]
    return [pool.store.get(vbd["VDI"]) for vbd in vbds if vbd["type"] == "Disk" and not vbd["empty"]]


async def test_clone_is_a_vm_of_its_own() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("source", disks=2)
        ref = await pool.call("VM.clone", vm, "copy")
        source, copy = pool.vm(vm), pool.vm(ref)
        assert (copy["name_label"], copy["power_state"], copy["parent"]) == ("copy", "Halted", NULL_REF)
        assert copy["uuid"] != source["uuid"]
        assert copy["metrics"] != source["metrics"]
        assert copy["other_config"]["mac_seed"] != source["other_config"]["mac_seed"]
        assert copy["snapshot_info"] == {"power-state-at-snapshot": "Halted"}
        assert copy["generation_id"] != source["generation_id"]
        assert not {vdi.ref for vdi in disks(pool, vm)} & {vdi.ref for vdi in disks(pool, ref)}
        assert [vdi["name_label"] for vdi in disks(pool, ref)] == ["source disk 0", "source disk 1"]
        macs = [pool.store.get(pool.store.related(owner, "VIFs")[0])["MAC"] for owner in (vm, ref)]
        assert macs[0] != macs[1]
        assert all("owner" in pool.store.get(vbd)["other_config"] for vbd in pool.store.related(ref, "VBDs"))
        await pool.call("VM.start", ref, False, False)
        await pool.call("VM.start", vm, False, False)


async def test_clone_keeps_media_and_empty_drives() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=0)
        iso = pool.add_vdi(sr=pool.iso, read_only=True, sharable=True)
        for position, medium in (("2", iso), ("3", NULL_REF)):
            values = pool.vbd_values(vm, medium, position, type="CD", mode="RO", empty=medium == NULL_REF)
            await pool.call("VBD.create", values)
        ref = await pool.call("VM.clone", vm, "copy")
        drives = [pool.store.get(vbd) for vbd in pool.store.related(ref, "VBDs")]
        assert [(drive["VDI"], drive["empty"]) for drive in drives] == [(iso, False), (NULL_REF, True)]


async def test_clone_of_a_template_remembers_it_and_can_be_provisioned() -> None:
    async with sim_pool() as pool:
        sr = pool.store.get(pool.sr)["uuid"]
        provision = (
            f'<provision><disk device="0" size="{8 * GIB}" sr="{sr}" bootable="true" type="system"/></provision>'
        )
        template = pool.add_vm(
            "Debian", disks=0, is_a_template=True, is_default_template=True,
            other_config={"disks": provision, "default_template": "true", "kept": "yes"},
        )  # fmt: skip
        ref = await pool.call("VM.clone", template, "new")
        record = pool.vm(ref)
        assert record["is_a_template"] is True
        assert record["is_default_template"] is False
        assert record["other_config"]["base_template_name"] == "Debian"
        assert "default_template" not in record["other_config"]
        await pool.call("VM.provision", ref)
        record = pool.vm(ref)
        assert record["is_a_template"] is False
        assert "disks" not in record["other_config"]
        assert record["other_config"]["kept"] == "yes"
        (disk,) = disks(pool, ref)
        assert (disk["name_label"], disk["virtual_size"]) == ("0", 8 * GIB)
        assert disk["name_description"] == "Created by template provisioner"
        assert pool.store.get(record["metrics"])["install_time"] == pool.clock.now()
        await pool.call("VM.start", ref, False, False)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('<provision><disk device="0" size="1" sr="" bootable="true" type="system"/></provision>', "UUID_INVALID"),
        ("<provision><disk", "INVALID_VALUE"),
        ('<!DOCTYPE x [<!ENTITY e "e">]><provision/>', "INVALID_VALUE"),
        ('<provision><disk device="0" size="-1" sr="{sr}" type="system"/></provision>', "INVALID_VALUE"),
        ('<provision><disk device="?" size="1" sr="{sr}" type="system"/></provision>', "INVALID_VALUE"),
    ],
)
async def test_provision_refuses_bad_descriptions(text: str, error: str) -> None:
    async with sim_pool() as pool:
        given = text.replace("{sr}", pool.store.get(pool.sr)["uuid"])
        vm = pool.add_vm(disks=0, is_a_template=True, other_config={"disks": given})
        assert (await refused(pool, "VM.provision", vm))[0] == error
        assert pool.vm(vm)["is_a_template"] is True


async def test_copy_puts_the_disks_on_another_repository_but_not_on_an_iso_library() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        other = pool.add_sr("other", 100 * GIB)
        ref = await pool.call("VM.copy", vm, "copy", other)
        assert [vdi["SR"] for vdi in disks(pool, ref)] == [other]
        assert pool.store.get(other)["virtual_allocation"] == GIB
        same = await pool.call("VM.copy", vm, "copy", NULL_REF)
        assert [vdi["SR"] for vdi in disks(pool, same)] == [pool.sr]
        assert (await refused(pool, "VM.copy", vm, "copy", pool.iso))[0] == "OPERATION_NOT_ALLOWED"


async def test_snapshot_of_a_running_vm_is_a_halted_template_that_descends_from_it() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(disks=2)
        first = await pool.call("VM.snapshot", vm, "one")
        second = await pool.call("VM.snapshot", vm, "two")
        one, two = pool.vm(first), pool.vm(second)
        assert (one["power_state"], one["is_a_template"], one["is_a_snapshot"]) == ("Halted", True, True)
        assert (one["snapshot_of"], one["snapshot_time"] > 0) == (vm, True)
        assert one["snapshot_info"] == {
            "power-state-at-snapshot": "Running",
            "disk-snapshot-type": "crash_consistent",
        }
        assert (pool.vm(vm)["parent"], two["parent"], one["parent"]) == (second, first, NULL_REF)
        assert pool.store.related(vm, "snapshots") == (first, second)
        for vdi in disks(pool, first):
            assert (vdi["is_a_snapshot"], vdi["snapshot_of"]) == (True, vdi["snapshot_of"])
        macs = {pool.store.get(pool.store.related(owner, "VIFs")[0])["MAC"] for owner in (vm, first)}
        assert len(macs) == 1
        assert pool.vm(vm)["power_state"] == "Running"


async def test_snapshot_leaves_out_the_disks_it_is_told_to() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2)
        ignored = disks(pool, vm)[0].ref
        ref = await pool.call("VM.snapshot", vm, "snap", (ignored,))
        (kept,) = disks(pool, ref)
        assert kept["snapshot_of"] == disks(pool, vm)[1].ref


async def test_checkpoint_of_a_running_vm_keeps_its_memory_and_lets_it_run_on() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        ref = await pool.call("VM.checkpoint", vm, "check")
        check = pool.vm(ref)
        assert (pool.vm(vm)["power_state"], check["power_state"]) == ("Running", "Suspended")
        assert pool.store.get(check["suspend_VDI"])["type"] == "suspend"
        halted = await pool.call("VM.clone", ref, "from checkpoint")
        assert pool.vm(halted)["power_state"] == "Halted"


async def test_revert_brings_disks_settings_and_memory_back() -> None:
    async with sim_pool() as pool:
        vm = await pool.running(disks=1, VCPUs_max=2)
        ref = await pool.call("VM.checkpoint", vm, "check")
        old = disks(pool, vm)[0].ref
        pool.change(vm, VCPUs_max=4, name_label="renamed")
        await pool.call("VM.revert", ref)
        record = pool.vm(vm)
        assert (record["power_state"], record["VCPUs_max"], record["name_label"]) == ("Suspended", 2, "renamed")
        assert record["parent"] == ref
        (disk,) = disks(pool, vm)
        assert disk.ref != old
        assert pool.store.find(old) is None
        assert pool.store.get(disks(pool, ref)[0].ref)["snapshot_of"] == disk.ref
        await pool.call("VM.resume", vm, False, False)
        assert pool.vm(vm)["power_state"] == "Running"


async def test_revert_leaves_disks_alone_that_the_snapshot_has_none_of() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2)
        taken, ignored = (disk.ref for disk in disks(pool, vm))
        snapshot = await pool.call("VM.snapshot", vm, "one disk of two", (ignored,))
        later = pool.add_vdi()
        await pool.call("VBD.create", pool.vbd_values(vm, later, "5"))
        await pool.call("VM.revert", snapshot)
        assert pool.store.find(taken) is None
        volumes = {volume.uuid for volume in await pool.engine.storages[pool.sr].volumes()}
        for vdi in (ignored, later):
            assert pool.store.get(vdi)["uuid"] in volumes
            assert pool.store.related(vdi, "VBDs") == ()
        (disk,) = disks(pool, vm)
        assert pool.store.get(disks(pool, snapshot)[0].ref)["snapshot_of"] == disk.ref


async def test_revert_leaves_a_disk_to_another_vm_that_uses_it() -> None:
    async with sim_pool() as pool:
        vm, reader = pool.add_vm(disks=0), pool.add_vm("reader", disks=0)
        shared = pool.add_vdi()
        for each in (vm, reader):
            await pool.call("VBD.create", pool.vbd_values(each, shared, "0", mode="RO"))
        await pool.call("VM.start", reader, False, False)
        snapshot = await pool.call("VM.snapshot", vm, "before")
        await pool.call("VM.revert", snapshot)
        assert [disk.ref for disk in disks(pool, reader)] == [shared]
        assert pool.store.get(shared)["uuid"] in {v.uuid for v in await pool.engine.storages[pool.sr].volumes()}
        assert [disk.ref for disk in disks(pool, vm)] != [shared]


async def test_revert_waits_for_what_is_done_to_the_disks_it_replaces() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        (disk,) = disks(pool, vm)
        pool.sim.storage(pool.store.get(pool.sr)["uuid"]).contents[disk["uuid"]].used = GIB
        snapshot = await pool.call("VM.snapshot", vm, "before")
        copy = pool.engine.launch("VDI.copy", (disk.ref, NULL_REF), TEST_CALLER)
        await pool.pass_time(0.5)
        assert pool.store.get(copy)["status"] == "pending"
        await pool.call("VM.revert", snapshot)
        assert pool.store.get(copy)["status"] == "success"
        assert pool.store.find(disk.ref) is None


async def test_copies_keep_what_the_guest_had_reported_until_they_start() -> None:
    async with sim_pool() as pool:

        def report(ref: str) -> dict[str, Any]:
            values = pool.store.get(pool.vm(ref)["guest_metrics"]).values
            return {name: value for name, value in values.items() if name != "uuid"}

        vm = pool.add_vm()
        before = await pool.call("VM.snapshot", vm, "before its first boot")
        await pool.call("VM.start", vm, False, False)
        await pool.pass_time(20)
        reported = report(vm)
        assert reported["networks"]
        snapshot = await pool.call("VM.snapshot", vm, "with tools")
        await pool.call("VM.hard_shutdown", vm)
        clone = await pool.call("VM.clone", vm, "copy")
        assert report(snapshot) == report(clone) == reported
        assert len({pool.vm(ref)["guest_metrics"] for ref in (vm, snapshot, clone)}) == 3
        await pool.call("VM.start", clone, False, False)
        assert is_null(pool.vm(clone)["guest_metrics"])

        await pool.call("VM.revert", before)
        assert is_null(pool.vm(vm)["guest_metrics"])
        await pool.call("VM.revert", snapshot)
        assert report(vm) == reported
        await pool.call("VM.destroy", snapshot)
        assert report(vm) == reported
        assert len(pool.store.all("VM_guest_metrics")) == 1


async def test_revert_needs_a_snapshot() -> None:
    async with sim_pool() as pool:
        assert await refused(pool, "VM.revert", pool.add_vm()) == ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"]


async def test_destroy_removes_the_vm_and_its_devices_but_not_its_disks() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=2)
        snapshot = await pool.call("VM.snapshot", vm, "snap")
        kept = disks(pool, vm)
        owned = [*pool.store.related(vm, "VBDs"), *pool.store.related(vm, "VIFs"), pool.vm(vm)["metrics"]]
        await pool.call("VM.destroy", vm)
        assert pool.store.find(vm) is None
        assert [ref for ref in owned if pool.store.find(ref)] == []
        assert all(pool.store.find(vdi.ref) for vdi in kept)
        assert pool.store.find(snapshot) is not None


async def test_destroying_a_snapshot_hands_its_children_to_its_parent() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        first = await pool.call("VM.snapshot", vm, "one")
        second = await pool.call("VM.snapshot", vm, "two")
        await pool.call("VM.destroy", first)
        assert pool.vm(second)["parent"] == NULL_REF
        await pool.call("VM.destroy", second)
        assert pool.vm(vm)["parent"] == NULL_REF


async def test_default_templates_and_control_domains_are_not_destroyed() -> None:
    async with sim_pool() as pool:
        template = pool.add_vm(is_a_template=True, is_default_template=True)
        assert await refused(pool, "VM.destroy", template) == ["VM_CANNOT_DELETE_DEFAULT_TEMPLATE", template]
        dom0 = pool.add_vm("dom0", is_control_domain=True)
        assert (await refused(pool, "VM.destroy", dom0))[0] == "OPERATION_NOT_ALLOWED"
