"""Extents: what is rendered once, what is rendered again, and how a path finds its instance."""

from __future__ import annotations

import asyncio

import pytest
from cim_pool import GIB, SmallPool

from cim_provider.mapping.extent import Extent, Rendition, Shown
from cim_provider.mapping.view import VIEWS
from cim_provider.schema.objects import Path


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", power_state="Running", metrics={"VCPUs_number": 2, "memory_actual": GIB})
    pool.disk("disk", "web")
    return pool


def extent(pool: SmallPool, name: str) -> Extent:
    return pool.provider.extent(VIEWS[name])


def only(pool: SmallPool, classname: str, record: str) -> Rendition:
    (found,) = (one for one in extent(pool, classname).of(pool.version(record)) if one.item is None)
    return found


def test_a_rendition_is_used_again_while_its_record_stays(pool: SmallPool) -> None:
    assert only(pool, "Xen_ComputerSystem", "web") is only(pool, "Xen_ComputerSystem", "web")


def test_a_change_of_the_record_is_seen(pool: SmallPool) -> None:
    only(pool, "Xen_ComputerSystem", "web")
    pool.set("web", name_label="www")
    assert only(pool, "Xen_ComputerSystem", "web").values["ElementName"] == "www"


def test_a_change_of_a_record_the_rules_looked_at_is_seen(pool: SmallPool) -> None:
    before = only(pool, "Xen_Memory", "web")
    pool.set("web/metrics", memory_actual=2 * GIB)
    after = only(pool, "Xen_Memory", "web")
    assert (before.values["ConsumableBlocks"], after.values["ConsumableBlocks"]) == (GIB // 4096, 2 * GIB // 4096)


def test_a_record_two_references_away_is_looked_at_too(pool: SmallPool) -> None:
    assert only(pool, "Xen_DiskSettingData", "disk").values["PoolID"] == pool.uuid("sr")
    other = pool.add("SR", "other", type="nfs")
    pool.set("disk/vdi", SR=other)
    assert only(pool, "Xen_DiskSettingData", "disk").values["PoolID"] == pool.uuid("other")


def test_a_view_that_stops_applying_through_another_record_loses_its_instance(pool: SmallPool) -> None:
    assert len(list(extent(pool, "Xen_LogicalDisk"))) == 1
    pool.set("web", is_a_template=True)
    assert list(extent(pool, "Xen_LogicalDisk")) == []
    pool.set("web", is_a_template=False)
    assert len(list(extent(pool, "Xen_LogicalDisk"))) == 1


def test_a_list_is_kept_until_a_class_that_took_part_changes(pool: SmallPool) -> None:
    memory = extent(pool, "Xen_Memory")
    first = memory.listing()
    assert memory.listing() is first
    pool.set("lan", name_label="other")
    assert memory.listing() is first
    pool.set("web/metrics", memory_actual=2 * GIB)
    second = memory.listing()
    assert second is not first
    assert [r.values["ConsumableBlocks"] for r in second.shown] == [2 * GIB // 4096]


def test_a_list_follows_new_and_deleted_records(pool: SmallPool) -> None:
    systems = extent(pool, "Xen_ComputerSystem")
    assert [r.values["ElementName"] for r in systems] == ["web"]
    pool.vm("db")
    assert [r.values["ElementName"] for r in systems] == ["web", "db"]
    pool.delete("web")
    assert [r.values["ElementName"] for r in systems] == ["db"]


def test_what_depends_on_the_clock_is_never_kept(pool: SmallPool) -> None:
    pool.add("task", "task", name_label="Async.VM.start", created=pool.clock.now())
    jobs = extent(pool, "Xen_ConcreteJob")
    (before,) = jobs
    asyncio.run(pool.clock.advance(61))
    (after,) = jobs
    assert before.values["ElapsedTime"] == "00000000000000.000000:000"
    assert after.values["ElapsedTime"] == "00000000000101.000000:000"


def test_a_dangling_reference_is_not_remembered_as_one(pool: SmallPool) -> None:
    ref = pool.ids.ref()
    pool.set("web", guest_metrics=ref)
    assert only(pool, "Xen_ComputerSystem", "web").values["OtherIdentifyingInfo"] == ()
    txn = pool.store.begin()
    txn.create("VM_guest_metrics", ref, {"uuid": pool.ids.uuid(), "os_version": {"name": "Debian"}})
    pool.store.commit(txn)
    assert only(pool, "Xen_ComputerSystem", "web").values["OtherIdentifyingInfo"] == ("Debian",)


def test_encoded_forms_are_made_once_per_rendition_and_listing(pool: SmallPool) -> None:
    made: list[Shown] = []

    def make(shown: Shown) -> bytes:
        made.append(shown)
        return b"x"

    listing = extent(pool, "Xen_ComputerSystem").listing()
    pool.vm("second")
    both = extent(pool, "Xen_ComputerSystem").listing()
    assert list(listing.pieces("test", make)) == [b"x"]
    assert list(listing.pieces("test", make)) == [b"x"]
    assert len(made) == 1
    assert list(both.pieces("test", make)) == [b"xx"]  # one piece for the one that had to be made
    assert list(both.pieces("test", make)) == [b"xx"]
    assert len(made) == 2


def test_a_path_finds_its_instance_without_a_search(pool: SmallPool) -> None:
    for n in range(5):
        pool.vm(f"more-{n}")
    pool.source.rescans.clear()
    found = extent(pool, "Xen_ComputerSystem").find(pool.path("web"))
    assert found is not None
    assert found.values["ElementName"] == "web"
    assert pool.source.rescans == []


def test_every_instance_is_found_by_its_own_path(pool: SmallPool) -> None:
    pool.nic("nic", "web")
    pool.disk("cd", "web", type="CD", userdevice="3", mode="RO")
    pool.add("task", "task")
    pool.equip("web")
    pool.subscribed()
    pool.called("called")
    office = pool.add("network", "office", name_label="office")
    pool.add("PIF", "vlan", host=pool.refs["host-0"], network=office, device="eth0", VLAN=7, currently_attached=True)
    for view in VIEWS.values():
        instances = list(pool.provider.extent(view))
        assert instances, f"{view.cim} shows nothing"
        for shown in instances:
            found = pool.provider.extent(view).find(shown.path)
            assert found is not None
            assert found.path == shown.path


def test_two_instances_never_have_the_same_path(pool: SmallPool) -> None:
    pool.vm("db", power_state="Halted")
    pool.disk("db-disk", "db")
    paths = [shown.path for view in VIEWS.values() for shown in pool.provider.extent(view)]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(
    "change",
    [
        {"Name": "00000000-0000-0000-0000-000000000000"},
        {"Name": ""},
        {"CreationClassName": "CIM_ComputerSystem"},
        {"Extra": "1"},
    ],
)
def test_a_path_with_any_wrong_key_finds_nothing(pool: SmallPool, change: dict[str, str]) -> None:
    keys = dict(pool.path("web").keys or ()) | change
    assert extent(pool, "Xen_ComputerSystem").find(Path.of("Xen_ComputerSystem", keys)) is None


def test_a_record_the_view_leaves_out_is_not_found_by_path(pool: SmallPool) -> None:
    path = pool.path("web")
    pool.set("web", is_control_domain=True)
    assert extent(pool, "Xen_ComputerSystem").find(path) is None


def test_a_processor_number_that_does_not_exist_is_not_found(pool: SmallPool) -> None:
    first = next(iter(extent(pool, "Xen_Processor"))).path
    keys = dict(first.keys or ()) | {"DeviceID": f"Xen:{pool.uuid('web')}/vcpu/2"}
    assert extent(pool, "Xen_Processor").find(Path.of("Xen_Processor", keys)) is None
