"""The certificates with which hosts of a pool authenticate to each other: their records, and their keys.

Rule 1: hosts that this process runs have their keys here (`Identities`). Of a host whose server joined, the record is
        made from the certificate that its server gave when it joined (engine/pool_trust.py, rules 2 and 3).
Rule 2: records are compared with the keys at start, and when hosts come and go. A host whose certificate is another
        one than its record says lost its key: all hosts here learn the new one at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from xenapi_core.api import pem
from xenapi_core.api.pem import Facts
from xenapi_core.engine.pool_trust import (
    INTERNAL,
    coming_file_of,
    file_of,
    generate_bundle,
    internal_certificates,
    trusted_members,
    write_files,
)
from xenapi_core.errors import E
from xenapi_core.store.api import Txn, Version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from xenapi_core.api.registry import Services

SERVER_NAME: Final = "xapi:pool"  # the server name by which members ask for it (TLS, SNI); xapi has the same


class Identities(Protocol):
    """Certificates and keys of the hosts here, by uuid (server/host_identities.py)."""

    def facts(self, uuid: str) -> Facts:
        """The certificate that a host shows to members; made if there is none."""

    def prepared(self, uuid: str) -> AbstractContextManager[Facts]:
        """Another one, which nobody sees inside the block. At its end, unless the block raises, it is the one that
        everybody sees who connects from then on, also after a restart. OPERATION_NOT_ALLOWED if it cannot be kept."""

    def is_preparing(self, uuid: str) -> bool:
        """Whether somebody is in such a block."""

    def keep_only(self, uuids: Iterable[str]) -> None:
        """Forget those of other hosts."""


def record_members(services: Services) -> None:
    """Make the records those of the keys (rule 2). Without keys there are no records."""
    store, identities = services.store, services.surroundings.identities
    if identities is None:
        return
    hosts = store.all("host")
    shown = {ref: identities.facts(host["uuid"]) for ref, host in hosts.items() if not host["joined_from"]}
    identities.keep_only(hosts[ref]["uuid"] for ref in shown)
    recorded = {record["host"]: record for record in internal_certificates(store)}
    told = {file_of(hosts[ref]["uuid"]): found.pem for ref, found in shown.items()}
    new = [ref for ref, found in shown.items() if ref not in recorded or recorded[ref]["pem"] != found.pem]
    txn = store.begin()
    everything = {**trusted_members(store), **told}
    for ref, found in shown.items():
        before = recorded.get(ref)
        if ref in new:
            certificate = replace_record(services, txn, ref, found, before)
        elif new and before is not None:
            certificate = before.ref
        else:
            continue
        write_files(txn, certificate, told if before is not None else everything, erase=False)
        generate_bundle(txn, certificate)
    for ref, host in hosts.items():
        text = everything.get(file_of(host["uuid"]), "")
        if ref not in shown and ref not in recorded and text:
            replace_record(services, txn, ref, pem.certificate(text, E.CERTIFICATE_CORRUPT(host["uuid"])), None)
    store.commit(txn)


def replace_record(services: Services, txn: Txn, host: str, found: Facts, before: Version | None) -> str:
    """The reference of a record of that certificate, with the files of the record `before`, which goes."""
    values: dict[str, Any] = {"uuid": services.ids.uuid(), "type": INTERNAL, "host": host, "pem": found.pem}
    if before is not None:
        values |= {name: txn.get(before.ref)[name] for name in ("member_files", "member_bundle")}
        txn.delete(before.ref)
    return txn.create("Certificate", services.ids.ref(), {**values, **found.values})


def forget_member(services: Services, uuid: str) -> None:
    """Nobody here trusts the host with that uuid any more; its record is gone with it."""
    store, names = services.store, {file_of(uuid), coming_file_of(uuid)}
    txn = store.begin()
    for record in internal_certificates(store):
        kept = {
            field: {name: text for name, text in record[field].items() if name not in names}
            for field in ("member_files", "member_bundle")
        }
        if any(kept[field] != record[field] for field in kept):
            txn.update(record.ref, **kept)
    store.commit(txn)
    record_members(services)


def trust_own_alone(services: Services) -> None:
    """The hosts here trust each other and nobody else: their server has left the pool."""
    store, hosts = services.store, services.store.all("host").values()
    own = {file_of(host["uuid"]) for host in hosts if not host["joined_from"]}
    txn = store.begin()
    for record in internal_certificates(store):
        files = {name: text for name, text in record["member_files"].items() if name in own}
        write_files(txn, record.ref, files, erase=True)
        generate_bundle(txn, record.ref)
    store.commit(txn)
