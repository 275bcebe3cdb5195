"""Secrets, subjects, the directory, groups of VMs and crash dumps, as clients of the API see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_pool import ApiPool, Refused, api_pool
from sim_api import ask, refused

from xenapi_core.api.auth import Authenticator
from xenapi_core.api.auth.pam import PamAuthenticator
from xenapi_core.api.auth.users_file import UsersFileAuthenticator, add_user
from xenapi_core.engine.messages import KEPT
from xenapi_core.server.standing import furnish
from xenapi_core.testing.pool import sim_pool


async def furnished(pool: ApiPool) -> str:
    """The standing records (roles), and a session of root."""
    txn = pool.store.begin()
    furnish(txn, pool.ids)
    pool.store.commit(txn)
    return await pool.login()


# secret


async def test_a_secret_is_shown_to_those_who_may_read_it_and_to_nobody_else() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        record = {"value": "hidden word", "other_config": {"for": "nfs"}}
        ref = await pool.call("secret.create", root, record)
        made = await pool.call("secret.get_record", root, ref)
        assert (made["value"], made["other_config"]) == ("hidden word", {"for": "nfs"})
        operator, reader = await pool.login("pool-operator"), await pool.login("read-only")
        assert await pool.call("secret.get_value", operator, ref) == "hidden word"
        for message, *args in (("get_value", ref), ("get_record", ref), ("get_all_records",), ("create", record)):
            assert (await pool.refusal(f"secret.{message}", reader, *args))[0] == "RBAC_PERMISSION_DENIED"
        await pool.call("secret.destroy", operator, ref)
        assert await pool.refusal("secret.get_value", root, ref) == ["HANDLE_INVALID", "secret", ref]


async def test_a_secret_comes_from_another_pool_with_its_uuid_once() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        ref = await pool.call("secret.introduce", root, "1f0d", "word")
        assert await pool.call("secret.get_by_uuid", root, "1f0d") == ref
        assert await pool.refusal("secret.introduce", root, "1f0d", "other") == ["INVALID_VALUE", "uuid", "1f0d"]
        assert await pool.refusal("secret.introduce", root, "", "other") == ["INVALID_VALUE", "uuid", ""]
        assert await pool.call("secret.get_value", root, ref) == "word"


async def test_a_secret_without_its_value_is_not_made() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        assert (await pool.refusal("secret.create", root, {"other_config": {}}))[0] == "INTERNAL_ERROR"
        assert await pool.call("secret.get_all", root) == []


# subject


async def role(pool: ApiPool, session: str, name: str) -> str:
    (found,) = await pool.call("role.get_by_name_label", session, name)
    return found


async def test_the_roles_of_a_subject_say_what_its_user_may_do_after_logging_in() -> None:
    async with api_pool() as pool:
        root = await furnished(pool)
        subject = await pool.call("subject.create", root, {"subject_identifier": "read-only", "other_config": {}})
        admin = await pool.login("read-only")
        vm = pool.add_vm()
        await pool.call("VM.set_name_label", admin, vm, "renamed")
        await pool.call("subject.add_to_roles", root, subject, await role(pool, root, "vm-operator"))
        await pool.call("subject.remove_from_roles", root, subject, await role(pool, root, "pool-admin"))
        assert await pool.refusal("VM.set_name_label", admin, vm, "again") == ["SESSION_INVALID", admin]
        operator = await pool.login("read-only")
        assert (await pool.refusal("VM.set_name_label", operator, vm, "again"))[0] == "RBAC_PERMISSION_DENIED"
        record = await pool.call("session.get_record", operator, operator)
        assert (record["subject"], record["auth_user_sid"]) == (subject, "read-only")
        assert "vm.start" in record["rbac_permissions"]
        assert await pool.call("session.get_all_subject_identifiers", root) == ["read-only"]
        await pool.call("session.logout_subject_identifier", root, "read-only")
        assert await pool.refusal("session.get_this_host", operator, operator) == ["SESSION_INVALID", operator]


async def test_a_subject_without_roles_cannot_log_in_and_one_that_is_gone_has_what_the_directory_gives() -> None:
    async with api_pool() as pool:
        root = await furnished(pool)
        subject = await pool.call("subject.create", root, {"subject_identifier": "vm-admin"})
        await pool.call("subject.remove_from_roles", root, subject, await role(pool, root, "pool-admin"))
        with pytest.raises(Refused) as refusal:
            await pool.login("vm-admin")
        assert refusal.value.description[:2] == ["SESSION_AUTHORIZATION_FAILED", "vm-admin"]
        assert len(pool.sessions) == 1
        await pool.call("subject.destroy", root, subject)
        session = await pool.login("vm-admin")
        assert await pool.call("session.get_auth_user_sid", session, session) == ""


async def test_destroying_a_subject_ends_its_sessions_and_no_others() -> None:
    async with api_pool() as pool:
        root = await furnished(pool)
        before = await pool.login("vm-admin")
        subject = await pool.call("subject.create", root, {"subject_identifier": "vm-admin"})
        after = await pool.login("vm-admin")
        await pool.call("subject.destroy", root, subject)
        assert await pool.refusal("VM.get_all", after) == ["SESSION_INVALID", after]
        assert await pool.call("VM.get_all", before) == []


async def test_the_superuser_is_above_subjects() -> None:
    async with api_pool() as pool:
        root = await furnished(pool)
        subject = await pool.call("subject.create", root, {"subject_identifier": "root"})
        await pool.call("subject.remove_from_roles", root, subject, await role(pool, root, "pool-admin"))
        again = await pool.login()
        assert await pool.call("session.get_subject", again, again) == "OpaqueRef:NULL"
        await pool.call("subject.destroy", again, subject)


async def test_a_subject_is_refused_twice_without_identifier_and_with_roles_it_cannot_have() -> None:
    async with api_pool() as pool:
        root = await furnished(pool)
        assert await pool.refusal("subject.create", root, {}) == ["INVALID_VALUE", "subject_identifier", ""]
        subject = await pool.call("subject.create", root, {"subject_identifier": "ann"})
        assert await pool.refusal("subject.create", root, {"subject_identifier": "ann"}) == ["SUBJECT_ALREADY_EXISTS"]
        admin, internal, weak = [await role(pool, root, n) for n in ("pool-admin", "client-cert", "read-only")]
        assert await pool.refusal("subject.add_to_roles", root, subject, admin) == ["ROLE_ALREADY_EXISTS"]
        assert await pool.refusal("subject.add_to_roles", root, subject, internal) == ["ROLE_NOT_FOUND"]
        assert await pool.refusal("subject.remove_from_roles", root, subject, weak) == ["ROLE_NOT_FOUND"]
        assert await pool.call("subject.get_roles", root, subject) == [admin]


# auth and session


async def test_nobody_is_told_the_session_of_another() -> None:
    async with api_pool() as pool:
        root, other = await pool.login(), await pool.login("read-only")
        assert await pool.call("session.get_all", root) == [root]
        assert list(await pool.call("session.get_all_records", other)) == [other]


@pytest.mark.parametrize("kind", ["users file", "PAM"])
async def test_an_authenticator_knows_its_accounts_without_a_password(kind: str, tmp_path: Path) -> None:
    directory: Authenticator
    if kind == "users file":
        add_user(tmp_path / "users", "ann", "word", ["read-only"])
        directory, known = UsersFileAuthenticator(tmp_path / "users"), "ann"
    else:
        (tmp_path / "xencim").write_text("auth required pam_deny.so\n")
        directory, known = PamAuthenticator("xencim", directory=tmp_path), "root"
    try:
        assert await directory.knows(known)
        assert not await directory.knows("no-such-account")
    finally:
        directory.close()


# VM_group, crashdump, VLAN


async def test_a_group_forgets_its_vms_when_it_is_destroyed() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        vm = pool.add_vm()
        first, second = [await pool.call("VM_group.create", root, {"name_label": name}) for name in ("a", "b")]
        await pool.call("VM.set_groups", root, vm, [first])
        assert await pool.call("VM_group.get_VMs", root, first) == [vm]
        assert (await pool.refusal("VM.set_groups", root, vm, [first, second]))[0] == "OPERATION_NOT_ALLOWED"
        assert (await pool.refusal("VM.set_groups", root, vm, ["OpaqueRef:none"]))[0] == "HANDLE_INVALID"
        await pool.call("VM_group.destroy", root, first)
        assert await pool.call("VM.get_groups", root, vm) == []
        apart = {"name_label": "c", "placement": "anti_affinity"}
        assert await pool.refusal("VM_group.create", root, apart) == ["NOT_IMPLEMENTED", "VM_group.create"]


async def test_a_crash_dump_goes_with_its_disk() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm(disks=0)
        disk = pool.add_vdi(type="crashdump", name_label="dump")
        dump = pool.add("crashdump", VM=vm, VDI=disk)
        volumes = pool.picture()["volumes"]
        await ask(pool, "crashdump.destroy", dump)
        assert pool.store.find(dump) is None
        assert pool.store.find(disk) is None
        assert len(pool.picture()["volumes"]) == len(volumes) - 1
        used = pool.add_vdi(type="crashdump")
        pool.add("VBD", **pool.vbd_values(await pool.running(), used, "7"), currently_attached=True)
        kept = pool.add("crashdump", VM=vm, VDI=used)
        assert (await refused(pool, "crashdump.destroy", kept))[0] == "VDI_IN_USE"
        assert pool.store.find(kept) is not None


async def test_an_interface_cannot_be_introduced_as_one_that_carries_itself() -> None:
    async with sim_pool() as pool:
        (trunk,) = pool.store.related(pool.network, "PIFs")
        vlan = pool.add("PIF", host=pool.hosts[0], network=pool.add("network"), device="eth0", VLAN=5)
        wanted = ["INVALID_VALUE", "untagged_PIF", trunk]
        assert await refused(pool, "VLAN.pool_introduce", trunk, trunk, 5, {}) == wanted
        await ask(pool, "VLAN.pool_introduce", trunk, vlan, 5, {})
        assert await refused(pool, "VLAN.pool_introduce", vlan, trunk, 6, {}) == wanted


# message


async def test_the_oldest_messages_make_room_for_those_that_clients_write() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        uuid = pool.store.get(pool.add_vm())["uuid"]
        txn = pool.store.begin()
        for number in range(KEPT):
            txn.create("message", pool.ids.ref(), {"uuid": pool.ids.uuid(), "name": "OLD", "body": str(number)})
        pool.store.commit(txn)
        oldest = next(iter(pool.store.all("message")))
        written = await pool.call("message.create", root, "NEW", "3", "VM", uuid, "text")
        assert len(pool.store.all("message")) == KEPT
        assert pool.store.find(oldest) is None
        assert (await pool.call("message.get_record", root, written))["body"] == "text"
        refusal = await pool.refusal("message.create", root, "NEW", "3", "VM", "gone", "")
        assert refusal == ["UUID_INVALID", "VM", "gone"]


async def test_permissions_can_be_read_as_roles_and_are_not_listed_among_them() -> None:
    async with api_pool() as pool:
        session = await furnished(pool)
        (reader,) = await pool.call("role.get_by_name_label", session, "read-only")
        (operator,) = await pool.call("role.get_by_name_label", session, "vm-operator")
        owned = await pool.call("role.get_permissions", session, reader)
        names = await pool.call("role.get_permissions_name_label", session, reader)
        assert len(owned) == len(names) > 1000
        (permission,) = await pool.call("role.get_by_name_label", session, "vm.hard_shutdown")
        assert permission not in owned
        assert permission in await pool.call("role.get_permissions", session, operator)
        record = await pool.call("role.get_record", session, permission)
        assert (record["name_label"], record["subroles"], record["is_internal"]) == ("vm.hard_shutdown", [], False)
        assert await pool.call("role.get_uuid", session, permission) == record["uuid"]
        assert await pool.call("role.get_by_uuid", session, record["uuid"]) == permission
        assert await pool.call("role.get_permissions", session, permission) == [permission]
        holders = await pool.call("role.get_by_permission", session, permission)
        assert holders == await pool.call("role.get_by_permission_name_label", session, "vm.hard_shutdown")
        assert (operator in holders, reader in holders) == (True, False)
        assert permission not in await pool.call("role.get_all", session)
        assert await pool.call("role.get_by_name_label", session, "vm.no_such_thing") == []
        assert await pool.refusal("role.get_record", session, "OpaqueRef:x") == [
            "HANDLE_INVALID",
            "role",
            "OpaqueRef:x",
        ]
        assert (await pool.refusal("role.get_by_uuid", session, "x"))[0] == "UUID_INVALID"
        assert (await pool.refusal("subject.add_to_roles", session, "OpaqueRef:x", permission))[0] == "HANDLE_INVALID"
