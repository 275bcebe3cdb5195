"""Certificates: made once, private, good for this machine, and clear words about bad ones."""

from __future__ import annotations

import datetime
import hashlib
import ssl
import stat
from contextlib import suppress

import pytest
from authority import issue, key
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xenapi_core.clock import VirtualClock
from xenapi_core.server.tls import CertificateError, ensure_certificate, fingerprint, server_context


@pytest.fixture
def pair(tmp_path):
    return ensure_certificate(tmp_path, ["xen.example", "192.0.2.7", "not a name", ""], VirtualClock())


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Both sides in memory; the client's side afterwards."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(6):
        for side in (one, two):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return one


def test_the_pair_is_made_once_and_the_key_is_private(tmp_path, pair):
    certificate, key = pair
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = certificate.read_bytes(), key.read_bytes()
    assert ensure_certificate(tmp_path, ["other"], VirtualClock()) == pair
    assert (certificate.read_bytes(), key.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.key", "server.pem"]


def test_the_certificate_names_this_machine_and_lasts_ten_years(pair):
    made = x509.load_pem_x509_certificate(pair[0].read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "xen.example"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "192.0.2.7"} <= {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    assert "not a name" not in names.get_values_for_type(x509.DNSName)
    now = datetime.datetime.fromtimestamp(VirtualClock().now(), datetime.UTC)
    assert made.not_valid_before_utc < now
    assert made.not_valid_after_utc - now == datetime.timedelta(days=3650)
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "xen.example"])
def test_a_client_that_trusts_it_connects_also_with_strict_checks(tmp_path, name):
    certificate, key = ensure_certificate(tmp_path, ["xen.example"], VirtualClock())
    client = ssl.create_default_context(cafile=certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(server_context(certificate, key), client, name).version() in ("TLSv1.2", "TLSv1.3")


def test_old_tls_is_refused(pair):
    context = server_context(*pair)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE


def test_client_certificates_are_asked_for_when_there_is_an_authority(pair):
    assert server_context(*pair, client_ca=pair[0]).verify_mode == ssl.CERT_OPTIONAL


def test_the_fingerprint_is_the_sha256_clients_show(pair):
    der = ssl.PEM_cert_to_DER_cert(pair[0].read_text())
    assert fingerprint(pair[0]).replace(":", "").lower() == hashlib.sha256(der).hexdigest()
    assert len(fingerprint(pair[0]).split(":")) == 32


def told(action) -> str:
    with pytest.raises(CertificateError) as caught:
        action()
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_missing_files_are_told(tmp_path, pair):
    nowhere = tmp_path / "nowhere.pem"
    assert f"no certificate file {nowhere}" in told(lambda: server_context(nowhere, pair[1]))
    assert f"no certificate file {nowhere}" in told(lambda: fingerprint(nowhere))
    assert f"no key file {nowhere}" in told(lambda: server_context(pair[0], nowhere))
    assert str(nowhere) in told(lambda: server_context(*pair, client_ca=nowhere))


def test_a_key_of_another_certificate_is_told(tmp_path, pair):
    other = ensure_certificate(tmp_path / "other", [], VirtualClock())
    assert "does not belong to" in told(lambda: server_context(pair[0], other[1]))


def test_files_that_are_something_else_are_told(tmp_path, pair):
    text = tmp_path / "text"
    text.write_text("hello")
    assert "no certificate in PEM form" in told(lambda: server_context(text, pair[1]))
    assert "no usable unencrypted private key" in told(lambda: server_context(pair[0], text))
    assert "certificate authorities" in told(lambda: server_context(*pair, client_ca=text))


def test_a_certificate_with_a_key_that_is_too_short_is_told(tmp_path):
    weak = issue("weak.example", VirtualClock().now(), private=key("1024"))
    both = tmp_path / "weak.pem"
    both.write_text(weak.pem + weak.key)
    assert f"{both} is too weak" in told(lambda: server_context(both, both))


def test_an_encrypted_key_is_told_and_nobody_is_asked_for_its_password(tmp_path, pair):
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
        )
    )
    assert "unencrypted" in told(lambda: server_context(pair[0], encrypted))


def test_a_certificate_without_its_key_is_not_replaced(tmp_path, pair):
    pair[1].unlink()
    before = pair[0].read_bytes()
    assert "missing" in told(lambda: ensure_certificate(tmp_path, [], VirtualClock()))
    assert pair[0].read_bytes() == before


def test_a_key_left_by_a_crash_gets_a_new_pair(tmp_path, pair):
    pair[0].unlink()
    server_context(*ensure_certificate(tmp_path, [], VirtualClock()))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert "Cannot write a certificate" in told(lambda: ensure_certificate(tmp_path / "file", [], VirtualClock()))
