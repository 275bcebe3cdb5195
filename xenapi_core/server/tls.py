"""The server's certificate and TLS settings: the certificate is made at the first start and kept.

Rule 1: a certificate and a key that exist are never overwritten, whoever made them.
        One that a client installed is in a file of its own, which counts while it is there, and is replaced as a whole.
Rule 2: the key file is never readable for others, not even for a moment: it is created with mode 0600 and then renamed.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import secrets
import socket
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xenapi_core.api.pem import Facts, facts
from xenapi_core.atomic_file import replace_file
from xenapi_core.clock import Clock

CERTIFICATE_FILE = "server.pem"
KEY_FILE = "server.key"
INSTALLED_FILE = "installed.pem"  # certificate, what signed it, and key
YEARS = 10
_TOO_WEAK = frozenset({"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"})  # keys and signatures


class CertificateError(Exception):
    """A certificate or key cannot be used: one sentence for the user, with the file's name."""


def ensure_certificate(directory: str | Path, names: Iterable[str], clock: Clock) -> tuple[Path, Path]:
    """Paths of the certificate and the key in `directory`; a self-signed pair is made if there is none.

    `names` are host names and IP addresses the certificate is good for, beside localhost, the loopback addresses and
    this machine's name. Raises CertificateError.
    """
    directory = Path(directory)
    certificate, key = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if certificate.exists():
        if not key.exists():
            raise CertificateError(f"{certificate} is there, but its key {key} is missing.")
        return certificate, key
    made, private = make_pair(names, clock)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The certificate goes last: its presence says that the pair is complete.
        replace_file(key, private, 0o600)
        replace_file(certificate, made, 0o644)
    except OSError as error:
        raise CertificateError(f"Cannot write a certificate to {directory}: {error.strerror}.") from None
    return certificate, key


def make_pair(names: Iterable[str], clock: Clock) -> tuple[bytes, bytes]:
    """A new self-signed certificate for `names` (see ensure_certificate) and its key, both as PEM."""
    hostname = socket.gethostname()
    wanted = dict.fromkeys(("localhost", "127.0.0.1", "::1", hostname, *names))
    alternatives = [name for name in map(_alternative, wanted) if name is not None]
    return _pair(hostname or "localhost", alternatives, clock)


def make_member_pair(uuid: str, clock: Clock) -> tuple[bytes, bytes]:
    """A new self-signed certificate that says the uuid of a host and nothing else, and its key, both as PEM."""
    return _pair(uuid, [], clock)


def _pair(subject: str, alternatives: list[x509.GeneralName], clock: Clock) -> tuple[bytes, bytes]:
    private = ec.generate_private_key(ec.SECP256R1())
    encoded = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = _self_signed(private, subject, alternatives, clock.now())
    return made.public_bytes(serialization.Encoding.PEM), encoded


@contextlib.contextmanager
def replacing(path: Path, content: bytes) -> Iterator[Path]:
    """A private file with that content, for a look whether it is good; it takes the place of `path` at the end of the
    block, unless the block raises. Raises OSError."""
    trial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        replace_file(trial, content, 0o600)
        yield trial
        trial.replace(path)
    finally:
        trial.unlink(missing_ok=True)


def _self_signed(
    key: ec.EllipticCurvePrivateKey, name: str, alternatives: list[x509.GeneralName], now: int
) -> x509.Certificate:  # fmt: skip
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - datetime.timedelta(days=1))  # clients whose clock is a little behind
        .not_valid_after(start + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName | None:
    """A subject alternative name; None for what cannot be one (an empty or non-ASCII host name)."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name) if name and name.isascii() and " " not in name else None


def server_context(certificate: str | Path, key: str | Path, client_ca: str | Path | None = None) -> ssl.SSLContext:
    """Settings for a listener: TLS 1.2 or later, that certificate; with `client_ca`, client certificates are asked for
    and must be good if sent. Raises CertificateError.
    """
    _load(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # Without a password callback OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except FileNotFoundError:
        raise CertificateError(f"There is no key file {key}.") from None
    except PermissionError:
        raise CertificateError(f"The key file {key} cannot be read: permission denied.") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"The key {key} does not belong to the certificate {certificate}.") from None
        if error.reason in _TOO_WEAK:
            raise CertificateError(f"The certificate {certificate} is too weak: OpenSSL takes it no more.") from None
        raise CertificateError(f"{key} holds no usable unencrypted private key in PEM form.") from None
    except OSError as error:
        raise CertificateError(f"The key file {key} cannot be read: {error.strerror}.") from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except FileNotFoundError:
            raise CertificateError(f"There is no file {client_ca}.") from None
        except (OSError, ssl.SSLError):
            raise CertificateError(f"{client_ca} holds no usable certificate authorities in PEM form.") from None
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _load(path: str | Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes())
    except OSError as error:
        _unreadable(path, error)
    except ValueError:
        raise CertificateError(f"{path} holds no certificate in PEM form.") from None


def _unreadable(path: str | Path, error: OSError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise CertificateError(f"There is no certificate file {path}.") from None
    raise CertificateError(f"The certificate file {path} cannot be read: {error.strerror}.") from None


def subject_of(certificate: str | Path) -> str:
    """The subject of a certificate as RFC 4514 text: what a users file knows it by. Raises CertificateError."""
    subject = _load(certificate).subject.rfc4514_string()
    if not subject:
        raise CertificateError(f"The certificate {certificate} has no subject.")
    return subject


def shown(certificate: str | Path) -> Facts:
    """What clients see of the certificate in a file (the first one in it). Raises CertificateError."""
    return facts(_load(certificate))


def is_self_signed(certificate: str | Path) -> bool:
    """Whether the certificate in a file names itself as its issuer. Raises CertificateError."""
    loaded = _load(certificate)
    return loaded.issuer == loaded.subject


def fingerprint(certificate: str | Path) -> str:
    """SHA-256 over the certificate, as clients show it: "AA:BB:..." (32 octets). Raises CertificateError."""
    return _load(certificate).fingerprint(hashes.SHA256()).hex(":").upper()
