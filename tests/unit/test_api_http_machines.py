"""VMs that leave one pool and arrive in another: what stays the same, what is made anew, and what is refused."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import xmlrpc.client
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import xxhash
import zstandard
from action_server import Site, action_server

from xenapi_core.ids import NULL_REF
from xenapi_core.model.lifecycle import POWER_ON_TIME
from xenapi_core.testing.faults import FaultRule, Faulty
from xenapi_core.testing.pool import GIB

MIB = 1 << 20
DATA = random.Random(2).randbytes(2 * MIB + 999)


@asynccontextmanager
async def two_sites() -> AsyncIterator[tuple[Site, Site]]:
    """Servers of two pools."""
    async with action_server() as first, action_server() as second:
        second.pool.ids.seed = "another pool"
        yield first, second


async def machine(site: Site, **values: Any) -> str:
    """A VM with two small disks with something on them, a CD drive and a NIC."""
    pool = site.pool
    given = {
        "name_label": "traveller", "name_description": "goes <far> & comes back", "VCPUs_max": 4,
        "VCPUs_at_startup": 2, "HVM_boot_policy": "BIOS order", "HVM_boot_params": {"order": "cd"},
        "platform": {"acpi": "1"}, "tags": ("a", "b"),
        "domain_type": "hvm", "other_config": {"mac_seed": "m", "k": "v"},
    }  # fmt: skip
    vm = pool.add_vm(disks=0, **given | values)
    for number, data in enumerate((DATA, b"second disk")):
        disk = pool.add_vdi(8 * MIB, name_label=f"disk {number}", other_config={"x": str(number)})
        pool.add("VBD", **pool.vbd_values(vm, disk, str(number)))
        assert (await site.root("PUT", f"/import_raw_vdi?vdi={disk}", data)).status == 200
    iso = pool.add_vdi(4 * MIB, pool.iso, name_label="medium.iso", read_only=True)
    pool.add("VBD", **pool.vbd_values(vm, iso, "3", type="CD", mode="RO"))
    return vm


async def exported(site: Site, vm: str, **query: str) -> bytes:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    reply = await site.root("GET", f"/export?uuid={site.pool.store.get(vm)['uuid']}{more}")
    assert reply.status == 200
    return reply.body


async def imported(site: Site, archive: bytes, path: str = "/import", **query: str) -> str:
    """The VM an archive became."""
    task = site.task()
    more = "".join(f"&{name}={value}" for name, value in query.items())
    reply = await site.root("PUT", f"{path}?task_id={task}{more}", archive)
    assert reply.status == 200, reply.body
    (vm,) = reply.body.decode().split()
    assert site.told(task) == ("success", ())
    assert vm in site.pool.store.get(task)["result"]
    return vm


def devices(site: Site, vm: str, inverse: str) -> list[Any]:
    store = site.pool.store
    found = map(store.get, store.related(vm, inverse))
    return sorted(found, key=lambda one: one["userdevice"] if inverse == "VBDs" else one["device"])


async def contents(site: Site, vm: str) -> list[bytes]:
    disks = [vbd["VDI"] for vbd in devices(site, vm, "VBDs") if vbd["type"] == "Disk"]
    return [(await site.root("GET", f"/export_raw_vdi?vdi={disk}")).body for disk in disks]


# Of a new machine's own life, or of this pool.
OWN = {
    "uuid", "metrics", "other_config", "generation_id", "affinity", "resident_on", "suspend_VDI", "guest_metrics",
    "current_operations", "power_state", "last_booted_record", "hardware_platform_version",
}  # fmt: skip


@pytest.mark.parametrize("compression", ["false", "true", "zstd"])
async def test_a_vm_arrives_in_another_pool_as_it_left(compression: str) -> None:
    async with two_sites() as (first, second):
        vm = await machine(first, other_config={"mac_seed": "m", "k": "v", POWER_ON_TIME: "2 1"})
        archive = await exported(first, vm, use_compression=compression)
        made = await imported(second, archive)
        old, new = first.pool.store.get(vm).values, second.pool.store.get(made).values
        assert {name: new[name] for name in old if name not in OWN} == {n: v for n, v in old.items() if n not in OWN}
        assert new["uuid"] != old["uuid"]
        assert (set(new["other_config"]), new["other_config"]["k"]) == ({"mac_seed", "k"}, "v")
        assert await contents(second, made) == await contents(first, vm) == [
            DATA.ljust(8 * MIB, b"\0"), b"second disk".ljust(8 * MIB, b"\0"),
        ]  # fmt: skip
        vbds = devices(second, made, "VBDs")
        assert [(vbd["userdevice"], vbd["type"], vbd["mode"], vbd["bootable"], vbd["empty"]) for vbd in vbds] == [
            ("0", "Disk", "RW", True, False), ("1", "Disk", "RW", False, False), ("3", "CD", "RO", False, True),
        ]  # fmt: skip
        disk = second.pool.store.get(vbds[0]["VDI"])
        assert (disk["name_label"], disk["SR"], disk["virtual_size"]) == ("disk 0", second.pool.sr, 8 * MIB)
        assert (disk["other_config"]["x"], disk["managed"]) == ("0", True)
        (vif,), (before,) = devices(second, made, "VIFs"), devices(first, vm, "VIFs")
        assert vif["network"] == second.pool.network
        assert vif["MAC"] != before["MAC"]
        await second.call("VM.start", made, False, False)
        assert second.pool.store.get(made)["power_state"] == "Running"


async def test_the_archive_is_what_other_tools_read() -> None:
    async with action_server() as site:
        vm = await machine(site)
        archive = tarfile.open(fileobj=io.BytesIO(await exported(site, vm)))  # noqa: SIM115 - bytes need no closing
        names = archive.getnames()
        assert names[0] == "ova.xml"
        text = archive.extractfile("ova.xml").read()  # type: ignore[union-attr]
        ((content,), _) = xmlrpc.client.loads(b"<params><param>" + text.split(b"?>", 1)[1] + b"</param></params>")
        assert content["version"]["export_vsn"] == "2"
        by_class: dict[str, list[Any]] = {}
        for one in content["objects"]:
            by_class.setdefault(one["class"], []).append(one)
        assert {name: len(ones) for name, ones in by_class.items()} == {
            "VM": 1, "VBD": 3, "VIF": 1, "VDI": 3, "SR": 2, "network": 1,
        }  # fmt: skip
        record = by_class["VM"][0]["snapshot"]
        assert (record["name_label"], record["uuid"]) == ("traveller", site.pool.store.get(vm)["uuid"])
        assert set(record["VBDs"]) == {one["id"] for one in by_class["VBD"]}
        disk = next(one for one in by_class["VDI"] if one["snapshot"]["name_label"] == "disk 0")["id"]
        assert f"{disk}/00000000" in names
        assert names[names.index(f"{disk}/00000001") + 1] == f"{disk}/00000001.checksum"
        assert f"{disk}/00000005" not in names  # zeros
        assert f"{disk}/00000007" in names  # the last one
        others = {ref for ref in text.decode().split("OpaqueRef:")[1:] if not ref.startswith("NULL")}
        assert others == set()


async def test_a_restored_vm_has_its_uuid_and_macs_again() -> None:
    async with action_server() as site:
        vm = await machine(site)
        old, mac = site.pool.store.get(vm), devices(site, vm, "VIFs")[0]["MAC"]
        archive = await exported(site, vm)
        refusal = await site.root("PUT", "/import?restore=true", archive)
        assert b"VM_TO_IMPORT_IS_NOT_NEWER_VERSION" in refusal.body
        await site.call("VM.destroy", vm)
        made = await imported(site, archive, restore="true")
        new = site.pool.store.get(made)
        assert (new["uuid"], new["other_config"]) == (old["uuid"], old["other_config"])
        assert devices(site, made, "VIFs")[0]["MAC"] == mac
        assert not devices(site, made, "VBDs")[2]["empty"]  # its medium is in this pool


async def test_saved_memory_goes_along_if_it_is_asked_for() -> None:
    async with action_server() as site:
        vm = await site.pool.running(memory=64 * MIB)
        await site.call("VM.suspend", vm)
        assert site.pool.store.get(await imported(site, await exported(site, vm)))["power_state"] == "Halted"
        kept = await imported(site, await exported(site, vm, preserve_power_state="true"))
        record = site.pool.store.get(kept)
        assert record["power_state"] == "Suspended"
        assert record["suspend_VDI"] not in (NULL_REF, site.pool.store.get(vm)["suspend_VDI"])


async def test_disks_go_to_the_sr_that_is_named() -> None:
    async with action_server() as site:
        archive = await exported(site, await machine(site))
        sr = site.pool.add_sr("second", 10 * GIB)
        made = await imported(site, archive, sr_id=site.pool.store.get(sr)["uuid"])
        disks = [site.pool.store.get(vbd["VDI"]) for vbd in devices(site, made, "VBDs") if vbd["type"] == "Disk"]
        assert {disk["SR"] for disk in disks} == {sr}
        assert site.pool.store.get(sr)["virtual_allocation"] == 16 * MIB


async def test_a_network_nobody_knows_is_made() -> None:
    async with two_sites() as (first, second):
        vm = await machine(first)
        far = first.pool.add("network", name_label="far away", bridge="xenbr7")
        first.pool.change(first.pool.store.related(vm, "VIFs")[0], network=far)
        made = await imported(second, await exported(first, vm))
        network = second.pool.store.get(devices(second, made, "VIFs")[0]["network"])
        assert network["name_label"] == "far away"
        assert network["bridge"].startswith("xapi")


def spoilt(archive: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The archive with some files changed, or left out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for info in old:
            data = change(info.name, old.extractfile(info).read())  # type: ignore[union-attr]
            if data is not None:
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return out.getvalue()


CASES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda a: a[: len(a) // 2], "IMPORT_ERROR_PREMATURE_EOF"),
    "bit": (
        lambda a: spoilt(a, lambda n, d: b"\xff" + d[1:] if n.endswith("/00000001") else d),
        "IMPORT_ERROR_SOME_CHECKSUMS_FAILED",
    ),
    "no last chunk": (lambda a: spoilt(a, lambda n, d: None if "/00000007" in n else d), "IMPORT_ERROR_PREMATURE_EOF"),
    "no checksum": (
        lambda a: spoilt(a, lambda n, d: None if n.endswith(".checksum") else d),
        "IMPORT_ERROR_UNEXPECTED_FILE",
    ),
    "no ova": (lambda a: spoilt(a, lambda n, d: None if n == "ova.xml" else d), "IMPORT_ERROR_UNEXPECTED_FILE"),
    "no xml": (lambda a: spoilt(a, lambda n, d: b"<x" if n == "ova.xml" else d), "IMPORT_ERROR"),
    "entity": (
        lambda a: spoilt(a, lambda n, d: b'<!DOCTYPE x [<!ENTITY y "z">]>' + d if n == "ova.xml" else d),
        "IMPORT_ERROR",
    ),
    "wrong type": (
        lambda a: spoilt(
            a, lambda n, d: d.replace(b"<value>BIOS order</value>", b"<value><array><data></data></array></value>")
        ),
        "IMPORT_ERROR",
    ),
    "other version": (
        lambda a: spoilt(a, lambda n, d: d.replace(b"export_vsn</name><value>2", b"export_vsn</name><value>9")),
        "IMPORT_INCOMPATIBLE_VERSION",
    ),
    "beyond the disk": (
        lambda a: spoilt(a, lambda n, d: d.replace(b"<value>8388608</value>", b"<value>1048576</value>")),
        "IMPORT_ERROR",
    ),
    "no tar": (lambda a: b"x" * 4096, "IMPORT_ERROR"),
    "bad gzip": (lambda a: b"\x1f\x8b" + b"x" * 4096, "IMPORT_ERROR"),
    "bad zstd": (lambda a: b"\x28\xb5\x2f\xfd" + b"\xff" * 4096, "IMPORT_ERROR"),
    "half a zstd": (lambda a: zstandard.compress(a)[: len(a) // 8], "IMPORT_ERROR_PREMATURE_EOF"),
    "half a gzip": (lambda a: gzip.compress(a)[: len(a) // 8], "IMPORT_ERROR_PREMATURE_EOF"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_damaged_archive_leaves_nothing_behind(case: str) -> None:
    async with action_server() as site:
        spoil, code = CASES[case]
        archive, task = await exported(site, await machine(site)), site.task()
        before = site.pool.picture(without=frozenset({"task", "message", "session"}))
        reply = await site.root("PUT", f"/import?task_id={task}", spoil(archive))
        assert reply.status == 500
        assert site.told(task)[0] == "failure"
        assert site.told(task)[1][0] == code, site.told(task)
        assert site.pool.picture(without=frozenset({"task", "message", "session"})) == before


@pytest.mark.parametrize("call", ["create", "write", "usage"])
async def test_a_storage_that_fails_leaves_nothing_behind(call: str) -> None:
    async with action_server() as site:
        archive = await exported(site, await machine(site))
        before = site.pool.picture(without=frozenset({"task", "message", "session"}))
        storage = site.pool.engine.storages[site.pool.sr]
        site.pool.engine.storages[site.pool.sr] = Faulty(storage, [FaultRule(call, after=1)], site.pool.clock)
        assert (await site.root("PUT", "/import", archive)).status == 500
        assert site.pool.picture(without=frozenset({"task", "message", "session"})) == before


async def test_a_vm_that_runs_is_not_exported() -> None:
    async with action_server() as site:
        vm, task = await site.pool.running(), site.task()
        reply = await site.root("GET", f"/export?ref={vm}&task_id={task}")
        assert reply.status == 500
        assert site.told(task)[1] == ("VM_BAD_POWER_STATE", vm, "halted, suspended", "running")
        assert (await site.root("GET", "/export?uuid=none")).status == 404
        assert b"INVALID_VALUE" in (await site.root("GET", f"/export?ref={vm}&use_compression=lzma")).body


async def test_records_alone_come_back_to_the_disks_that_are_still_there() -> None:
    async with action_server() as site:
        vm = await machine(site)
        disks = [vbd["VDI"] for vbd in devices(site, vm, "VBDs")]
        reply = await site.root("GET", f"/export_metadata?uuid={site.pool.store.get(vm)['uuid']}")
        await site.call("VM.destroy", vm)
        made = await imported(site, reply.body, "/import_metadata", restore="true")
        assert [vbd["VDI"] for vbd in devices(site, made, "VBDs")] == disks
        assert len(reply.body) < MIB


async def test_records_without_their_disks_are_refused_unless_forced() -> None:
    async with two_sites() as (first, second):
        vm = await machine(first)
        archive = (await first.root("GET", f"/export_metadata?ref={vm}")).body
        for query in ("", "?dry_run=true"):
            refusal = await second.root("PUT", f"/import_metadata{query}", archive)
            assert b"IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND" in refusal.body
        assert (await second.root("PUT", "/import_metadata?dry_run=true&force=true", archive)).status == 200
        assert not second.pool.store.all("VM")
        made = await imported(second, archive, "/import_metadata", force="true")
        assert [vbd["type"] for vbd in devices(second, made, "VBDs")] == ["CD"]


async def test_all_records_are_of_all_vms_and_of_snapshots_if_asked() -> None:
    async with action_server() as site:
        vm = await machine(site)
        await site.call("VM.snapshot", vm, "before", ())
        site.pool.add_vm("other")
        plain = (await site.root("GET", "/export_metadata?all=true")).body
        assert plain.count(b"<value>VM</value>") == 2
        with_snapshots = (await site.root("GET", "/export_metadata?all=true&export_snapshots=true")).body
        assert with_snapshots.count(b"<value>VM</value>") == 3


async def test_checksums_of_other_servers_are_checked_too() -> None:
    async with two_sites() as (first, second):
        archive = await exported(first, await machine(first))
        renamed, held = io.BytesIO(), b""
        with tarfile.open(fileobj=io.BytesIO(archive)) as source, tarfile.open(fileobj=renamed, mode="w") as target:
            for entry in source:
                data = source.extractfile(entry).read()  # type: ignore[union-attr]
                if entry.name.endswith(".checksum"):
                    entry.name = entry.name.removesuffix("checksum") + "xxhash"
                    data = xxhash.xxh64_hexdigest(held).upper().encode()
                    entry.size = len(data)
                held = data
                target.addfile(entry, io.BytesIO(data))
        made = await imported(second, renamed.getvalue())
        assert (await contents(second, made))[0] == DATA.ljust(8 * MIB, b"\0")
        wrong = renamed.getvalue().replace(DATA[:16], bytes(16), 1)
        task = second.task()
        assert (await second.root("PUT", f"/import?task_id={task}", wrong)).status == 500
        assert second.told(task) == ("failure", ("IMPORT_ERROR_SOME_CHECKSUMS_FAILED",))


async def test_snapshots_go_along_if_they_are_asked_for() -> None:
    async with two_sites() as (first, second):
        vm = await machine(first)
        await first.call("VM.snapshot", vm, "before")
        disk = first.pool.store.get(devices(first, vm, "VBDs")[0]["VDI"])
        await first.pool.engine.storages[first.pool.sr].write(disk["uuid"], 0, b"later")
        archive = await exported(first, vm, include_snapshots="true")
        task = second.task()
        assert (await second.root("PUT", f"/import?task_id={task}", archive)).status == 200
        made = next(ref for ref, one in second.pool.store.all("VM").items() if not one["is_a_snapshot"])
        (snapshot,) = second.pool.store.related(made, "snapshots")
        assert second.pool.vm(snapshot)["name_label"] == "before"
        now, then = [(await contents(second, one))[0][:5] for one in (made, snapshot)]
        assert (now, then) == (b"later", DATA[:5])
        saved, origin = (devices(second, one, "VBDs")[0]["VDI"] for one in (snapshot, made))
        assert second.pool.store.get(saved)["snapshot_of"] == origin
