"""Agents of hosts on a real server: restarts and stops of endpoints, plain HTTP switched off, clients seen."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import XenAPI
from clients import logged_in, opened, wait_until
from server_process import ServerProcess


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def answer(url: str, method: str, path: str, body: str = "") -> tuple[int, str | None]:
    """Status and Location of a reply; (0, None) where nobody listens."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request(method, path, body or None)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Location")
    except ConnectionError:
        return 0, None
    finally:
        connection.close()


def listens(url: str) -> bool:
    return answer(url, "GET", "/")[0] == 200


def login(stack: ExitStack, url: str) -> Any:
    return logged_in(stack, url, "root", "xencim", ignore_ssl=True).xenapi


def refused(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(XenAPI.Failure) as failure:
        call()
    return list(failure.value.details)


def test_restarted_agent_of_the_pool_breaks_connections_and_keeps_sessions(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    server = serve("--vms", "0")
    xenapi = login(stack, server.ready["xenapi"])
    host = xenapi.pool.get_master(xenapi.pool.get_all()[0])
    address = urlsplit(server.ready["xenapi"])
    idle = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    stack.callback(idle.close)
    idle.request("GET", "/")
    assert idle.getresponse().read()
    before = float(xenapi.host.get_other_config(host)["agent_start_time"])
    xenapi.host.restart_agent(host)
    assert idle.sock is not None
    assert idle.sock.recv(1) == b""  # the server ended an idle connection
    wait_until(lambda: listens(server.ready["xenapi"]))
    assert float(xenapi.host.get_other_config(host)["agent_start_time"]) > before
    assert refused(xenapi.host.shutdown_agent)[0] == "OPERATION_NOT_ALLOWED"
    rows = dict(row[:2] for row in xenapi.Diagnostics.network_stats(host, {"method": "host.get_uuid"}))
    assert int(rows["connections"]) >= 1
    programs = xenapi.host.get_tracked_user_agents(host)
    assert "Python-xmlrpc" in programs, programs


def test_stopped_agent_of_a_member_is_started_by_the_coordinator(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    server = serve("--endpoints-per-host", "--vms", "0", "--speed", "50")
    first, second, third = (urls["xenapi"] for urls in server.ready["endpoints"].values())
    xenapi = login(stack, first)
    hosts = {record["address"]: ref for ref, record in xenapi.host.get_all_records().items()}
    member = opened(stack, second)
    member.slave_local_login_with_password("root", "xencim")
    assert member.xenapi.host.is_in_emergency_mode() is False
    member.xenapi.host.shutdown_agent()
    wait_until(lambda: not listens(second))
    assert listens(first)
    assert listens(third)
    assert hosts["127.0.0.2"] not in xenapi.pool.recover_slaves()
    xenapi.host.restart_agent(hosts["127.0.0.2"])
    wait_until(lambda: listens(second))
    assert hosts["127.0.0.2"] in xenapi.pool.recover_slaves()
    assert not set(xenapi.host.get_tracked_user_agents(hosts["127.0.0.3"])) - {"Python-xmlrpc"}
    member = opened(stack, second)
    member.slave_local_login_with_password("root", "xencim")
    member.xenapi.host.shutdown_agent()
    wait_until(lambda: not listens(second))
    xenapi.host.disable(hosts["127.0.0.2"])
    xenapi.host.reboot(hosts["127.0.0.2"])
    wait_until(lambda: listens(second))


def test_members_are_in_an_emergency_while_the_agent_of_their_coordinator_is_stopped(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    server = serve("--endpoints-per-host", "--vms", "0")
    first, second, _ = (urls["xenapi"] for urls in server.ready["endpoints"].values())
    login(stack, first).host.shutdown_agent()
    wait_until(lambda: not listens(first))
    member = opened(stack, second)
    member.slave_local_login_with_password("root", "xencim")
    assert member.xenapi.host.is_in_emergency_mode() is True
    member.xenapi.pool.emergency_transition_to_master()
    xenapi = login(stack, second)
    old = next(ref for ref, host in xenapi.host.get_all_records().items() if host["address"] == "127.0.0.1")
    xenapi.host.restart_agent(old)
    wait_until(lambda: listens(first))


def test_plain_http_that_is_switched_off_stays_off_after_a_restart(
    serve: Callable[..., ServerProcess], stack: ExitStack, tmp_path: Path
) -> None:
    options = ("--vms", "0", "--state", str(tmp_path / "state"))
    server = serve(*options)
    plain = server.ready["xenapi"]
    xenapi = login(stack, server.ready["xenapi_tls"])
    (pool,) = xenapi.pool.get_all()
    assert listens(plain)
    xenapi.pool.set_https_only(pool, True)
    assert all(record["https_only"] for record in xenapi.host.get_all_records().values())
    secure = urlsplit(server.ready["xenapi_tls"])
    assert answer(plain, "GET", "/about?x=1") == (301, f"https://{secure.netloc}/about?x=1")
    assert answer(plain, "POST", "/", "<methodCall/>") == (403, None)
    assert answer(plain, "PUT", "/import", "x") == (403, None)
    assert answer(plain, "DELETE", "/") == (403, None)
    assert answer(server.ready["wbem"], "GET", "/")[0] not in (0, 301)
    assert server.stop() == 0
    server = serve(*options)
    assert not listens(server.ready["xenapi"])
    xenapi = login(stack, server.ready["xenapi_tls"])
    master = xenapi.pool.get_master(pool)
    xenapi.host.set_https_only(master, False)
    assert not listens(server.ready["xenapi"])  # other hosts of the same endpoint still say so
    xenapi.pool.set_https_only(pool, False)
    assert listens(server.ready["xenapi"])


def test_each_endpoint_refuses_plain_http_for_its_own_host(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    server = serve("--endpoints-per-host", "--vms", "0")
    first, second, third = (urls["xenapi"] for urls in server.ready["endpoints"].values())
    xenapi = login(stack, first)
    member = next(ref for ref, host in xenapi.host.get_all_records().items() if host["address"] == "127.0.0.2")
    xenapi.host.set_https_only(member, True)
    assert (listens(first), listens(second), listens(third)) == (True, False, True)
