"""Reads the subject and the names of a client certificate that the TLS layer has verified."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """`subject`: RFC 4514 text, "" for none. `names`: the host names it is good for, lower case."""

    subject: str
    names: frozenset[str]


def read(certificate: bytes) -> ClientCertificate | None:
    """The facts of a certificate (DER); None for one that cannot be read.

    Where there are alternative names, the common name is none (RFC 6125, 6.4.4).
    """
    try:
        shown = x509.load_der_x509_certificate(certificate)
        subject = shown.subject.rfc4514_string()
        common = [str(name.value) for name in shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        try:
            alternatives = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = alternatives.get_values_for_type(x509.DNSName)
        except x509.ExtensionNotFound:
            names = common
    except ValueError:
        return None
    return ClientCertificate(subject, frozenset(name.lower() for name in names if name))
