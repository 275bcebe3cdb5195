"""Consoles, trusted platform modules, names of users and pools of CPUs, as clients of the API see them."""

from __future__ import annotations

import base64

from api_pool import api_pool
from sim_api import ask, refused

from xenapi_core.engine.caller import Caller
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.testing.pool import SimPool, sim_pool

STATE = base64.b64encode(b"sealed keys").decode()
LOCAL = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), local_root=True)


# console


async def declared(pool: SimPool, vm: str, protocol: str = "vt100") -> str:
    return await ask(pool, "console.create", {"protocol": protocol, "VM": vm, "other_config": {"vnclisten": "::"}})


async def test_console_that_a_client_declared_stays_when_its_vm_stops() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        console = await declared(pool, vm)
        record = pool.store.get(console)
        assert (record["protocol"], record["VM"], record["location"]) == ("vt100", vm, "")
        assert record["other_config"]["vnclisten"] == "::"
        await ask(pool, "VM.start", vm, False, False)
        assert pool.store.related(vm, "consoles") == (console,)
        assert pool.store.get(console)["location"] == f"https://192.0.2.1/console?uuid={record['uuid']}"
        await ask(pool, "VM.hard_shutdown", vm)
        assert pool.store.get(console)["location"] == ""
        await ask(pool, "console.destroy", console)
        assert pool.store.related(vm, "consoles") == ()


async def test_console_of_a_running_vm_can_be_reached_at_once_and_the_servers_own_goes_with_the_domain() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        (own,) = pool.store.related(vm, "consoles")
        console = await declared(pool, vm)
        assert pool.store.get(console)["location"].endswith(pool.store.get(console)["uuid"])
        await ask(pool, "VM.hard_shutdown", vm)
        assert pool.store.find(own) is None
        assert pool.store.related(vm, "consoles") == (console,)


async def test_console_record_of_an_old_client_needs_a_vm() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        vm = pool.add_vm()
        console = await pool.call("console.create", root, {"protocol": "rfb", "VM": vm})
        assert (await pool.call("console.get_record", root, console))["protocol"] == "rfb"
        for record in ({"protocol": "rfb"}, {"protocol": "rfb", "VM": ""}):
            assert await pool.refusal("console.create", root, record) == ["HANDLE_INVALID", "VM", "OpaqueRef:NULL"]
        nobody = {"protocol": "rfb", "VM": "OpaqueRef:nobody"}
        assert await pool.refusal("console.create", root, nobody) == ["HANDLE_INVALID", "VM", "OpaqueRef:nobody"]


# VTPM


async def test_module_keeps_its_state_and_takes_it_along_when_it_is_destroyed() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vtpm = await ask(pool, "VTPM.create", vm, False)
        assert pool.store.related(vm, "VTPMs") == (vtpm,)
        assert await ask(pool, "VTPM.get_contents", vtpm, caller=LOCAL) == ""
        await ask(pool, "VTPM.set_contents", vtpm, STATE, caller=LOCAL)
        assert await ask(pool, "VTPM.get_contents", vtpm, caller=LOCAL) == STATE
        for text in ("no base64!", "a"):
            assert (await refused(pool, "VTPM.set_contents", vtpm, text, caller=LOCAL))[0] == "INTERNAL_ERROR"
        assert await refused(pool, "VTPM.create", vm, False) == ["VTPM_MAX_AMOUNT_REACHED", "1"]
        await ask(pool, "VTPM.destroy", vtpm)
        assert not pool.store.all("VTPM")
        assert not pool.store.all("secret")


async def test_module_comes_and_goes_only_while_its_vm_is_halted() -> None:
    async with sim_pool() as pool:
        vm = await pool.running()
        wrong = ["VM_BAD_POWER_STATE", vm, "halted", "running"]
        assert await refused(pool, "VTPM.create", vm, False) == wrong
        await ask(pool, "VM.hard_shutdown", vm)
        vtpm = await ask(pool, "VTPM.create", vm, False)
        assert pool.store.get(vm)["current_operations"] == {}
        assert await ask(pool, "VTPM.get_allowed_operations", vtpm) == ("destroy",)
        await ask(pool, "VM.start", vm, False, False)
        assert await ask(pool, "VTPM.get_allowed_operations", vtpm) == ()
        assert await refused(pool, "VTPM.destroy", vtpm) == wrong
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "VM.destroy", vm)
        assert not pool.store.all("VTPM")
        assert not pool.store.all("secret")


