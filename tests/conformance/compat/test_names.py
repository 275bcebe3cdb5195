"""Machines, pools and hosts by the names people gave them: whose a name is, and what happens when that changes."""

from __future__ import annotations

import pytest
from cim_pool import elements, instance_values, run
from compat_pool import CIMV2, ModePool, Path

SYSTEM, VSSD, DISK = "Xen_ComputerSystem", "Xen_VirtualSystemSettingData", "Xen_DiskSettingData"


@pytest.fixture
def pool() -> ModePool:
    return ModePool("libvirt-cim")


def named(pool: ModePool, name: str) -> str | None:
    """The uuid of the machine that a path with this name leads to."""
    found = pool.provider.find(Path.of(SYSTEM, {"CreationClassName": SYSTEM, "Name": name}, CIMV2), CIMV2)
    return None if found is None else str(found.values["UUID"])


def test_a_name_that_two_machines_have_is_nobodys(pool: ModePool) -> None:
    assert pool.values(SYSTEM, "web")["Name"] == "web"
    pool.vm("other", name_label="web")
    for record in ("web", "other"):
        uuid = pool.uuid(record)
        assert pool.values(SYSTEM, record)["Name"] == uuid
        assert pool.values(VSSD, record)["InstanceID"] == f"Xen:{uuid}"
        assert named(pool, uuid) == uuid
    assert pool.values(DISK, "web-disk")["InstanceID"] == f"{pool.uuid('web')}/xvda"
    assert named(pool, "web") is None
    assert {one.values["Name"] for one in pool.shown(SYSTEM)} >= {pool.uuid("web"), pool.uuid("other")}


@pytest.mark.parametrize("how", ["rename", "delete", "template"])
def test_a_name_comes_back_to_the_only_machine_left_with_it(pool: ModePool, how: str) -> None:
    pool.vm("other", name_label="web")
    assert pool.values(DISK, "web-disk")["InstanceID"].startswith(pool.uuid("web"))
    if how == "rename":
        pool.set("other", name_label="x")
    elif how == "delete":
        pool.delete("other")
    else:
        pool.set("other", is_a_template=True)
    assert pool.values(SYSTEM, "web")["Name"] == "web"
    assert pool.values(DISK, "web-disk")["InstanceID"] == "web/xvda"
    assert named(pool, "web") == pool.uuid("web")


def test_a_query_for_a_name_looks_at_that_machine_alone(pool: ModePool) -> None:
    query = "SELECT * FROM Xen_ComputerSystem WHERE Name = 'web'"
    before = pool.provider.tally.made
    reply = run(pool.provider, "ExecQuery", QueryLanguage="WQL", Query=query)
    (found,) = elements(reply.values)
    assert instance_values(found)["UUID"] == pool.uuid("web")
    assert pool.provider.tally.made - before == 1


def test_templates_and_snapshots_take_no_name_from_a_machine(pool: ModePool) -> None:
    pool.vm("copy", name_label="web", is_a_snapshot=True, is_a_template=True, snapshot_of=pool.refs["web"])
    assert pool.values(SYSTEM, "web")["Name"] == "web"
    assert pool.values(VSSD, "copy")["InstanceID"] == f"Xen:{pool.uuid('copy')}"


def test_a_machine_without_a_name_is_called_by_its_uuid(pool: ModePool) -> None:
    pool.vm("nameless", name_label="")
    assert pool.values(SYSTEM, "nameless")["Name"] == pool.uuid("nameless")


def test_a_name_that_is_the_uuid_of_another_machine_is_not_used(pool: ModePool) -> None:
    pool.set("off", name_label=pool.uuid("web"))
    assert pool.values(SYSTEM, "off")["Name"] == pool.uuid("off")
    assert named(pool, pool.uuid("web")) is None  # it is called web


@pytest.mark.parametrize("name", ["a/b", "a b", 'quote"d', "größe", "<&>", "Xen:x"])
def test_any_name_leads_back_to_machine_configuration_and_devices(pool: ModePool, name: str) -> None:
    pool.set("web", name_label=name)
    for view, record in ((SYSTEM, "web"), (VSSD, "web"), (DISK, "web-disk"), ("Xen_NetworkPort", "web-nic")):
        one = pool.one(view, record)
        found = pool.provider.find(one.path, CIMV2)
        assert found is not None
        assert found.path == one.path


def test_pools_with_one_name_are_called_by_uuid(pool: ModePool) -> None:
    pool.add("SR", "second", name_label="sr", type="nfs")
    for record in ("sr", "second"):
        assert pool.values("Xen_StoragePool", record)["InstanceID"] == f"DiskPool/{pool.uuid(record)}"
    assert pool.values(DISK, "web-disk")["PoolID"] == f"DiskPool/{pool.uuid('sr')}"


def test_the_literal_identifiers_go_with_the_coordinator(pool: ModePool) -> None:
    assert pool.values("Xen_MemoryPool", "host-0")["InstanceID"] == "MemoryPool/0"
    pool.set("pool", master=pool.refs["host-1"])
    assert pool.values("Xen_MemoryPool", "host-1")["InstanceID"] == "MemoryPool/0"
    assert pool.values("Xen_MemoryPool", "host-0")["InstanceID"] == "MemoryPool/host-0.example"
