"""Requests that are no calls: who may make them, which task they end, and what is told when they fail."""

from __future__ import annotations

import base64
import json
import xmlrpc.client
from pathlib import Path
from urllib.parse import quote

import pytest
from action_server import action_server

from xenapi_core.model.http_actions import HTTP_ACTIONS
from xenapi_core.server.actions.action import ACTIONS
from xenapi_core.server.actions.connected_disks import CONNECTED_DISKS
from xenapi_core.server.actions.table import served
from xenapi_core.testing.pool import GIB

FACTS = json.loads((Path(__file__).parent / "data" / "http_actions.json").read_text(encoding="utf-8"))
MIB = 1 << 20
REFUSED = 401


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_the_actions_are_those_of_the_reference() -> None:
    told = {
        action.name: [
            action.method,
            action.path,
            list(action.args),
            action.role + ("+client-cert" if action.client_cert else ""),
            action.listed,
        ]
        for action in HTTP_ACTIONS
    }
    assert told == FACTS


def test_only_declared_actions_are_served() -> None:
    own = {action.name for action in CONNECTED_DISKS}
    assert set(ACTIONS) - own <= {action.name for action in HTTP_ACTIONS}
    assert set(ACTIONS) - own <= set(served())


async def test_a_session_is_taken_from_the_cookie_then_from_the_query() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(2 * MIB)
        path, session = f"/export_raw_vdi?vdi={vdi}", await site.login()
        assert (await site.ask("GET", f"{path}&session_id={session}")).status == 200
        assert (await site.ask("GET", path, Cookie=f"x=y; session_id={session}")).status == 200
        wrong = await site.ask("GET", f"{path}&session_id={session}", Cookie="session_id=OpaqueRef:none")
        assert wrong.status == REFUSED
        stale = await site.ask("GET", f"{path}&session_id=OpaqueRef:none", Authorization=basic("root", "secret"))
        assert stale.status == REFUSED


async def test_user_and_password_do_without_a_session() -> None:
    async with action_server() as site:
        path = f"/export_raw_vdi?vdi={site.pool.add_vdi(2 * MIB)}"
        reply = await site.ask("GET", path, Authorization=basic("root", "secret"), User_Agent="curl/8.0")
        assert reply.status == 200
        (session,) = site.pool.store.all("session").values()
        assert session["originator"] == "curl using Basic auth"
        assert (await site.ask("GET", path, Authorization=basic("root", "wrong"))).status == REFUSED


async def test_who_says_nothing_is_told_the_realm() -> None:
    async with action_server() as site:
        for method, path, realm in (
            ("GET", "/export_raw_vdi?vdi=x", "get_export_raw_vdi"),
            ("PUT", "/import_raw_vdi?vdi=x", "put_import_raw_vdi"),
            ("GET", "/services", "get_services"),
        ):
            reply = await site.ask(method, path)
            assert reply.status == REFUSED
            assert reply.headers["www-authenticate"] == f'Basic realm="{realm}"'


async def test_the_pool_secret_opens_what_a_member_needs() -> None:
    async with action_server() as site:
        path = f"/export_raw_vdi?vdi={site.pool.add_vdi(2 * MIB)}"
        assert (await site.ask("GET", path, Cookie="pool_secret=")).status == REFUSED
        secret = site.sessions.membership.secret = "a secret of the pool"
        assert (await site.ask("GET", path, Cookie=f"pool_secret={quote(secret)}")).status == 200
        assert (await site.ask("GET", path, Cookie="pool_secret=no")).status == REFUSED
        assert (await site.ask("GET", path, Cookie="pool_secret=")).status == REFUSED


async def test_a_role_that_does_not_suffice_is_told_and_fails_the_task() -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(2 * MIB)
        session = await site.login("vm-operator")
        task = site.task(session=session)
        reply = await site.ask("GET", f"/export_raw_vdi?vdi={vdi}&session_id={session}&task_id={task}")
        assert reply.status == 403
        status, (code, permission, _) = site.told(task)
        assert (status, code, permission) == ("failure", "RBAC_PERMISSION_DENIED", "http/get_export_raw_vdi")
        allowed = await site.login("vm-admin")
        assert (await site.ask("GET", f"/export_raw_vdi?vdi={vdi}&session_id={allowed}")).status == 200


@pytest.mark.parametrize("where", ["query", "cookie"])
async def test_the_clients_task_ends_with_the_request(where: str) -> None:
    async with action_server() as site:
        vdi = site.pool.add_vdi(2 * MIB)
        good, bad = site.task(), site.task()
        for task, disk in ((good, vdi), (bad, "OpaqueRef:none")):
            session, path = await site.login(), f"/import_raw_vdi?vdi={disk}"
            cookie = f"session_id={session}"
            if where == "query":
                path += f"&task_id={task}"
            else:
                cookie += f"; task_id={task}"
            await site.ask("PUT", path, b"x", Cookie=cookie)
        assert site.told(good) == ("success", ())
        assert site.told(bad) == ("failure", ("HANDLE_INVALID", "VDI", "OpaqueRef:none"))


async def test_a_request_without_a_task_gets_one_below_the_task_it_names() -> None:
    async with action_server() as site:
        vdi, above = site.pool.add_vdi(2 * MIB), site.task()
        await site.root("PUT", f"/import_raw_vdi?vdi={vdi}&subtask_of={above}", b"x")
        (made,) = (task for task in site.pool.store.all("task").values() if task.ref != above)
        assert (made["name_label"], made["status"], made["subtask_of"]) == ("Import of raw VDI", "success", above)
        assert site.told(above)[0] == "pending"


async def test_a_task_of_somebody_else_is_left_alone() -> None:
    async with action_server() as site:
        task = site.task(session=await site.login("root"))
        session = await site.login("vm-admin")
        vdi = site.pool.add_vdi(2 * MIB)
        path = f"/import_raw_vdi?vdi={vdi}&session_id={session}&task_id="
        assert (await site.ask("PUT", path + task, b"x")).status == 403
        assert site.told(task) == ("pending", ())
        assert (await site.ask("PUT", path + "OpaqueRef:none", b"x")).status == 404


async def test_what_nobody_serves_says_so() -> None:
    async with action_server() as site:
        unserved = [action for action in HTTP_ACTIONS if action.name not in served() and action.method != "CONNECT"]
        assert unserved
        for action in unserved:
            task = site.task()
            reply = await site.root(action.method, f"{action.path}?task_id={task}")
            assert reply.status == 501, action.name
            assert site.told(task)[0] == "failure"


async def test_calls_are_calls_as_before() -> None:
    async with action_server() as site:
        body = xmlrpc.client.dumps(("x",), "system.isAlive").encode()
        for path in ("/", "/RPC2", "/anything"):
            assert b"Success" in (await site.ask("POST", path, body)).body
        assert (await site.ask("PUT", "/anything")).status == 403


async def test_a_disk_of_a_vm_that_runs_is_neither_written_nor_read() -> None:
    async with action_server(host_memory=16 * GIB) as site:
        vm = await site.pool.running()
        (vbd,) = map(site.pool.store.get, site.pool.store.related(vm, "VBDs"))
        for method, path in (("GET", "/export_raw_vdi"), ("PUT", "/import_raw_vdi")):
            task = site.task()
            reply = await site.root(method, f"{path}?vdi={vbd['VDI']}&task_id={task}", b"x")
            assert reply.status == 500
            assert b"VDI_IN_USE" in reply.body
            assert site.told(task)[1][:2] == ("VDI_IN_USE", vbd["VDI"])
