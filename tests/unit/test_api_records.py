"""What every class has: getters, setters, queries, constructor records."""

from __future__ import annotations

import pytest
from api_pool import api_pool

from xenapi_core.model.catalog import SCHEMA


async def test_every_getter_agrees_with_the_record():
    async with api_pool() as pool:
        session = await pool.login()
        vm = pool.add_vm(tags=("a", "b"), other_config={"k": "v"})
        pool.add("VBD", VM=vm)
        record = await pool.call("VM.get_record", session, vm)
        for field in SCHEMA["VM"].fields:
            if not field.internal and field.state != "removed":
                assert await pool.call(f"VM.get_{field.name}", session, vm) == record[field.name], field.name
        assert set(record) == {f.name for f in SCHEMA["VM"].fields if not f.internal}


async def test_inverse_field_follows_the_other_end():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        assert await pool.call("VM.get_record", session, vm)
        vbd = pool.add("VBD", VM=vm)
        assert (await pool.call("VM.get_record", session, vm))["VBDs"] == [vbd]
        assert await pool.call("VM.get_VBDs", session, vm) == [vbd]


async def test_get_all_records_is_remade_when_something_changed():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(name_label="before")
        assert (await pool.call("VM.get_all_records", session))[vm]["name_label"] == "before"
        assert pool.send("VM.get_all_records", session) is pool.send("VM.get_all_records", session)
        pool.change(vm, name_label="after")
        assert (await pool.call("VM.get_all_records", session))[vm]["name_label"] == "after"
        other = pool.add_vm()
        assert set(await pool.call("VM.get_all_records", session)) == {vm, other}


async def test_find_by_uuid_and_by_name():
    async with api_pool() as pool:
        session = await pool.login()
        one, two = pool.add_vm(name_label="twin"), pool.add_vm(name_label="twin")
        assert await pool.call("VM.get_by_name_label", session, "twin") == [one, two]
        uuid = await pool.call("VM.get_uuid", session, two)
        assert await pool.call("VM.get_by_uuid", session, uuid) == two


async def test_filter_selects_references_and_records():
    async with api_pool() as pool:
        session = await pool.login()
        one, two = pool.add_vm(name_label="one"), pool.add_vm(name_label="two", is_a_template=True)
        expr = 'field "is_a_template" = "false"'
        assert await pool.call("VM.get_all_where", session, expr) == [one]
        assert set(await pool.call("VM.get_all_records_where", session, "not " + expr)) == {two}
        assert await pool.call("VM.get_all_where", session, 'field "name__label" = "two"') == [two]
        assert await pool.refusal("VM.get_all_where", session, 'field "nope" = "1"') == [
            "INTERNAL_ERROR", "missing column", "VM", "nope",
        ]  # fmt: skip
        assert (await pool.refusal("VM.get_all_where", session, "field field"))[:2] == ["INVALID_VALUE", "field field"]


async def test_setter_writes_and_says_nothing():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        assert await pool.call("VM.set_name_label", session, vm, "new") == ""
        assert pool.store.get(vm)["name_label"] == "new"
        assert await pool.call("VM.set_tags", session, vm, ["x", "y"]) == ""
        assert pool.store.get(vm)["tags"] == ("x", "y")


async def test_map_key_is_added_once_and_removed_without_complaint():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(other_config={})
        await pool.call("VM.add_to_other_config", session, vm, "k", "v")
        assert await pool.refusal("VM.add_to_other_config", session, vm, "k", "w") == [
            "MAP_DUPLICATE_KEY", "VM", "other_config", vm, "k",
        ]  # fmt: skip
        assert pool.store.get(vm)["other_config"] == {"k": "v"}
        await pool.call("VM.remove_from_other_config", session, vm, "k")
        await pool.call("VM.remove_from_other_config", session, vm, "k")
        assert pool.store.get(vm)["other_config"] == {}


async def test_set_members_are_added_once_and_removed_without_complaint():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm()
        for _ in range(2):
            await pool.call("VM.add_tags", session, vm, "x")
        assert pool.store.get(vm)["tags"] == ("x",)
        for _ in range(2):
            await pool.call("VM.remove_tags", session, vm, "x")
        assert pool.store.get(vm)["tags"] == ()


