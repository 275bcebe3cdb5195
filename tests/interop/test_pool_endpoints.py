"""An endpoint for every host of a real server: who answers what, and how clients find the coordinator from any."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import XenAPI
from clients import logged_in, opened, wait_until
from server_process import ServerProcess

NODE = Path(__file__).parent / "node"
FIND_COORDINATOR = """
import { createClient } from 'xen-api'
const [url, user, password] = process.argv.slice(1)
const xapi = createClient({ url, auth: { user, password }, watchEvents: false })
await xapi.connect()
const hosts = await xapi.call('host.get_all')
console.log(hosts.length + ' ' + xapi._url.hostname)
await xapi.disconnect()
process.exit(0)
"""


@pytest.fixture
def pool(serve: Callable[..., ServerProcess]) -> Iterator[Any]:
    """A server with three endpoints, and clients whose sockets close with the test."""
    with ExitStack() as stack:
        yield Pool(serve("--endpoints-per-host", "--vms", "2", "--speed", "50"), stack)


class Pool:
    def __init__(self, server: ServerProcess, stack: ExitStack) -> None:
        self.server = server
        self.stack = stack
        self.urls = [urls["xenapi"] for urls in server.ready["endpoints"].values()]

    def login(self, url: str) -> Any:
        return logged_in(self.stack, url, self.server.user, self.server.password).xenapi

    def refusal(self, url: str) -> list[str]:
        with pytest.raises(XenAPI.Failure) as refused:
            self.login(url)
        return refused.value.details

    def follow(self, url: str) -> Any:
        """Log in as clients do: where the first host says the coordinator is, on the same port."""
        try:
            return self.login(url)
        except XenAPI.Failure as failure:
            code, address = failure.details
            if code != "HOST_IS_SLAVE":
                raise
            return self.login(f"http://{address}:{urlsplit(url).port}")

    def listens(self, url: str) -> bool:
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except ConnectionError:
            return False
        finally:
            connection.close()


def test_members_send_clients_to_the_coordinator(pool: Any) -> None:
    first, second, third = pool.urls
    assert first == pool.server.ready["xenapi"]
    address = urlsplit(first).hostname
    assert pool.refusal(second) == pool.refusal(third) == ["HOST_IS_SLAVE", address]
    xenapi = pool.follow(third)
    records = xenapi.host.get_all_records().values()
    assert {record["uuid"]: record["address"] for record in records} == {
        uuid: urlsplit(urls["xenapi"]).hostname for uuid, urls in pool.server.ready["endpoints"].items()
    }
    master = xenapi.pool.get_master(xenapi.pool.get_all()[0])
    assert xenapi.PIF.get_IP(xenapi.host.get_management_interface(master)) == address


def test_xen_orchestra_client_finds_the_coordinator_from_a_member(pool: Any) -> None:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", FIND_COORDINATOR, pool.urls[1], "root", "xencim"],
        cwd=NODE, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["3", "127.0.0.1"]), done.stderr


def test_members_have_an_endpoint_with_tls_on_one_port_too(pool: Any) -> None:
    urls = [urlsplit(urls["xenapi_tls"]) for urls in pool.server.ready["endpoints"].values()]
    assert [url.hostname for url in urls] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({url.port for url in urls}) == 1
    session = opened(pool.stack, urls[1].geturl(), ignore_ssl=True)
    with pytest.raises(XenAPI.Failure) as refused:
        session.login_with_password("root", "xencim")
    assert refused.value.details == ["HOST_IS_SLAVE", "127.0.0.1"]


def test_the_plain_port_of_a_member_sends_pages_to_its_own_tls_port(pool: Any) -> None:
    (second,) = [urls for urls in pool.server.ready["endpoints"].values() if urls["xenapi"] == pool.urls[1]]
    address = urlsplit(second["xenapi"])
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    connection.request("GET", "/no/such/page?x=1")
    reply = connection.getresponse()
    assert (reply.status, reply.getheader("Location")) == (301, second["xenapi_tls"] + "/no/such/page?x=1")
    connection.close()


def test_roles_swap_when_another_host_is_made_coordinator(pool: Any) -> None:
    first, second, _ = pool.urls
    xenapi = pool.login(first)
    member = next(ref for ref, host in xenapi.host.get_all_records().items() if host["address"] == "127.0.0.2")
    xenapi.pool.designate_new_master(member)
    assert pool.refusal(first) == ["HOST_IS_SLAVE", "127.0.0.2"]
    assert pool.follow(first).pool.get_all() == pool.login(second).pool.get_all()


def test_a_host_that_is_switched_off_has_no_endpoint_until_it_is_back(pool: Any) -> None:
    xenapi = pool.login(pool.urls[0])
    member = next(ref for ref, host in xenapi.host.get_all_records().items() if host["address"] == "127.0.0.3")
    for vm, record in xenapi.VM.get_all_records().items():
        if record["resident_on"] == member and not record["is_control_domain"]:
            xenapi.VM.hard_shutdown(vm)
    xenapi.host.disable(member)
    xenapi.host.set_power_on_mode(member, "wake-on-lan", {})
    assert pool.listens(pool.urls[2])
    xenapi.host.shutdown(member)
    wait_until(lambda: not pool.listens(pool.urls[2]))
    assert pool.listens(pool.urls[1])
    xenapi.host.power_on(member)
    wait_until(lambda: pool.listens(pool.urls[2]))
    assert pool.refusal(pool.urls[2]) == ["HOST_IS_SLAVE", "127.0.0.1"]


def test_the_pool_is_found_again_after_a_restart(serve: Callable[..., ServerProcess], tmp_path: Path) -> None:
    with ExitStack() as stack:
        options = ("--endpoints-per-host", "--vms", "0", "--state", str(tmp_path / "state"))
        before = Pool(serve(*options), stack)
        xenapi = before.login(before.urls[0])
        member = next(ref for ref, host in xenapi.host.get_all_records().items() if host["address"] == "127.0.0.2")
        xenapi.pool.designate_new_master(member)
        assert before.server.stop() == 0
        after = Pool(serve(*options), stack)
        assert after.server.ready["xenapi"] == after.urls[1]
        assert after.refusal(after.urls[0]) == ["HOST_IS_SLAVE", "127.0.0.2"]
        secret = (tmp_path / "state" / "membership.json").read_text(encoding="utf-8").split('"')[3]
        assert secret not in before.server.output + after.server.output
        session = opened(stack, after.urls[0])
        session.slave_local_login(secret)
        assert session.xenapi.pool.is_slave(member) is False


def test_an_endpoint_goes_where_the_management_of_its_host_goes(pool: Any) -> None:
    port = urlsplit(pool.urls[1]).port
    xenapi = pool.login(pool.urls[0])
    member = next(ref for ref, host in xenapi.host.get_all_records().items() if host["address"] == "127.0.0.2")
    (eth1,) = [pif for pif in xenapi.host.get_PIFs(member) if xenapi.PIF.get_device(pif) == "eth1"]
    xenapi.PIF.reconfigure_ip(eth1, "Static", "127.0.0.52", "255.0.0.0", "", "")
    xenapi.host.management_reconfigure(eth1)
    wait_until(lambda: pool.listens(f"http://127.0.0.52:{port}"))
    wait_until(lambda: not pool.listens(pool.urls[1]))
    session = opened(pool.stack, f"http://127.0.0.52:{port}")
    session.slave_local_login_with_password("root", "xencim")
    with pytest.raises(XenAPI.Failure) as refused:
        session.xenapi.host.local_management_reconfigure("eth9")
    assert refused.value.details == ["INVALID_VALUE", "interface", "eth9"]
    session.xenapi.host.management_disable()
    wait_until(lambda: not pool.listens(f"http://127.0.0.52:{port}"))
    with pytest.raises(XenAPI.Failure) as refused:
        xenapi.host.get_management_interface(member)
    assert refused.value.details == ["HOST_HAS_NO_MANAGEMENT_IP"]
    (eth0,) = [pif for pif in xenapi.host.get_PIFs(member) if xenapi.PIF.get_device(pif) == "eth0"]
    xenapi.host.management_reconfigure(eth0)
    wait_until(lambda: pool.listens(pool.urls[1]))
    assert pool.refusal(pool.urls[1]) == ["HOST_IS_SLAVE", "127.0.0.1"]
