"""What each host of a pool verifies the other members with: the certificates on its disk, and the bundle made of them.

Rule 1: each host has a certificate of its own for other members, apart from the one that clients see: a Certificate of
        type "host_internal". It names the host's uuid and nothing else: a peer that shows a certificate of the bundle
        is a member, whatever its name and address.
Rule 2: the files on a host's disk (name -> PEM; that of a host is "<uuid>.pem") are kept with that record, and so is
        the bundle: the files as they were when it was last generated. Only the bundle counts.
Rule 3: hosts whose server joined keep both at their own server. Here is the record of their certificate alone.
Rule 4: a host that comes up gets what the coordinator has and it has not, as in xapi.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xenapi_core.store.api import Store, Txn, Version

INTERNAL = "host_internal"


def file_of(uuid: str) -> str:
    """The file of a host's certificate."""
    return f"{uuid}.pem"


def coming_file_of(uuid: str) -> str:
    """The file of the certificate that will take its place."""
    return f"{uuid}.new.pem"


def internal_certificates(store: Store) -> Iterator[Version]:
    return (record for record in list(store.all("Certificate").values()) if record["type"] == INTERNAL)


def internal_certificate(store: Store, host: str) -> Version | None:
    """The certificate that a host shows to other members; None if it is not known."""
    return next((record for record in internal_certificates(store) if record["host"] == host), None)


def of_coordinator(store: Store) -> Version | None:
    """The certificate of the coordinator, whose record says what this server trusts."""
    pools = store.all("pool").values()
    return next((record for pool in pools if (record := internal_certificate(store, pool["master"]))), None)


def trusted_members(store: Store) -> dict[str, str]:
    """The bundle of the coordinator: file -> PEM."""
    own = of_coordinator(store)
    return dict(own["member_bundle"]) if own is not None else {}


def write_files(txn: Txn, certificate: str, files: Mapping[str, str], erase: bool) -> None:
    """On the disk of the host with that certificate. `erase`: what was there goes."""
    before = {} if erase else txn.get(certificate, "Certificate")["member_files"]
    txn.update(certificate, member_files={**before, **files})


def generate_bundle(txn: Txn, certificate: str) -> None:
    """The host with that certificate trusts what is on its disk from now on."""
    txn.update(certificate, member_bundle=dict(txn.get(certificate, "Certificate")["member_files"]))


def catch_up(store: Store, txn: Txn, host: str) -> None:
    """Give a host that comes up the certificate files of the coordinator that it lacks, and a new bundle (rule 4)."""
    own, primary = internal_certificate(store, host), of_coordinator(store)
    if own is None or primary is None or store.get(host)["joined_from"]:
        return
    missing = {name: pem for name, pem in primary["member_files"].items() if own["member_files"].get(name) != pem}
    if missing:
        write_files(txn, own.ref, missing, erase=False)
        generate_bundle(txn, own.ref)