async def test_write_of_the_same_value_makes_no_revision():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(name_label="same")
        before = pool.store.revision
        await pool.call("VM.set_name_label", session, vm, "same")
        assert pool.store.revision == before


MEMORY = {f"memory_{n}": str(1 << 30) for n in ("static_min", "dynamic_min", "dynamic_max", "static_max")}
API_1_0_RECORD = {
    "name_label": "new", "user_version": "1", "is_a_template": False, "VCPUs_params": {}, "VCPUs_max": 2,
    "VCPUs_at_startup": "1", "actions_after_shutdown": "destroy", "actions_after_reboot": "restart",
    "actions_after_crash": "restart", "PV_bootloader": "", "PV_kernel": "", "PV_ramdisk": "", "PV_args": "",
    "PV_bootloader_args": "", "HVM_boot_policy": "", "HVM_boot_params": {}, "platform": {}, "PCI_bus": "",
    "other_config": {}, **MEMORY,
}  # fmt: skip


async def test_record_of_an_api_1_0_client_makes_a_complete_vm():
    async with api_pool() as pool:
        session = await pool.login()
        vm = await pool.call("VM.create", session, API_1_0_RECORD)
        record = await pool.call("VM.get_record", session, vm)
        assert record["power_state"] == "Halted"
        assert record["affinity"] == "OpaqueRef:NULL"
        assert record["domain_type"] == "pv"
        assert record["domid"] == "-1"
        assert record["VCPUs_at_startup"] == "1"
        assert record["other_config"]["mac_seed"]
        metrics = await pool.call("VM_metrics.get_record", session, record["metrics"])
        assert metrics["uuid"]


async def test_record_read_from_one_vm_makes_another():
    async with api_pool() as pool:
        session = await pool.login()
        first = await pool.call("VM.create", session, {**API_1_0_RECORD, "affinity": pool.host})
        record = await pool.call("VM.get_record", session, first)
        second = await pool.call("VM.create", session, {**record, "unknown": "ignored"})
        copy = await pool.call("VM.get_record", session, second)
        differing = {name for name in record if record[name] != copy[name]}
        assert differing == {"uuid", "metrics"}


async def test_suspended_record_without_an_image_is_refused_and_leaves_nothing():
    async with api_pool() as pool:
        session = await pool.login()
        described = await pool.refusal("VM.create", session, {**API_1_0_RECORD, "power_state": "Suspended"})
        assert described[0] == "VM_BAD_POWER_STATE"
        assert described[2:] == ["halted", "suspended"]
        assert not pool.store.all("VM")
        assert not pool.store.all("VM_metrics")


async def test_reference_in_a_record_must_exist():
    async with api_pool() as pool:
        session = await pool.login()
        record = {**API_1_0_RECORD, "affinity": "OpaqueRef:gone"}
        assert await pool.refusal("VM.create", session, record) == ["HANDLE_INVALID", "host", "OpaqueRef:gone"]


async def test_async_create_answers_a_task_whose_result_is_the_reference():
    async with api_pool() as pool:
        session = await pool.login()
        task = await pool.call("Async.VM.create", session, API_1_0_RECORD)
        await pool.clock.settle()
        (vm,) = pool.store.all("VM")
        record = await pool.call("task.get_record", session, task)
        assert record["status"] == "success"
        assert record["result"] == f"<value>{vm}</value>"
        assert record["name_label"] == "Async.VM.create"


async def test_async_failure_is_in_the_task():
    async with api_pool() as pool:
        session, vm = await pool.login(), pool.add_vm(power_state="Running")
        task = await pool.call("Async.VM.set_memory", session, vm, "4096")
        await pool.clock.settle()
        record = await pool.call("task.get_record", session, task)
        assert record["status"] == "failure"
        assert record["error_info"] == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


@pytest.mark.parametrize("name", sorted(SCHEMA.classes))
async def test_records_of_every_class_can_be_made_and_read(name):
    cls = SCHEMA[name]
    if not cls.in_database or cls.state == "removed":
        return
    async with api_pool() as pool:
        session = await pool.login()
        ref = pool.add(name) if name != "session" else session
        record = await pool.call(f"{name}.get_record", session, ref)
        assert set(record) <= {f.name for f in cls.fields if not f.internal}
        if cls.get_all:
            assert ref in await pool.call(f"{name}.get_all", session)
            assert (await pool.call(f"{name}.get_all_records", session))[ref] == record
