"""Logins by client certificate: whose they are, what they may do, and when they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from api_pool import ApiPool, api_pool
from authority import Issued, issue
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from xenapi_core.api.auth.client_certificate import ClientCertificate, read
from xenapi_core.api.auth.users_file import UsersFileAuthenticator, add_user
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.routes import Peer
from xenapi_core.server.runtime import _say_whether_certificates_log_in
from xenapi_core.store.memory import MemoryStore
from xenapi_core.testing.records import Records

NOW = 1_790_000_000
AGENT = issue("Agent.example.com", NOW)
OLGA = issue("olga", NOW)


def peer(certificate: Issued | None) -> Peer:
    return Peer("tls", "192.0.2.7", certificate=None if certificate is None else certificate.der)


@asynccontextmanager
async def pool_with_certificates(folder: Path) -> AsyncIterator[tuple[ApiPool, str]]:
    """A pool whose listeners verify client certificates; olga, a reader, has one and no password."""
    add_user(folder / "users", "olga", "", ("read-only",), OLGA.certificate.subject.rfc4514_string())
    async with api_pool() as pool:
        root = await pool.login()
        authenticator = UsersFileAuthenticator(folder / "users")
        pool.sessions.authenticator, pool.sessions.reads_certificates = authenticator, True
        yield pool, root
        authenticator.close()


async def enter(pool: ApiPool, certificate: Issued | None, user: str = "", password: str = "") -> str:
    login = "session.login_with_password"
    session: str = await pool.call(login, user, password, "1.0", "agent", peer=peer(certificate))
    return session


async def refused(pool: ApiPool, certificate: Issued | None, user: str = "", password: str = "") -> str:
    login = "session.login_with_password"
    return (await pool.refusal(login, user, password, "1.0", "agent", peer=peer(certificate)))[0]


async def test_a_certificate_with_the_pools_name_logs_in_as_client_cert(tmp_path: Path) -> None:
    async with pool_with_certificates(tmp_path) as (pool, root):
        assert await refused(pool, AGENT) == "SESSION_AUTHENTICATION_FAILED"
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "agent.Example.com")
        session = await enter(pool, AGENT)
        record = await pool.call("session.get_record", session, session)
        assert (record["client_certificate"], record["is_local_superuser"]) == (True, False)
        assert record["auth_user_name"] == "certificate of CN=Agent.example.com"
        assert pool.sessions.check(session).roles == {"client-cert"}
        assert await pool.call("VM.get_all", session) == []
        assert (await pool.refusal("VM.create", session, {}))[0] == "RBAC_PERMISSION_DENIED"
        assert await refused(pool, issue("other.example.com", NOW)) == "SESSION_AUTHENTICATION_FAILED"
        assert await refused(pool, None) == "SESSION_AUTHENTICATION_FAILED"
        fields = ("client_certificate_auth_enabled", "client_certificate_auth_name")
        assert [await pool.call(f"pool.get_{field}", root, pool.pool) for field in fields] == [
            True,
            "agent.Example.com",
        ]


async def test_a_certificate_of_a_user_gives_that_user_s_roles(tmp_path: Path) -> None:
    async with pool_with_certificates(tmp_path) as (pool, root):
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "")
        olga = pool.sessions.check(await enter(pool, OLGA))
        assert (olga.user, olga.roles, olga.local_root) == ("olga", {"read-only"}, False)
        assert await refused(pool, AGENT) == "SESSION_AUTHENTICATION_FAILED"
        pool.change(pool.pool, client_certificate_auth_name="olga")
        assert pool.sessions.check(await enter(pool, OLGA)).user == "olga", "a user comes before the name"
        assert await refused(pool, issue("x", NOW)) == "SESSION_AUTHENTICATION_FAILED"


async def test_a_password_beside_a_certificate_decides_alone(tmp_path: Path) -> None:
    async with pool_with_certificates(tmp_path) as (pool, root):
        add_user(tmp_path / "users", "ann", "ann's word", ("vm-admin",))
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "agent.example.com")
        assert pool.sessions.check(await enter(pool, AGENT, "ann", "ann's word")).roles == {"vm-admin"}
        assert await refused(pool, AGENT, "ann", "wrong") == "SESSION_AUTHENTICATION_FAILED"


async def test_disabling_ends_what_certificates_opened_and_nothing_else(tmp_path: Path) -> None:
    async with pool_with_certificates(tmp_path) as (pool, root):
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "agent.example.com")
        agent, olga = await enter(pool, AGENT), await enter(pool, OLGA)
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "agent.example.com")
        assert pool.sessions.alive(agent)
        await pool.call("pool.disable_client_certificate_auth", agent, pool.pool)
        assert [pool.sessions.alive(session) for session in (agent, olga, root)] == [False, False, True]
        assert await refused(pool, OLGA) == "SESSION_AUTHENTICATION_FAILED"
        assert not await pool.call("pool.get_client_certificate_auth_enabled", root, pool.pool)


async def test_another_name_ends_the_sessions_of_the_old_one(tmp_path: Path) -> None:
    async with pool_with_certificates(tmp_path) as (pool, root):
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "agent.example.com")
        agent = await enter(pool, AGENT)
        await pool.call("pool.enable_client_certificate_auth", root, pool.pool, "other.example.com")
        assert not pool.sessions.alive(agent)


async def test_a_server_that_verifies_no_certificates_says_so() -> None:
    async with api_pool() as pool:
        root = await pool.login()
        refusal = await pool.refusal("pool.enable_client_certificate_auth", root, pool.pool, "agent")
        assert refusal[0] == "OPERATION_NOT_ALLOWED"
        assert "--client-ca" in refusal[1]


def common_name_only(*names: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    made = issue("x", NOW)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(1)
    builder = builder.public_key(made.private.public_key())
    builder = builder.not_valid_before(made.certificate.not_valid_before_utc)
    builder = builder.not_valid_after(made.certificate.not_valid_after_utc)
    return Issued(builder.sign(made.private, hashes.SHA256()), made.private).der


@pytest.mark.parametrize(
    ("certificate", "shown"),
    [
        (AGENT.der, ClientCertificate("CN=Agent.example.com", frozenset({"agent.example.com"}))),
        (issue("192.0.2.1", NOW).der, ClientCertificate("CN=192.0.2.1", frozenset())),
        (common_name_only("Lab"), ClientCertificate("CN=Lab", frozenset({"lab"}))),
        (common_name_only(), ClientCertificate("", frozenset())),
        (b"", None),
        (b"no certificate", None),
        (AGENT.der[:-40], None),
    ],
)
def test_what_a_certificate_says_is_read_or_it_says_nothing(
    certificate: bytes, shown: ClientCertificate | None
) -> None:
    assert read(certificate) == shown


def test_a_new_pool_takes_the_option_and_an_old_one_keeps_its_setting(caplog: pytest.LogCaptureFixture) -> None:
    pool = Records("test", MemoryStore(SCHEMA))
    ref = pool.add("pool")
    _say_whether_certificates_log_in(pool.store, fresh=True, verified=True)
    assert pool.store.get(ref)["client_certificate_auth_enabled"] is True
    assert not caplog.text
    _say_whether_certificates_log_in(pool.store, fresh=False, verified=False)
    assert "--client-ca" in caplog.text
    pool.change(ref, client_certificate_auth_enabled=False)
    _say_whether_certificates_log_in(pool.store, fresh=False, verified=True)
    assert pool.store.get(ref)["client_certificate_auth_enabled"] is False
    assert "pool.enable_client_certificate_auth" in caplog.text
