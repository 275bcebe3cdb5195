"""Certificate records, and whether other servers have to prove who they are.

Rule 1: one process shows clients one certificate for all hosts of a pool, so each host has a record of the same one.
        Records follow the certificate: they are compared at start, when it is replaced and when a host joins, and are
        made anew if it is another. What hosts show to each other is another matter (member_certificates.py).
Rule 2: clients never see a certificate in a record, as in xapi. Those that are trusted are kept in an internal field:
        the record is the installed certificate, and one cannot be there without the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from xenapi_core.api.pem import Facts
from xenapi_core.store.api import Store, Version

if TYPE_CHECKING:
    from xenapi_core.api.registry import Services


class ShownCertificate(Protocol):
    """The certificate that TLS listeners show (server/tls_identity.py)."""

    @property
    def facts(self) -> Facts: ...

    def install(self, certificate: bytes, key: bytes) -> None:
        """Show another one to who connects from now on, and after a restart. Both as PEM, the certificate with what
        signed it. SERVER_CERTIFICATE_INVALID if no listener can use it; OPERATION_NOT_ALLOWED if it is not ours to
        choose, or cannot be kept."""

    def renew(self) -> None:
        """Show a new self-signed one. OPERATION_NOT_ALLOWED."""


def record_certificates(services: Services) -> None:
    """Make the Certificate records of hosts those of the certificate that is shown; without one there are none."""
    store, shown = services.store, services.surroundings.certificate
    txn = store.begin()
    missing = dict.fromkeys(store.all("host")) if shown is not None else {}
    for record in list(store.all("Certificate").values()):
        if record["type"] != "host":
            continue
        if shown is not None and record["host"] in missing and record["fingerprint_sha256"] == shown.facts.sha256:
            del missing[record["host"]]
        else:
            txn.delete(record.ref)
    for host in missing:
        assert shown is not None
        values = {"uuid": services.ids.uuid(), "type": "host", "host": host, **shown.facts.values}
        txn.create("Certificate", services.ids.ref(), values)
    store.commit(txn)


def installed(store: Store, kind: str = "ca") -> Iterator[Version]:
    """Certificates of that type: "ca", "pinned"."""
    return (record for record in list(store.all("Certificate").values()) if record["type"] == kind)


def verifies(store: Store) -> bool:
    """Whether this server asks other servers for proof: its pool does, and its host is not exempt in an emergency."""
    return any(
        pool["tls_verification_enabled"] and store.get(pool["master"])["tls_verification_enabled"]
        for pool in store.all("pool").values()
    )
