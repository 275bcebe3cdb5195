"""Who gets in at the WBEM doors: client certificates, plain connections beyond loopback, and users who only read."""

from __future__ import annotations

import datetime
import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pywbem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from server_client import basic, cim_body, cim_headers, complaints, namespace_path
from server_process import ServerProcess, start_server

from xenapi_core.api.auth.users_file import UsersFileError, add_user, load
from xenapi_core.config import ConfigError, ServeConfig

ADMIN, READER = ("admin", "admin's password"), ("reader", "reader's password")


@dataclass(frozen=True)
class Authority:
    """A certificate authority that a test made up, and what it signed: `name` -> (certificate, key) files."""

    folder: Path
    name: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def make(self) -> Authority:
        self._sign(self.name, None)
        return self

    def issue(self, name: str) -> tuple[Path, Path]:
        """A client certificate and its key."""
        key = serialization.load_pem_private_key((self.folder / f"{self.name}.key").read_bytes(), None)
        self._sign(name, key)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _sign(self, name: str, signer) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"), _common(name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"), _common(self.name)])
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=36500))
            .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
            .sign(signer or key, hashes.SHA256())
        )
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{name}.key").write_bytes(encoded)
        (self.folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _common(name: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wbem")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder, "ours").make()


@pytest.fixture(scope="module")
def server(folder: Path, authority: Authority) -> Iterator[ServerProcess]:
    """A server with an administrator, a reader, and two users who have certificates (one of them no password)."""
    users = folder / "users"
    add_user(users, *ADMIN, ("pool-admin",))
    add_user(users, *READER, ("read-only",))
    certificate, _ = authority.issue("operator")
    command = [sys.executable, "-m", "xenapi_core.cli.main", "user", "add", "olga", "--users", str(users)]
    command += ["--role", "read-only", "--certificate", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    authority.issue("stranger")
    running = start_server(
        folder / "server", "--speed", "200", "--users", str(users), "--client-ca", str(authority.file)
    )
    yield running
    assert running.stop() == 0, running.output


def context_of(*files: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if files:
        context.load_cert_chain(*files)
    return context


def ask(
    server: ServerProcess, context: ssl.SSLContext, user: str = "", name: str = "EnumerateClassNames", params: str = ""
) -> tuple[int, bytes]:
    """Status and body of an operation at the encrypted door; `user` is an Authorization header line."""
    url = urlsplit(server.ready["wbem_tls"])
    connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=30)
    body = cim_body(f'<IMETHODCALL NAME="{name}">{namespace_path("root/cimv2")}{params}</IMETHODCALL>')
    lines = [line.partition(": ") for line in (user + cim_headers(name)).splitlines()]
    try:
        connection.request("POST", "/cimom", body, {key: value for key, _, value in lines})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# ---- client certificates


def test_a_certificate_of_a_user_needs_no_password(server, authority):
    context = context_of(*authority.issue("operator"))
    for _ in range(3):
        status, body = ask(server, context)
        assert (status, b"CIM_ManagedElement" in body) == (200, True)


def test_a_certificate_gives_its_user_s_roles_and_no_more(server, authority):
    context = context_of(*authority.issue("operator"))
    instance = '<INSTANCE CLASSNAME="CIM_IndicationFilter"/>'
    status, body = ask(
        server, context, "", "CreateInstance", f'<IPARAMVALUE NAME="NewInstance">{instance}</IPARAMVALUE>'
    )
    assert status == 200
    assert b'<ERROR CODE="' in body


def test_a_certificate_nobody_has_is_no_credential_but_a_password_beside_it_is(server, authority):
    context = context_of(*authority.issue("stranger"))
    assert ask(server, context)[0] == 401
    assert ask(server, context, basic(*READER))[0] == 200
    assert ask(server, context, basic(READER[0], "wrong"))[0] == 401


def test_without_a_certificate_a_password_is_asked_for(server):
    assert ask(server, context_of())[0] == 401
    assert ask(server, context_of(), basic(*READER))[0] == 200
    assert ask(server, context_of(), basic("olga", ""))[0] == 401


def test_a_certificate_of_another_authority_is_refused_before_any_request(server, folder):
    (folder / "theirs").mkdir(exist_ok=True)
    forged = Authority(folder / "theirs", "ours").make().issue("operator")
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask(server, context_of(*forged))
    assert ask(server, context_of(), basic(*READER))[0] == 200


def test_a_certificate_subject_belongs_to_one_user(tmp_path):
    users = tmp_path / "users"
    add_user(users, "a", "", ("read-only",), "CN=x")
    assert (load(users)["a"].certificate, load(users)["a"].roles) == ("CN=x", ("read-only",))
    with pytest.raises(UsersFileError, match="certificate"):
        add_user(users, "b", "pw", ("read-only",), "CN=x")
    line = json.loads(users.read_text()) | {"user": "b"}
    users.write_text(users.read_text() + json.dumps(line) + "\n")
    with pytest.raises(UsersFileError, match="certificate"):
        load(users)


def test_certificates_need_a_users_file():
    with pytest.raises(ConfigError, match="--users"):
        ServeConfig(demo=True, client_ca=Path("ca.pem")).check()


# ---- plain connections


def test_beyond_loopback_plain_wbem_takes_no_password_unless_told_to(folder, authority, serve):
    users = folder / "plain-users"
    add_user(users, *ADMIN, ("pool-admin",))
    options = ("--users", str(users), "--bind", "0.0.0.0")
    body = cim_body(f'<IMETHODCALL NAME="EnumerateClassNames">{namespace_path("root/cimv2")}</IMETHODCALL>')
    lines = [line.partition(": ") for line in (basic(*ADMIN) + cim_headers("EnumerateClassNames")).splitlines()]
    for more, wanted in (((), 403), (("--wbem-plain-basic",), 200)):
        server = serve(*options, *more)
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.ready["wbem"]).port, timeout=30)
        connection.request("POST", "/cimom", body, {key: value for key, _, value in lines})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == wanted
        assert (b"https" in text) == (wanted == 403)
        assert ask(server, context_of(), basic(*ADMIN))[0] == 200
        assert complaints(server) == []
        assert server.stop() == 0


# ---- roles


def connect(server: ServerProcess, who: tuple[str, str]) -> pywbem.WBEMConnection:
    return pywbem.WBEMConnection(server.ready["wbem"], who, default_namespace="root/cimv2", timeout=30)


def test_a_reader_sees_what_an_administrator_sees(server):
    with connect(server, ADMIN) as admin, connect(server, READER) as reader:
        for namespace in ("root/cimv2", "interop"):
            for classname in admin.EnumerateClassNames(namespace, DeepInheritance=False):
                first = sorted(map(str, admin.EnumerateInstanceNames(classname, namespace)))
                assert sorted(map(str, reader.EnumerateInstanceNames(classname, namespace))) == first


def test_a_reader_changes_nothing(server):
    with connect(server, ADMIN) as admin, connect(server, READER) as reader:
        system = next(i for i in admin.EnumerateInstances("Xen_ComputerSystem") if i["EnabledState"] == 2)
        for state in (3, 9, 10, 11):  # another state than the present one
            with pytest.raises(pywbem.CIMError) as caught:
                reader.InvokeMethod("RequestStateChange", system.path, RequestedState=pywbem.Uint16(state))
            assert caught.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
        assert admin.GetInstance(system.path)["EnabledState"] == system["EnabledState"]
        service = admin.EnumerateInstances("CIM_IndicationService", namespace="interop")[0]
        wanted = pywbem.CIMInstance(
            "CIM_IndicationFilter",
            {"Name": "mine", "Query": "SELECT * FROM CIM_InstCreation", "QueryLanguage": "DMTF:CQL"},
        )
        with pytest.raises(pywbem.CIMError) as caught:
            reader.CreateInstance(wanted, namespace="interop")
        assert caught.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
        path = admin.CreateInstance(wanted, namespace="interop")
        changed = admin.GetInstance(path)
        with pytest.raises(pywbem.CIMError) as caught:
            reader.ModifyInstance(changed)
        assert caught.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
        for victim in (path, service.path):
            with pytest.raises(pywbem.CIMError) as caught:
                reader.DeleteInstance(victim)
            assert caught.value.status_code in (pywbem.CIM_ERR_ACCESS_DENIED, pywbem.CIM_ERR_NOT_SUPPORTED)
            assert admin.GetInstance(victim) is not None
        admin.DeleteInstance(path)


def outcome(connection: pywbem.WBEMConnection, method: str, path: pywbem.CIMInstanceName) -> tuple[int | None, object]:
    """Return value (None for a CIM error) and output parameters of a call without parameters."""
    try:
        value, out = connection.InvokeMethod(method, path)
    except pywbem.CIMError:
        return None, {}
    return value, out


def test_a_reader_s_method_calls_on_every_class_start_nothing(server):
    """Every method of every class that has instances."""
    with connect(server, ADMIN) as admin, connect(server, READER) as reader:
        before = len(admin.EnumerateInstanceNames("CIM_ConcreteJob"))
        harmless = {"GetError", "GetErrors", "GetCentralInstances"}
        for namespace in ("root/cimv2", "interop"):
            targets = {path.classname: path for path in admin.EnumerateInstanceNames("CIM_ManagedElement", namespace)}
            for classname, path in targets.items():
                declared = admin.GetClass(classname, namespace, LocalOnly=False, IncludeQualifiers=False).methods
                for method in set(declared) - harmless:
                    value, out = outcome(reader, method, path)
                    assert value != 4096, (classname, method)
                    assert value != 0 or not out, (classname, method, out)
        assert len(admin.EnumerateInstanceNames("CIM_ConcreteJob")) == before
    assert complaints(server) == []


def test_a_reader_writes_no_class_qualifier_or_namespace(server):
    with connect(server, ADMIN) as admin, connect(server, READER) as reader:
        new = pywbem.CIMClass("T_Denied")
        scoped = pywbem.CIMQualifierDeclaration("TDenied", "string", scopes={"CLASS": True})
        calls = (
            lambda c: c.CreateClass(new),
            lambda c: c.ModifyClass(new),
            lambda c: c.DeleteClass("T_Denied"),
            lambda c: c.SetQualifier(scoped),
            lambda c: c.DeleteQualifier("TDenied"),
            lambda c: c.CreateInstance(
                pywbem.CIMInstance("CIM_Namespace", {"Name": "root/denied"}), namespace="interop"
            ),
        )
        for number, call in enumerate(calls):
            with pytest.raises(pywbem.CIMError) as caught:
                call(reader)
            assert caught.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED, number
        assert "T_Denied" not in admin.EnumerateClassNames()
        assert "root/denied" not in pywbem.WBEMServer(admin).namespaces
    assert complaints(server) == []
