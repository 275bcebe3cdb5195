"""Certificates on the wire: what listeners show after a change, and whom this server believes as a client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authority import DAY, Issued, issue, key, revoked
from cryptography import x509
from http_client import closing

from xenapi_core.api.pem import facts
from xenapi_core.bridge.client import RemoteXenApi
from xenapi_core.clock import RealClock
from xenapi_core.errors import ApiError
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.types import STRING
from xenapi_core.server.download import download
from xenapi_core.server.listener import Listener, listen_tcp
from xenapi_core.server.routes import Response, Route
from xenapi_core.server.tls_identity import TlsIdentity
from xenapi_core.server.trust import of_certificate, of_pools, of_web_servers
from xenapi_core.server.xenapi_app import xenapi_app
from xenapi_core.store.memory import MemoryStore

NOW = RealClock().now()
CA = issue("authority", NOW, authority=True)
OTHER = issue("another authority", NOW, authority=True)
HERE = issue("127.0.0.1", NOW, CA)
ELSEWHERE = issue("elsewhere.example", NOW, CA)


class Answers:
    """A server whose every call succeeds."""

    def handle(self, call: Any, codec: Any, peer: Any) -> bytes:
        return codec.success(call, codec.value(STRING, "done"))


@asynccontextmanager
async def listening(identity: TlsIdentity, client_ca: Path | None = None) -> AsyncIterator[Listener]:
    page = Route("GET", "/page", lambda _: Response(200, (), b"page"))
    app = xenapi_app(Answers(), extra=(page,))
    async with closing(await listen_tcp(app, "127.0.0.1", 0, identity.context(client_ca))) as listener:
        yield listener


def identity(directory: Path, shown: Issued | None = None) -> TlsIdentity:
    made = TlsIdentity(directory, None, ["127.0.0.1"], RealClock())
    if shown is not None:
        made.install(shown.pem.encode(), shown.key.encode())
    return made


async def seen(listener: Listener, name: str | None = None) -> bytes:
    """The certificate that a client sees who names that server, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context, server_hostname=name or "")
    der: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    await writer.wait_closed()
    return der


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_who_connects_after_an_installation_sees_the_new_certificate_whatever_its_key(
    loop: str, tmp_path: Path
) -> None:
    shown = identity(tmp_path)
    async with listening(shown) as listener:
        first = await seen(listener)
        assert facts_of(first) == shown.facts.sha256
        for kind in ("2048", "ec"):
            new = issue("127.0.0.1", NOW, CA, private=key(kind, 3))
            shown.install(new.pem.encode(), new.key.encode())
            assert [await seen(listener, name) for name in (None, "localhost")] == [new.der] * 2
        shown.renew()
        assert facts_of(await seen(listener)) == shown.facts.sha256 != facts_of(first)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_client_certificates_are_judged_as_before_after_an_installation(loop: str, tmp_path: Path) -> None:
    authorities, files = tmp_path / "ca.pem", {}
    authorities.write_text(CA.pem)
    for name, one in (("good", issue("somebody", NOW, CA)), ("bad", issue("somebody", NOW, OTHER))):
        files[name] = tmp_path / name
        files[name].write_text(one.pem + one.key)

    async def answered(listener: Listener, name: str) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(files[name])
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=context)
            writer.write(b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            reply = await reader.read()
            writer.close()
            await writer.wait_closed()
        except OSError:
            return False
        return reply.endswith(b"page")

    shown = identity(tmp_path)
    async with listening(shown, authorities) as listener:
        before = [await answered(listener, name) for name in files]
        for kind in ("ec", "2048"):
            new = issue("127.0.0.1", NOW, CA, private=key(kind, 5))
            shown.install(new.pem.encode(), new.key.encode())
            assert [await answered(listener, name) for name in files] == before == [True, False]


def facts_of(der: bytes) -> str:
    return facts(x509.load_der_x509_certificate(der)).sha256


def trusting(*authorities: Issued, verifying: bool = True, crls: tuple[str, ...] = (), purpose: Any = ()) -> Any:
    """The records of a pool that has these installed."""
    ids, store = Ids("trust"), MemoryStore(SCHEMA)
    txn = store.begin()
    host = txn.create("host", ids.ref(), {"uuid": ids.uuid(), "tls_verification_enabled": verifying})
    lists = {str(number): text for number, text in enumerate(crls)}
    values = {"uuid": ids.uuid(), "master": host, "tls_verification_enabled": verifying, "crls": lists}
    txn.create("pool", ids.ref(), values)
    for one in authorities:
        values = {"uuid": ids.uuid(), "type": "ca", "pem": one.pem, "purpose": purpose}
        txn.create("Certificate", ids.ref(), values)
    store.commit(txn)
    return store


async def asked(listener: Listener, store: Any, scheme: str = "https") -> Any:
    return await RemoteXenApi(f"{scheme}://127.0.0.1:{listener.port}", 1, of_pools(store)).call("any")


BELIEVED = [
    pytest.param(HERE, trusting(CA), id="signed by an installed authority"),
    pytest.param(HERE, trusting(OTHER, CA), id="one authority of several"),
    pytest.param(HERE, trusting(HERE), id="installed itself"),
    pytest.param(issue("127.0.0.1", NOW), trusting(verifying=False), id="nobody has to prove anything"),
    pytest.param(HERE, trusting(CA, crls=(revoked(CA, NOW, ELSEWHERE),)), id="another one is revoked"),
]


@pytest.mark.parametrize(("shown", "store"), BELIEVED)
async def test_servers_that_prove_who_they_are_are_asked(shown: Issued, store: Any, tmp_path: Path) -> None:
    async with listening(identity(tmp_path, shown)) as listener:
        assert await asked(listener, store) == "done"


LATE = issue("127.0.0.1", NOW, CA, begins=-2 * DAY, ends=-DAY)
DOUBTED = [
    pytest.param(HERE, trusting(), "unable to get local issuer", id="nobody is trusted"),
    pytest.param(HERE, trusting(OTHER), "unable to get local issuer", id="signed by another authority"),
    pytest.param(HERE, trusting(CA, purpose=("ldaps",)), "unable to get", id="trusted for something else"),
    pytest.param(issue("127.0.0.1", NOW), trusting(CA), "self-signed", id="signed by itself"),
    pytest.param(ELSEWHERE, trusting(CA), "IP address mismatch", id="another name"),
    pytest.param(LATE, trusting(CA), "expired", id="late"),
    pytest.param(HERE, trusting(CA, crls=(revoked(CA, NOW, HERE),)), "revoked", id="revoked"),
    pytest.param(HERE, trusting(CA, crls=(revoked(OTHER, NOW),)), "unable to get certificate CRL", id="no list"),
]


@pytest.mark.parametrize(("shown", "store", "reason"), DOUBTED)
async def test_servers_that_cannot_prove_who_they_are_are_not_asked(
    shown: Issued, store: Any, reason: str, tmp_path: Path
) -> None:
    async with listening(identity(tmp_path, shown)) as listener:
        with pytest.raises(ApiError) as failure:
            await asked(listener, store)
    assert failure.value.code == "SSL_VERIFY_ERROR"
    assert reason in failure.value.params[0]


@pytest.mark.parametrize(("named", "believed"), [(HERE, True), (ELSEWHERE, False), (CA, True), (OTHER, False)])
async def test_a_server_is_known_by_the_certificate_it_shows(named: Issued, believed: bool, tmp_path: Path) -> None:
    async with listening(identity(tmp_path, HERE)) as listener:
        remote = RemoteXenApi(f"localhost:{listener.port}", 1, of_certificate(named.pem))
        if believed:
            assert await remote.call("any") == "done"
            return
        with pytest.raises(ApiError) as failure:
            await remote.call("any")
        assert failure.value.code == "SSL_VERIFY_ERROR"


async def test_plain_text_proves_nothing_to_a_pool_that_verifies(tmp_path: Path) -> None:
    async with closing(await listen_tcp(xenapi_app(Answers()), "127.0.0.1", 0)) as listener:
        assert await asked(listener, trusting(verifying=False), "http") == "done"
        with pytest.raises(ApiError) as failure:
            await asked(listener, trusting(CA), "http")
    assert failure.value.code == "SSL_VERIFY_ERROR"


async def test_web_servers_are_believed_by_installed_authorities_too(tmp_path: Path) -> None:
    async def fetched(listener: Listener, store: Any) -> bytes:
        url = f"https://127.0.0.1:{listener.port}/page"
        fetch = partial(download, loopback=True, trust=partial(of_web_servers, store))
        return b"".join([data async for data in fetch(url)])

    async with listening(identity(tmp_path, HERE)) as listener:
        assert await fetched(listener, trusting(CA, verifying=False)) == b"page"
        with pytest.raises(ApiError) as failure:
            await fetched(listener, trusting(OTHER, verifying=False))
    assert failure.value.description == [
        "IMPORT_ERROR", "The server of that URL gave no answer: ClientConnectorCertificateError.",
    ]  # fmt: skip
