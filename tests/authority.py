"""A certificate authority for tests: certificates of any kind, good and bad, with keys that are made once."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

DAY = 86_400


@functools.cache
def key(kind: str = "ec", owner: str | int = 0) -> Any:
    """A private key: "ec", "ed25519", "dsa", a curve's name, or the bits of an RSA key. `owner` tells keys apart."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "dsa":
        return dsa.generate_private_key(2048)
    if kind == "secp256k1":
        return ec.generate_private_key(ec.SECP256K1())
    return rsa.generate_private_key(65537, int(kind))


def key_pem(private: Any, password: bytes = b"") -> str:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked).decode()


@dataclass(frozen=True)
class Issued:
    """A certificate and the key that belongs to it."""

    certificate: x509.Certificate
    private: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key(self) -> str:
        return key_pem(self.private)

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def issue(
    name: str,
    now: int,
    by: Issued | None = None,
    *,
    private: Any = None,
    authority: bool = False,
    begins: int = -DAY,
    ends: int = 30 * DAY,
    digest: Any = None,
) -> Issued:
    """A certificate for `name` (an address too), valid from `now + begins` to `now + ends`; None signs itself."""
    private = private or key("ec", name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = (subject, private) if by is None else (by.certificate.subject, by.private)
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start + datetime.timedelta(seconds=begins))
        .not_valid_after(start + datetime.timedelta(seconds=ends))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256())
    )
    return Issued(made, private)


def revoked(by: Issued, now: int, *certificates: Issued) -> str:
    """The revocation list of an authority, as PEM."""
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(start - datetime.timedelta(days=1))
        .next_update(start + datetime.timedelta(days=30))
    )
    for one in certificates:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(start)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(by.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
