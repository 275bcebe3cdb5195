"""Secure boot: certificates of the pool, the firmware that takes them, and what both are ready for."""

from __future__ import annotations

import io
import tarfile
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_api import ask, refused

from xenapi_core.engine import efi_variables as efi
from xenapi_core.server.adopt import adopt_host
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool

ROOT = replace(TEST_CALLER, local_root=True)  # some messages are for the Unix socket only
ALL = ("PK", "KEK", "db", "dbx")
EFI: dict[str, Any] = {
    "domain_type": "hvm",
    "HVM_boot_params": {"firmware": "uefi"},
    "platform": {"secureboot": "true"},
}


def archive(*names: str, content: bytes = b"signatures", ending: str = "auth") -> str:
    """A pool's certificates: signed updates of these keys."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in names:
            signed = bytes(16) + (24).to_bytes(4, "little") + bytes(20) + name.encode() + content
            member = tarfile.TarInfo(f"certificates/{name}.{ending}")
            member.size = len(signed)
            tar.addfile(member, io.BytesIO(signed))
    return b64encode(file.getvalue()).decode()


def only_pool(pool: SimPool) -> str:
    return next(iter(pool.store.all("pool")))


def kept(pool: SimPool, vm: str) -> dict[str, bytes]:
    return {variable.name: variable.data for variable in efi.decode(pool.store.get(vm)["NVRAM"]["EFI-variables"])}


async def provide(pool: SimPool, value: str) -> None:
    await ask(pool, "pool.set_custom_uefi_certificates", only_pool(pool), value)


async def readiness(pool: SimPool, vm: str) -> str:
    return str(await ask(pool, "VM.get_secureboot_readiness", vm))


VARIABLE = st.builds(efi.Variable, st.text(max_size=8), st.binary(max_size=20), st.binary(min_size=68, max_size=68))


@given(st.lists(VARIABLE, max_size=4))
@settings(max_examples=30, deadline=None)
def test_variables_survive_their_way_into_nvram(variables: list[efi.Variable]) -> None:
    assert efi.decode(efi.encode(variables)) == tuple(variables)


def test_variables_are_written_as_varstored_does() -> None:
    text = efi.encode([efi.Variable("db", b"\x01\x02\x03", bytes(68))])
    assert b64decode(text) == (
        b"VARS" + bytes([2, 0, 0, 0]) + (1).to_bytes(8, "little") + (91).to_bytes(8, "little")
        + (4).to_bytes(8, "little") + b"d\0b\0" + (3).to_bytes(8, "little") + b"\x01\x02\x03" + bytes(68)
    )  # fmt: skip


@given(st.binary(max_size=120))
@settings(max_examples=60, deadline=None)
def test_other_bytes_are_no_variables(junk: bytes) -> None:
    good = b64decode(efi.encode([efi.Variable("db", b"x", bytes(68))]))
    for text in (b64encode(junk).decode(), b64encode(good[: len(junk) % len(good)]).decode(), "?"):
        with pytest.raises(ValueError, match=r"."):
            efi.decode(text)


@pytest.mark.parametrize(
    ("names", "answer"),
    [((), "not_ready"), (("PK", "KEK"), "not_ready"), (("PK", "KEK", "db"), "ready_no_dbx"), (ALL, "ready")],
)
async def test_pool_is_ready_when_it_has_the_keys(names: tuple[str, ...], answer: str) -> None:
    async with sim_pool() as pool:
        ref, value = only_pool(pool), archive(*names) if names else ""
        await provide(pool, value)
        assert await ask(pool, "pool.get_guest_secureboot_readiness", ref) == answer
        assert pool.store.get(ref)["uefi_certificates"] == value
        assert pool.store.get(ref)["custom_uefi_certificates"] == value


@pytest.mark.parametrize(
    "value", ["no base64!", b64encode(b"no archive" * 100).decode(), archive("PK", content=b"")[:8]]
)
async def test_what_is_no_archive_is_refused_and_changes_nothing(value: str) -> None:
    async with sim_pool() as pool:
        ref = only_pool(pool)
        assert (await refused(pool, "pool.set_custom_uefi_certificates", ref, value))[:2] == [
            "INVALID_VALUE", "custom_uefi_certificates"
        ]  # fmt: skip
        assert pool.store.get(ref)["uefi_certificates"] == ""


async def test_older_setters_of_certificates_are_refused() -> None:
    async with sim_pool() as pool:
        for message, ref in (("pool", only_pool(pool)), ("host", pool.hosts[0])):
            code = await refused(pool, f"{message}.set_uefi_certificates", ref, "", caller=ROOT)
            assert code[0] == "OPERATION_NOT_ALLOWED"


async def test_readiness_of_a_vm_follows_its_firmware() -> None:
    async with sim_pool() as pool:
        bios = pool.add_vm("bios")
        assert await readiness(pool, bios) == "not_supported"
        assert (await refused(pool, "VM.set_uefi_mode", bios, "setup"))[0] == "OPERATION_NOT_ALLOWED"
        plain = pool.add_vm("plain", **{**EFI, "platform": {}})
        assert await readiness(pool, plain) == "disabled"
        vm = pool.add_vm("secure", **EFI)
        assert await readiness(pool, vm) == "first_boot"
        await provide(pool, archive(*ALL))
        await ask(pool, "VM.start", vm, False, False)
        assert await readiness(pool, vm) == "ready"
        assert kept(pool, vm) == {name: name.encode() + b"signatures" for name in ALL}
        assert (await refused(pool, "VM.set_uefi_mode", vm, "setup"))[0] == "VM_BAD_POWER_STATE"
        await ask(pool, "VM.hard_shutdown", vm)
        assert await ask(pool, "VM.set_uefi_mode", vm, "setup") == "setup mode; keys: KEK, db, dbx"
        assert await readiness(pool, vm) == "setup_mode"
        await provide(pool, archive("PK", "KEK", "db"))
        assert await ask(pool, "VM.set_uefi_mode", vm, "user") == "user mode; keys: PK, KEK, db"
        assert await readiness(pool, vm) == "ready_no_dbx"
        await provide(pool, archive("PK"))
        await ask(pool, "VM.set_uefi_mode", vm, "user")
        assert await readiness(pool, vm) == "certs_incomplete"
        await provide(pool, "")
        assert (await refused(pool, "VM.set_uefi_mode", vm, "user"))[0] == "OPERATION_NOT_ALLOWED"


async def test_other_variables_of_a_firmware_are_left_alone() -> None:
    async with sim_pool() as pool:
        own = efi.Variable("BootOrder", b"\x01\x00", bytes(68))
        vm = pool.add_vm("secure", **EFI, NVRAM={"EFI-variables": efi.encode([own]), "EFI-variables-backend": "xapidb"})
        await provide(pool, archive(*ALL))
        await ask(pool, "VM.set_uefi_mode", vm, "user")
        assert list(kept(pool, vm)) == ["BootOrder", *ALL]
        assert pool.store.get(vm)["NVRAM"]["EFI-variables-backend"] == "xapidb"


@pytest.mark.parametrize("automatic", [False, True])
async def test_new_certificates_wait_for_a_boot_that_wants_them(automatic: bool) -> None:
    async with sim_pool() as pool:
        vm, ref = pool.add_vm("secure", **EFI), only_pool(pool)

        def state() -> str:
            return str(pool.store.get(vm)["secureboot_certificates_state"])

        await provide(pool, archive(*ALL))
        await ask(pool, "VM.start", vm, False, False)
        mark = "VM.update_secureboot_certificates_on_boot"
        assert (await refused(pool, mark, vm, True))[0] == "OPERATION_NOT_ALLOWED"
        await provide(pool, archive(*ALL, content=b"newer"))
        assert state() == "update_available"
        await ask(pool, "VM.hard_reboot", vm)
        assert state() == "update_available"
        if automatic:
            await ask(pool, "pool.set_auto_update_vm_secureboot_certificates", ref, True)
        else:
            for wanted, expected in (
                (True, "update_on_boot"),
                (False, "update_available"),
                (True, "update_on_boot"),
            ):
                await ask(pool, mark, vm, wanted)
                assert state() == expected
        assert kept(pool, vm)["db"] == b"dbsignatures"
        await ask(pool, "VM.hard_reboot", vm)
        assert state() == "ok"
        assert kept(pool, vm)["db"] == b"dbnewer"


def on_disk(pool: SimPool) -> list[str]:
    return [pool.store.get(host)["uefi_certificates"] for host in pool.hosts]


async def test_firmware_takes_what_its_host_has_on_its_disk() -> None:
    async with sim_pool(hosts=2) as pool:
        here, there = pool.hosts
        await provide(pool, archive(*ALL))
        assert on_disk(pool) == [archive(*ALL)] * 2
        pool.change(there, uefi_certificates="")
        vms = [pool.add_vm(name, **EFI) for name in ("on full", "on empty", "on filled")]
        await ask(pool, "VM.start_on", vms[0], here, False, False)
        await ask(pool, "VM.start_on", vms[1], there, False, False)
        assert [list(kept(pool, vm)) for vm in vms[:2]] == [list(ALL), []]
        await ask(pool, "host.write_uefi_certificates_to_disk", there, caller=ROOT)
        await ask(pool, "VM.start_on", vms[2], there, False, False)
        assert (list(kept(pool, vms[2])), on_disk(pool)) == (list(ALL), [archive(*ALL)] * 2)


async def test_a_host_that_was_down_has_the_certificates_once_it_is_up() -> None:
    async with sim_pool(hosts=2) as pool:
        down = pool.hosts[1]
        pool.change(down, power_on_mode="wake-on-lan")
        pool.sim.hosts[pool.store.get(down)["uuid"]].fail()
        await pool.pass_time(1)
        await provide(pool, archive(*ALL))
        assert on_disk(pool) == [archive(*ALL), ""]
        write = "host.write_uefi_certificates_to_disk"
        assert await refused(pool, write, down, caller=ROOT) == ["HOST_OFFLINE", down]
        await ask(pool, "host.power_on", down)
        await pool.pass_time(pool.sim.host_boot_time + 1)
        assert on_disk(pool) == [archive(*ALL)] * 2


async def test_an_older_database_has_its_certificates_written_when_its_hosts_are_taken_over() -> None:
    async with sim_pool() as pool:
        await provide(pool, archive(*ALL))
        pool.change(pool.hosts[0], uefi_certificates="")
        pool.engine.drop_host(pool.hosts[0])
        await pool.sim.hosts.pop(pool.store.get(pool.hosts[0])["uuid"]).close()
        adopt_host(pool.store, pool.engine, pool.sim, pool.store.get(pool.hosts[0]))
        assert on_disk(pool) == [archive(*ALL)]
