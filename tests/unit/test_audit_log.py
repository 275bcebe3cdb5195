"""The audit log: which calls it tells of, in what words, and what it keeps to itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from action_server import action_server
from sim_api import ask, dispatcher, refused

from xenapi_core.api.audit import KEPT, LONGEST, AuditLog
from xenapi_core.clock import VirtualClock
from xenapi_core.engine.caller import Caller
from xenapi_core.errors import ApiError
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool

OPERATOR = Caller("OpaqueRef:of-a-session", "ann", frozenset({"vm-operator"}))


def told(pool: SimPool, since: int = 0) -> list[str]:
    """The lines without their time."""
    return [line.split(" ", 1)[1] for line in dispatcher(pool).services.surroundings.audit.since(since)]


async def test_calls_that_change_something_are_told_with_their_objects() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm("the shop's")
        uuid = pool.store.get(vm)["uuid"]
        await ask(pool, "VM.get_name_label", vm)
        await ask(pool, "VM.get_record", vm)
        await ask(pool, "VM.start", vm, False, False)
        await refused(pool, "VM.start", vm, False, False)
        await ask(pool, "VM.set_name_label", vm, "till")
        started, again, renamed = told(pool)
        assert started == f"trackid='{track()}' 'root' ALLOWED OK API VM.start (vm 'the shop\\'s' {uuid} {vm})"
        assert " ALLOWED ERROR:VM_BAD_POWER_STATE API VM.start " in again
        assert " OK API VM.set_name_label (self 'the shop\\'s' " in renamed
        await ask(pool, "VM.hard_shutdown", vm)
        await ask(pool, "VM.destroy", vm)
        assert told(pool)[-1].endswith(f"OK API VM.destroy (self 'till' {uuid} {vm})")


def track() -> str:
    """The track id of TEST_CALLER's session."""
    log = AuditLog(VirtualClock())
    log.add(TEST_CALLER, "API", "x", "OK")
    (line,) = log.since(0)
    return line.split("'")[1]


async def test_who_lacks_the_role_is_told_as_denied_and_no_session_is_named() -> None:
    async with sim_pool() as pool:
        reader = replace(OPERATOR, roles=frozenset({"read-only"}))
        with pytest.raises(ApiError):
            await ask(pool, "pool.set_name_label", pool.pool, "x", caller=reader)
        (line,) = told(pool)
        assert "'ann' DENIED API pool.set_name_label (self " in line
        assert OPERATOR.session not in line


async def test_values_of_parameters_stay_out_of_the_log() -> None:
    async with sim_pool() as pool:
        await ask(pool, "secret.create", {"value": "hidden-word", "other_config": {}})
        await ask(pool, "pool.set_other_config", pool.pool, {"password": "hidden-word"})
        assert len(told(pool)) == 2
        assert "hidden-word" not in "".join(told(pool))


async def test_task_of_a_plan_is_told_when_it_starts_and_of_a_handler_when_it_ends() -> None:
    async with sim_pool() as pool:
        vm = pool.add_vm()
        task = await ask(pool, "Async.VM.start", vm, False, False)
        await ask(pool, "Async.host.disable", pool.hosts[0])
        await pool.clock.advance(60)  # type: ignore[attr-defined]
        assert " STARTED API Async.VM.start (vm 'vm' " in told(pool)[0]
        assert told(pool)[0].endswith(f" {task})")
        assert " OK API host.disable " in told(pool)[1]


@pytest.mark.parametrize(
    ("user", "word"),
    [
        ("a' 'root", "'a\\' \\'root'"),
        ("a\n20260101T00:00:00Z forged", "'a\\n20260101T00:00:00Z forged'"),
        ("é\u2028\x1b", "'\\xe9\\u2028\\x1b'"),
        ("\ud800", "'\\ud800'"),
        ("x" * (LONGEST + 1), "'" + "x" * LONGEST + "...'"),
    ],
)
def test_words_of_clients_cannot_forge_a_line(user: str, word: str) -> None:
    log = AuditLog(VirtualClock())
    log.add(replace(OPERATOR, user=user), "API", "VM.start", "OK")
    log.append(f"member says: {user}")
    first, second = log.since(0)
    assert f" {word} ALLOWED OK API VM.start" in first
    assert second.isascii()
    assert second.isprintable()


def test_only_the_newest_lines_are_kept() -> None:
    log = AuditLog(VirtualClock())
    for number in range(KEPT + 2):
        log.append(str(number))
    lines = list(log.since(0))
    assert len(lines) == KEPT
    assert lines[0].endswith("'2'")


def test_a_user_with_many_lines_pushes_out_nobody_elses() -> None:
    log = AuditLog(VirtualClock())
    log.append("what happened before")
    log.add(OPERATOR, "API", "VM.start", "OK")
    for _ in range(2 * KEPT):
        log.add(replace(OPERATOR, user="flood"), "API", "VM.destroy", "DENIED")
    log.add(OPERATOR, "API", "VM.pause", "OK")
    lines = list(log.since(0))
    assert len(lines) == KEPT
    assert [line.split()[-1] for line in lines if "'flood'" not in line] == ["before'", "VM.start", "VM.pause"]
    assert lines[-1].endswith("VM.pause")


async def test_log_over_http_is_told_from_an_instant_on() -> None:
    async with action_server() as site:
        audit = site.services.surroundings.audit
        audit.append("one")
        reply = await site.root("GET", "/audit_log")
        assert reply.status == 200
        assert reply.body.endswith(b"'one'\n")
        assert (await site.root("GET", "/audit_log?since=20990101T00:00:00Z")).body == b""
        assert (await site.root("GET", "/audit_log?since=yesterday")).status == 500
        assert (await site.ask("GET", "/audit_log")).status == 401


async def test_requests_that_need_a_role_are_told_too() -> None:
    async with action_server() as site:
        audit = site.services.surroundings.audit
        assert (await site.root("GET", "/pool/xmldbdump")).status == 200
        reader = await site.login("read-only")
        assert (await site.ask("GET", "/pool/xmldbdump", Cookie=f"session_id={reader}")).status == 403
        assert (await site.root("GET", "/export?uuid=none")).status == 404
        assert (await site.root("GET", "/audit_log")).status == 200
        dumped, denied, missing = audit.since(0)
        assert "'root' ALLOWED OK HTTP get_pool_xml_db_sync" in dumped
        assert "'read-only' DENIED HTTP get_pool_xml_db_sync" in denied
        assert "'root' ALLOWED ERROR:UUID_INVALID HTTP get_export" in missing
        assert reader not in denied
