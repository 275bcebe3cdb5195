"""Real clients of a pool with an external directory, and with client certificates, at both faces."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pywbem
import XenAPI
from authority import issue
from clients import logged_in, opened
from server_process import ServerProcess, start_server, until_done

from xenapi_core.api.auth.users_file import add_user

ROOT, ANN = ("root", "root's password"), ("ann", "ann-s3cret-Pa55")
STAFF = "lab/group/staff"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("external")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    """A server that offers the directory lab, and verifies client certificates."""
    now = int(time.time())
    authority = issue("our authority", now, authority=True)
    (folder / "ca.pem").write_text(authority.pem)
    agent = issue("agent.example.com", now, authority)
    (folder / "agent.pem").write_text(agent.pem + agent.key)
    add_user(folder / "users", *ROOT, ("pool-admin",))
    add_user(folder / "lab", *ANN, ("pool-admin",), groups=("staff",))
    yield from until_done(
        start_server(
            folder / "server", "--speed", "200", "--log-level", "debug", "--users", str(folder / "users"),
            "--client-ca", str(folder / "ca.pem"), "--directory", f"users:lab={folder / 'lab'}",
        )
    )  # fmt: skip


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def root(server: ServerProcess, stack: ExitStack) -> Any:
    return logged_in(stack, server.ready["xenapi"], *ROOT).xenapi


def systems(server: ServerProcess, user: str) -> list[Any]:
    """What a WBEM client of the directory's user sees. pywbem.AuthError."""
    url = server.ready["wbem"]
    with pywbem.WBEMConnection(url, (user, ANN[1]), default_namespace="root/cimv2", timeout=30) as wbem:
        return wbem.EnumerateInstanceNames("Xen_ComputerSystem")


def test_a_user_of_the_directory_is_at_both_faces_what_subjects_say(
    server: ServerProcess, stack: ExitStack, root: Any
) -> None:
    (pool,) = root.pool.get_all()
    with pytest.raises(XenAPI.Failure, match="SESSION_AUTHENTICATION_FAILED"):
        logged_in(stack, server.ready["xenapi"], *ANN)
    root.pool.enable_external_auth(pool, {"user": "admin", "pass": "j0in-s3cret"}, "lab", "users")
    assert root.auth.get_subject_identifier("staff") == STAFF
    told = root.auth.get_subject_information_from_identifier(STAFF)
    subject = root.subject.create({"subject_identifier": STAFF, "other_config": told})
    (reader,) = root.role.get_by_name_label("read-only")
    (admin,) = root.role.get_by_name_label("pool-admin")
    root.subject.add_to_roles(subject, reader)
    root.subject.remove_from_roles(subject, admin)

    ann = logged_in(stack, server.ready["xenapi"], *ANN).xenapi
    vm = ann.VM.get_all()[0]
    with pytest.raises(XenAPI.Failure, match="RBAC_PERMISSION_DENIED"):
        ann.VM.set_name_label(vm, "ann's")
    assert len(systems(server, "ann")) == len(systems(server, "ann@lab")) > 0

    root.pool.disable_external_auth(pool, {})
    with pytest.raises(XenAPI.Failure, match="SESSION_AUTHENTICATION_FAILED"):
        ann.VM.get_all()  # this client logs in again by itself when its session has ended
    with pytest.raises(pywbem.AuthError):
        systems(server, "ann")
    assert root.subject.get_subject_identifier(subject) == STAFF
    for secret in (ROOT[1], ANN[1], "j0in-s3cret"):
        assert secret not in server.output


def test_accounts_of_the_system_log_in_by_the_pam_service_that_is_offered(
    serve: Callable[..., ServerProcess], pam_service: str, login: Callable[..., Any]
) -> None:
    server = serve("--speed", "200", "--directory", f"PAM:{pam_service}")
    root = login(server)
    (pool,) = root.pool.get_all()
    with pytest.raises(XenAPI.Failure, match="POOL_AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED"):
        root.pool.enable_external_auth(pool, {}, "login", "PAM")
    root.pool.enable_external_auth(pool, {}, pam_service, "PAM")
    identifier = root.auth.get_subject_identifier("nobody")
    assert root.auth.get_subject_information_from_identifier(identifier)["subject-name"] == "nobody"
    root.subject.create({"subject_identifier": identifier, "other_config": {}})
    assert login(server, "nobody", "right").VM.get_all()
    assert login(server, "root", "xencim").VM.get_all(), "the server's own account comes first"
    for user, password, code in (
        ("nobody", "wrong", "SESSION_AUTHENTICATION_FAILED"),
        ("root", "right", "SESSION_AUTHORIZATION_FAILED"),
    ):
        with pytest.raises(XenAPI.Failure) as failure:
            login(server, user, password)
        assert failure.value.details[0] == code


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("users:lab", "PAM:SERVICE or users:NAME=FILE"),
        ("PAM:xencim=file", "PAM:SERVICE or users:NAME=FILE"),
        ("AD:lab", "PAM:SERVICE or users:NAME=FILE"),
        ("users:lab=/no/such/file", "/no/such/file does not exist"),
    ],
)
def test_a_directory_that_cannot_be_offered_is_one_sentence(option: str, told: str) -> None:
    command = [sys.executable, "-m", "xenapi_core.cli.main", "serve", "--demo", "--directory", option]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_client_certificate_logs_in_at_both_faces_until_that_is_disabled(
    server: ServerProcess, folder: Path, stack: ExitStack, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pool,) = root.pool.get_all()
    assert root.pool.get_client_certificate_auth_enabled(pool) is True, "as the option says"
    root.pool.enable_client_certificate_auth(pool, "agent.example.com")
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    trust.load_cert_chain(folder / "agent.pem")

    session = opened(stack, server.ready["xenapi_tls"], transport=xmlrpc.client.SafeTransport(context=trust))
    session.login_with_password("", "")
    assert session.xenapi.session.get_client_certificate(session._session) is True
    assert session.xenapi.VM.get_all()
    with pytest.raises(XenAPI.Failure, match="RBAC_PERMISSION_DENIED"):
        session.xenapi.pool.set_name_label(pool, "agent's")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would win over ca_certs
        monkeypatch.delenv(name, raising=False)
    url = urlsplit(server.ready["wbem_tls"])
    (folder / "server.pem").write_text(ssl.get_server_certificate((str(url.hostname), url.port or 0)))
    wbem = pywbem.WBEMConnection(
        server.ready["wbem_tls"], default_namespace="root/cimv2", timeout=30, ca_certs=str(folder / "server.pem"),
        x509={"cert_file": str(folder / "agent.pem")},
    )  # fmt: skip
    stack.callback(wbem.close)
    assert wbem.EnumerateInstanceNames("Xen_ComputerSystem")

    session.xenapi.pool.disable_client_certificate_auth(pool)
    with pytest.raises(XenAPI.Failure, match="SESSION_AUTHENTICATION_FAILED"):
        session.xenapi.VM.get_all()
    with pytest.raises(pywbem.AuthError):
        wbem.EnumerateInstanceNames("Xen_ComputerSystem")
