"""Reads certificates, keys and revocation lists that clients send as PEM; raises the Xen-API error for bad ones.

Rule 1: nothing of a private key is in an error.
Rule 2: this module reads text and returns values; whoever calls it says what time it is (seconds since 1970).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from xenapi_core.errors import E, ErrorCode
from xenapi_core.model.types import format_datetime

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_RSA_BITS: Final = range(2048, 4097)  # API reference: what keys of hosts may have
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_SIGNED: Final = ("sha256", "sha384", "sha512")
_OIDS: Final[Mapping[type[Any], str]] = {
    dsa.DSAPrivateKey: "1.2.840.10040.4.1",
    ec.EllipticCurvePrivateKey: "1.2.840.10045.2.1",
    ed25519.Ed25519PrivateKey: "1.3.101.112",
    ed448.Ed448PrivateKey: "1.3.101.113",
}
_UNREADABLE: Final = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Facts:
    """A certificate as records tell it. Times in seconds since 1970; digests as "AA:BB:..."."""

    pem: str
    not_before: int
    not_after: int
    sha256: str
    sha1: str

    @property
    def values(self) -> dict[str, Any]:
        """The fields of a Certificate record that say what it is; not the certificate itself."""
        return {
            "not_before": self.not_before, "not_after": self.not_after,
            "fingerprint": self.sha256, "fingerprint_sha256": self.sha256, "fingerprint_sha1": self.sha1,
        }  # fmt: skip


def facts(certificate: x509.Certificate) -> Facts:
    sha1 = certificate.fingerprint(hashes.SHA1())  # noqa: S303 - a name of it that clients ask for, no signature
    return Facts(
        pem=_pem(certificate).decode("ascii"),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        sha1=sha1.hex(":").upper(),
    )


def certificate(text: str, corrupt: Exception) -> Facts:
    """One certificate, whenever it is valid. Raises `corrupt`."""
    found = _only(text)
    if found is None:
        raise corrupt
    return facts(found)


def trusted(text: str, corrupt: Exception, now: int) -> Facts:
    """One certificate that hosts shall trust. Raises `corrupt`; TRUSTED_CERTIFICATE_NOT_VALID_YET, .._EXPIRED."""
    found = certificate(text, corrupt)
    _check_time(found, now, E.TRUSTED_CERTIFICATE_NOT_VALID_YET, E.TRUSTED_CERTIFICATE_EXPIRED)
    return found


def revocation_list(text: str, name: str) -> str:
    """A revocation list in our spelling. CRL_CORRUPT."""
    try:
        return x509.load_pem_x509_crl(text.encode()).public_bytes(serialization.Encoding.PEM).decode("ascii")
    except _UNREADABLE:
        raise E.CRL_CORRUPT(name) from None


def server_pair(certificate: str, key: str, chain: str, now: int) -> tuple[bytes, bytes]:
    """A certificate with what signed it, and its key, as files have them.

    SERVER_CERTIFICATE_KEY_INVALID, .._KEY_ALGORITHM_NOT_SUPPORTED, .._KEY_RSA_LENGTH_NOT_SUPPORTED, .._INVALID,
    .._KEY_MISMATCH, .._NOT_VALID_YET, .._EXPIRED, .._SIGNATURE_NOT_SUPPORTED, .._CHAIN_INVALID, in this order.
    """
    private = _key(key)
    own = _only(certificate)
    if own is None:
        raise E.SERVER_CERTIFICATE_INVALID()
    if _spki(own) != private.public_key().public_bytes(*_SPKI):
        raise E.SERVER_CERTIFICATE_KEY_MISMATCH()
    _check_time(facts(own), now, E.SERVER_CERTIFICATE_NOT_VALID_YET, E.SERVER_CERTIFICATE_EXPIRED)
    digest = own.signature_hash_algorithm
    if digest is None or digest.name not in _SIGNED:
        raise E.SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED()
    issuers = _chain(own, chain) if chain.strip() else []
    encoded = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b"".join(map(_pem, (own, *issuers))), encoded


_SPKI: Final = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes:
    """The public key; b"" for one of a kind that is not known."""
    try:
        return certificate.public_key().public_bytes(*_SPKI)
    except _UNREADABLE:
        return b""


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _only(text: str) -> x509.Certificate | None:
    """The one certificate in a text whose parts that matter can be read; None for anything else."""
    data = text.encode("utf-8", "replace")
    if data.count(_BEGIN) != 1:
        return None
    try:
        found = x509.load_pem_x509_certificate(data)
        facts(found)
        _ = found.signature_hash_algorithm, found.version
    except _UNREADABLE:
        return None
    return found


def _key(text: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(text.encode("utf-8", "replace"), password=None)
    except _UNREADABLE:
        raise E.SERVER_CERTIFICATE_KEY_INVALID() from None
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size not in _RSA_BITS:
            raise E.SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED(str(key.key_size))
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    oid = next((oid for kind, oid in _OIDS.items() if isinstance(key, kind)), "")
    raise E.SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED(oid)


def _check_time(found: Facts, now: int, early: ErrorCode, late: ErrorCode) -> None:
    if now < found.not_before:
        raise early(format_datetime(now), format_datetime(found.not_before))
    if now > found.not_after:
        raise late(format_datetime(now), format_datetime(found.not_after))


def _chain(own: x509.Certificate, text: str) -> list[x509.Certificate]:
    """What signed a certificate, what signed that, and so on. SERVER_CERTIFICATE_CHAIN_INVALID."""
    try:
        issuers = x509.load_pem_x509_certificates(text.encode("utf-8", "replace"))
        for issued, issuer in zip((own, *issuers), issuers, strict=False):
            issued.verify_directly_issued_by(issuer)
    except (*_UNREADABLE, InvalidSignature):
        raise E.SERVER_CERTIFICATE_CHAIN_INVALID() from None
    return issuers
