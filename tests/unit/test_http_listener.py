"""Listening: free and taken ports, Unix sockets and their files, TLS, and who the peer is."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_client import BIG, LOOPS, Probe, closing, connected, get, post, run

from xenapi_core.clock import RealClock
from xenapi_core.server.listener import ListenError, listen_tcp, listen_unix
from xenapi_core.server.tls import ensure_certificate, server_context


@pytest.fixture(params=sorted(LOOPS))
def loop(request):
    return request.param


def refused(opening) -> str:
    """The sentence of a listener that cannot be had."""

    async def body():
        with pytest.raises(ListenError) as caught:
            await opening()
        return str(caught.value)

    sentence = run(body())
    assert sentence.endswith((".", ")."))
    return sentence


async def test_a_name_with_two_addresses_gets_one_free_port(loop):
    async with closing(await listen_tcp(Probe().app(), "", 0)) as listener:
        assert listener.port > 0
        async with connected(listener) as client:
            assert (await client.ask(get("/hello"))).status == 200


def test_a_taken_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"127.0.0.1 port {port}: another program" in refused(
            lambda: listen_tcp(Probe().app(), "127.0.0.1", port)
        )


def test_an_address_of_another_machine_is_told():
    assert "no such address" in refused(lambda: listen_tcp(Probe().app(), "192.0.2.1", 0))


def test_a_name_that_is_none_is_told():
    assert "no address or name" in refused(lambda: listen_tcp(Probe().app(), "no such host", 0))


def test_a_port_that_is_none_is_told():
    assert "no port number" in refused(lambda: listen_tcp(Probe().app(), "127.0.0.1", 65536))


async def test_a_port_can_be_listened_on_again_at_once(loop):
    async with closing(await listen_tcp(Probe().app(), "127.0.0.1", 0)) as first, connected(first) as client:
        await client.ask(get("/hello", headers="Connection: close\r\n"))
    async with closing(await listen_tcp(Probe().app(), "127.0.0.1", first.port)) as second:
        assert second.port == first.port


async def test_a_unix_socket_is_private_and_knows_who_calls(tmp_path, loop):
    probe = Probe()
    path = tmp_path / "made" / "for" / "it" / "api.sock"
    async with closing(await listen_unix(probe.app(), path)) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert os.listdir(path.parent) == ["api.sock"]
        async with connected(listener) as client:
            assert (await client.ask(post(b"x"))).body == b"x"
        peer = probe.requests[0].peer
        assert (peer.transport, peer.uid, peer.certificate) == ("unix", os.getuid(), None)
    assert not path.exists()


async def test_a_socket_file_left_by_a_crash_is_replaced(tmp_path, loop):
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert path.exists()
    async with closing(await listen_unix(Probe().app(), path, 0o666)) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        async with connected(listener) as client:
            assert (await client.ask(get("/hello"))).status == 200


async def test_a_socket_somebody_answers_is_left_alone(tmp_path):
    path = tmp_path / "api.sock"
    async with closing(await listen_unix(Probe().app(), path)) as first:
        with pytest.raises(ListenError, match="another program listens there"):
            await listen_unix(Probe().app(), path)
        async with connected(first) as client:
            assert (await client.ask(get("/hello"))).status == 200


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    assert "no socket" in refused(lambda: listen_unix(Probe().app(), path))
    assert path.read_text() == "precious"


async def test_the_socket_of_a_successor_is_not_removed(tmp_path):
    path = tmp_path / "api.sock"
    async with closing(await listen_unix(Probe().app(), path)) as first:
        path.unlink()
        async with closing(await listen_unix(Probe().app(), path)):
            await first.close()
            assert path.exists()


def test_a_path_too_long_for_a_socket_is_told(tmp_path):
    assert "at most 107 bytes" in refused(lambda: listen_unix(Probe().app(), tmp_path / ("x" * 120)))


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path) in refused(lambda: listen_unix(Probe().app(), tmp_path / "file" / "api.sock"))


@pytest.mark.parametrize("presented", [True, False])
async def test_tls_serves_the_same_requests_and_sees_the_client_certificate(tmp_path, loop, presented):
    certificate, key = ensure_certificate(tmp_path, ["test"], RealClock())
    theirs, their_key = client_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    if presented:
        context.load_cert_chain(theirs, their_key)
    probe = Probe()
    settings = server_context(certificate, key, client_ca=theirs)
    async with closing(await listen_tcp(probe.app(), "127.0.0.1", 0, settings)) as listener:
        async with connected(listener, context) as client:
            assert (await client.ask(post(b"secret"))).body == b"secret"
            assert (await client.ask(get("/big"))).body == BIG
            assert len((await client.ask(get("/stream"))).body) == 20 * 6000
            assert (await client.ask(post(b"x" * 2000))).status == 413
        peer = probe.requests[0].peer
        assert peer.transport == "tls"
        assert peer.certificate == (ssl.PEM_cert_to_DER_cert(theirs.read_text()) if presented else None)


def client_certificate(folder):
    """A self-signed certificate for a client, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = folder / "client.pem", folder / "client.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, key_file


async def test_plain_http_on_a_tls_port_disturbs_nobody(tmp_path, loop):
    certificate, key = ensure_certificate(tmp_path, [], RealClock())
    context = ssl.create_default_context(cafile=certificate)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with closing(await listen_tcp(Probe().app(), "127.0.0.1", 0, server_context(certificate, key))) as listener:
        async with connected(listener) as client:
            await client.send(get("/hello"))
            await client.reader.read()
        async with connected(listener, context) as client:
            assert (await client.ask(get("/hello"))).body == b"hello"
