"""What hosts prove to each other over real TLS: certificates for members, seen by PyPI's XenAPI and by a TLS client."""

from __future__ import annotations

import hashlib
import socket
import ssl
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import XenAPI
from clients import logged_in
from server_client import complaints
from server_process import ServerProcess

MEMBERS = "xapi:pool"
COORDINATOR = ("--endpoints-per-host", "--hosts", "2", "--vms", "0", "--seed", "pool")
LONE = ("--endpoints-per-host", "--hosts", "1", "--srs", "0", "--vms", "0", "--bind", "127.0.0.9", "--seed", "lone")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def client(stack: ExitStack, server: ServerProcess) -> Any:
    return logged_in(stack, server.ready["xenapi"], server.user, server.password).xenapi


def refusal(call: Callable[..., Any], *args: Any) -> list[str]:
    with pytest.raises(XenAPI.Failure) as refused:
        call(*args)
    return refused.value.details


def shown(url: str, name: str | None = MEMBERS) -> str:
    """The fingerprint of the certificate that who asks for that server name is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    place = urlsplit(url)
    with (
        socket.create_connection((place.hostname, place.port), 30) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        certificate = connection.getpeercert(True)
    assert certificate is not None
    return hashlib.sha256(certificate).digest().hex(":").upper()


def recorded(xenapi: Any, host: str) -> str:
    """The fingerprint of the certificate that a host has for other members."""
    found = [xenapi.Certificate.get_record(ref) for ref in xenapi.host.get_certificates(host)]
    (own,) = (record for record in found if record["type"] == "host_internal")
    return str(own["fingerprint_sha256"])


def test_each_host_shows_members_a_certificate_of_its_own_also_after_a_restart(
    serve: Callable[..., ServerProcess], stack: ExitStack, tmp_path: Path
) -> None:
    options = (*COORDINATOR, "--state", str(tmp_path / "state"))
    server = serve(*options)
    xenapi = client(stack, server)
    urls = {xenapi.host.get_by_uuid(uuid): urls["xenapi_tls"] for uuid, urls in server.ready["endpoints"].items()}
    before = {host: shown(url) for host, url in urls.items()}
    assert before == {host: recorded(xenapi, host) for host in urls}
    assert len({*before.values(), server.ready["tls_fingerprint"]}) == 3
    refreshed = next(host for host in urls if host != xenapi.pool.get_master(xenapi.pool.get_all()[0]))
    xenapi.host.refresh_server_certificate(refreshed)
    after = {host: shown(url) for host, url in urls.items()}
    assert [host for host in urls if before[host] != after[host]] == [refreshed]
    assert after == {host: recorded(xenapi, host) for host in urls}
    assert {shown(url, "localhost") for url in urls.values()} == {server.ready["tls_fingerprint"]}
    uuids = {host: xenapi.host.get_uuid(host) for host in urls}
    assert server.stop() == 0
    again = serve(*options)
    for host, uuid in uuids.items():
        assert shown(again.ready["endpoints"][uuid]["xenapi_tls"]) == after[host]
    assert complaints(server) + complaints(again) == []


def test_servers_of_a_pool_that_verifies_know_each_other_by_those_certificates(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    pool, lone = serve(*COORDINATOR), serve(*LONE)
    there, here = client(stack, pool), client(stack, lone)
    (host,) = here.host.get_all()
    uuid = here.host.get_uuid(host)
    for xenapi in (here, there):
        xenapi.pool.enable_tls_verification()
    place = urlsplit(pool.ready["xenapi_tls"]).netloc
    join = (place, pool.user, pool.password)
    assert refusal(here.pool.join, *join)[0] == "SSL_VERIFY_ERROR"
    here.pool.install_ca_certificate("server.pem", there.host.get_server_certificate(there.host.get_all()[0]))
    here.pool.join(*join)
    there.pool.uninstall_ca_certificate("server.pem")
    member = there.host.get_by_uuid(uuid)
    url = lone.ready["endpoints"][uuid]["xenapi_tls"]
    before = shown(url)
    assert recorded(there, member) == before
    there.pool.rotate_secret()
    there.host.refresh_server_certificate(member)
    assert before != shown(url) == recorded(there, member)
    there.pool.rotate_secret()
    there.host.refresh_server_certificate(there.pool.get_master(there.pool.get_all()[0]))
    there.pool.rotate_secret()
    there.pool.eject(member)
    assert client(stack, lone).host.get_all() == [host]
    assert complaints(pool) + complaints(lone) == []


def test_a_post_goes_to_a_server_of_somebodys_choice_and_its_reply_comes_back(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    server = serve("--hosts", "1", "--vms", "0")
    xenapi = client(stack, server)
    place = urlsplit(server.ready["xenapi_tls"])
    call = xmlrpc.client.dumps((), "system.listMethods")
    assert refusal(xenapi.pool.send_test_post, place.hostname, str(place.port), call)[0] == "SSL_VERIFY_ERROR"
    own = xenapi.host.get_server_certificate(xenapi.host.get_all()[0])
    xenapi.pool.install_ca_certificate("own.pem", own)
    reply = xenapi.pool.send_test_post(place.hostname, str(place.port), call)
    assert "VM.start" in xmlrpc.client.loads(reply)[0][0]
    assert refusal(xenapi.pool.test_archive_target, xenapi.pool.get_all()[0], {}) == ["MESSAGE_REMOVED"]
    assert complaints(server) == []