async def test_copies_of_a_vm_have_the_state_of_its_module_unless_it_must_be_unique() -> None:
    async with sim_pool() as pool:
        for unique, kept in ((False, STATE), (True, "")):
            vm = pool.add_vm()
            vtpm = await ask(pool, "VTPM.create", vm, unique)
            await ask(pool, "VTPM.set_contents", vtpm, STATE, caller=LOCAL)
            for new in (await ask(pool, "VM.clone", vm, "copy"), await ask(pool, "VM.snapshot", vm, "snap")):
                (copy,) = pool.store.related(new, "VTPMs")
                assert copy != vtpm
                assert pool.store.get(copy)["is_unique"] is unique
                assert await ask(pool, "VTPM.get_contents", copy, caller=LOCAL) == kept


async def test_reverted_vm_has_the_module_of_the_snapshot_again() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        vtpm = await ask(pool, "VTPM.create", vm, False)
        await ask(pool, "VTPM.set_contents", vtpm, STATE, caller=LOCAL)
        snapshot = await ask(pool, "VM.snapshot", vm, "snap")
        await ask(pool, "VTPM.set_contents", vtpm, "", caller=LOCAL)
        await ask(pool, "VM.revert", snapshot)
        (back,) = pool.store.related(vm, "VTPMs")
        assert await ask(pool, "VTPM.get_contents", back, caller=LOCAL) == STATE
        assert len(pool.store.all("secret")) == len(pool.store.all("VTPM")) == 2


async def test_old_clients_make_a_module_by_a_record_and_only_the_host_itself_sees_its_state() -> None:
    async with api_pool() as pool:
        root, admin = await pool.login(), await pool.login("pool-admin")
        vm = pool.add_vm()
        vtpm = await pool.call("VTPM.create", root, {"VM": vm, "other_config": {}})
        assert await pool.call("VTPM.get_other_config", root, vtpm) == {}
        await pool.call("VTPM.set_other_config", root, vtpm, {"who": "xm"})
        assert await pool.call("VTPM.get_other_config", root, vtpm) == {"who": "xm"}
        assert await pool.call("VTPM.get_runtime_properties", root, vtpm) == {}
        assert (await pool.refusal("VTPM.get_contents", admin, vtpm))[0] == "RBAC_PERMISSION_DENIED"
        assert await pool.call("VTPM.get_contents", root, vtpm) == ""


# user


async def test_user_record_names_somebody_and_lets_nobody_in() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        record = {"short_name": "ann", "fullname": "Ann Other", "other_config": {}}
        user = await pool.call("user.create", root, record)
        assert (await pool.call("user.get_record", root, user))["fullname"] == "Ann Other"
        error = await pool.refusal("session.login_with_password", "ann", "", "1.0", "test")
        assert error[0] == "SESSION_AUTHENTICATION_FAILED"
        await pool.call("user.destroy", root, user)
        assert await pool.refusal("user.get_record", root, user) == ["HANDLE_INVALID", "user", user]


# cpu_pool


async def test_pool_of_cpus_is_described_but_not_activated() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        made = await pool.call("cpu_pool.create", root, {"name_label": "fast", "ncpu": "2", "proposed_CPUs": ["1"]})
        await pool.call("cpu_pool.add_to_proposed_CPUs", root, made, "3")
        await pool.call("cpu_pool.add_to_proposed_CPUs", root, made, "3")
        await pool.call("cpu_pool.remove_from_proposed_CPUs", root, made, "1")
        record = await pool.call("cpu_pool.get_record", root, made)
        assert (record["proposed_CPUs"], record["resident_on"], record["activated"]) == (["3"], pool.host, False)
        assert (await pool.refusal("cpu_pool.add_to_proposed_CPUs", root, made, "all"))[0] == "INVALID_VALUE"
        assert await pool.refusal("cpu_pool.create", root, {"ncpu": "0"}) == ["INVALID_VALUE", "ncpu", "0"]
        all_of_them = {"ncpu": "1", "proposed_CPUs": ["all"]}
        assert await pool.refusal("cpu_pool.create", root, all_of_them) == ["INVALID_VALUE", "proposed_CPUs", "all"]
        assert await pool.refusal("cpu_pool.activate", root, made) == ["INSUFFICIENT_CPUS", "2", "0"]
        pool.change(made, activated=True)
        assert await pool.refusal("cpu_pool.destroy", root, made) == ["POOL_BAD_STATE", "activated"]
        pool.change(made, activated=False)
        await pool.call("cpu_pool.destroy", root, made)
        assert await pool.call("cpu_pool.get_all", root) == []
