"""pool: two pools exchange the certificates they trust, when a host joins or on request.

Rule 1: what comes is judged as if it were installed by hand, and all of it is taken or nothing.
Rule 2: what is here already stays as it is: an authority under the same name must be the same one, a certificate that
        is known is trusted for its own purposes and the new ones.
Rule 3: an authority that is trusted for some purposes alone is not given as one that is trusted for everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xenapi_core.api import pem
from xenapi_core.api.certificates import installed
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.handlers.trust import is_name
from xenapi_core.api.membership import Remote, place_of
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation
from xenapi_core.store.api import Txn, Version

Purposes = Mapping[str, Iterable[str]]  # purpose ("" for none) -> PEM of what is trusted for it


@handles("pool.exchange_ca_certificates_on_join")
def exchange_authorities(call: CallContext, imports: Mapping[str, str], exports: tuple[str, ...]) -> dict[str, str]:
    """Install the authorities in `imports`, by name, and return those in `exports`.
    POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT, and what pool.install_ca_certificate raises; NOT_TRUSTED_CERTIFICATE for
    what is no authority, or has purposes (rule 3)."""
    check_pool_operation(call.store, the_pool(call), "exchange_ca_certificates_on_join")
    given = [_exported(call, ref, "ca") for ref in exports]
    for record in given:
        if record["purpose"]:
            raise E.NOT_TRUSTED_CERTIFICATE(record.ref)
    take_authorities(call, imports)
    return {record["name"]: record["pem"] for record in given}


@handles("pool.exchange_trusted_certificates_on_join")
def exchange_trusted(
    call: CallContext, ref: str, ca: bool, imports: Purposes, exports: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Take certificates by purpose, and give those that are asked for. What pool.install_trusted_certificate raises,
    but for what is known already; NOT_TRUSTED_CERTIFICATE for one of another type."""
    call.get(ref, "pool")
    given = [_exported(call, export, _kind(ca)) for export in exports]
    take_trusted(call, ca, imports)
    return _by_purpose(given)


@handles("pool.exchange_crls_on_join")
def exchange_crls(
    call: CallContext, ref: str, imports: Mapping[str, str], exports: tuple[str, ...]
) -> dict[str, str]:  # fmt: skip
    """Take revocation lists by name, and give those that are asked for. CRL_NAME_INVALID, CRL_CORRUPT,
    CRL_ALREADY_EXISTS for another list of that name, CRL_DOES_NOT_EXIST."""
    pool = call.get(ref, "pool")
    check_pool_operation(call.store, pool, "exchange_crls_on_join")
    for name in exports:
        if name not in pool["crls"]:
            raise E.CRL_DOES_NOT_EXIST(name)
    take_crls(call, imports)
    return {name: pool["crls"][name] for name in exports}


@handles("pool.sync_trusted_certificates_from")
async def sync_from(
    call: CallContext, ref: str, address: str, session: str, certificate: str, ca: bool
) -> tuple[str, ...]:  # fmt: skip
    """Trust what another pool trusts, too; the result is what is new. `session` is one there; its server must show
    `certificate` ("": prove itself as this pool asks of others).

    TRUSTED_CERTIFICATE_INVALID, CANNOT_CONTACT_HOST, SSL_VERIFY_ERROR, what the other pool answers, and what
    pool.install_trusted_certificate raises. NOT_IMPLEMENTED for a process that reaches no other server.
    """
    call.get(ref, "pool")
    remote = _reach(call, address, certificate)
    try:
        there = await _read_trusted(remote, session)
        received = await _fetched(remote, session, there, ca, {}, there.refs(ca))
    except OSError:
        raise E.CANNOT_CONTACT_HOST(place_of(address)[1]) from None
    return take_trusted(call, ca, received)


def _reach(call: CallContext, address: str, certificate: str) -> Remote:
    membership = call.services.sessions.membership
    if membership.connect is None or membership.connect_to is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    try:
        place_of(address)
    except ValueError:
        raise E.CANNOT_CONTACT_HOST("") from None
    if not certificate:
        return membership.connect(address)
    return membership.connect_to(address, pem.trusted(certificate, E.TRUSTED_CERTIFICATE_INVALID(), call.now).pem)


@dataclass(frozen=True)
class Trusting:
    """What another pool says that it trusts: its Certificate records, as XML-RPC gives them."""

    pool: str
    records: Mapping[str, Mapping[str, Any]]

    def refs(self, ca: bool, limited: bool | None = None) -> list[str]:
        """`limited`: those with purposes alone, or those without."""
        kind = _kind(ca)
        found = (ref for ref, record in self.records.items() if record["type"] == kind)
        return [ref for ref in found if limited is None or bool(self.records[ref]["purpose"]) == limited]


async def _read_trusted(remote: Remote, session: str) -> Trusting:
    """ConnectionError if what answers there is no pool."""
    records = await remote.call("Certificate.get_all_records", session)
    pools = await remote.call("pool.get_all", session)
    try:
        there = Trusting(str(pools[0]), {str(ref): record for ref, record in records.items()})
        there.refs(True, limited=True)
        return there
    except (AttributeError, TypeError, LookupError):
        raise ConnectionError("no pool answers there") from None


async def _fetched(
    remote: Remote, session: str, there: Trusting, ca: bool, imports: Purposes, refs: list[str]
) -> Purposes:  # fmt: skip
    """The certificates that the other pool returns in exchange for `imports`. ConnectionError."""
    message = "pool.exchange_trusted_certificates_on_join"
    found = await remote.call(message, session, there.pool, ca, imports, refs)
    try:
        return {str(purpose): [str(text) for text in texts] for purpose, texts in found.items()}
    except (AttributeError, TypeError):
        raise ConnectionError("no pool answers there") from None


async def _fetched_by_name(remote: Remote, message: str, *args: Any) -> dict[str, str]:
    """What the other pool returns for `message`, as PEM by name. ConnectionError."""
    found = await remote.call(message, *args)
    try:
        return {str(name): str(text) for name, text in found.items()}
    except AttributeError:
        raise ConnectionError("no pool answers there") from None


async def merge_with(call: CallContext, remote: Remote, session: str) -> None:
    """What a server that joins trusts goes to the pool there, and what is trusted there comes here (API reference,
    pool.join). Raises what the exchanges raise, on either side; OSError."""
    there = await _read_trusted(remote, session)
    own = {record["name"]: record["pem"] for record in installed(call.store) if not record["purpose"]}
    general = there.refs(True, limited=False)
    if own or general:
        message = "pool.exchange_ca_certificates_on_join"
        take_authorities(call, await _fetched_by_name(remote, message, session, own, general))
    for ca in (True, False):
        here = _by_purpose(record for record in installed(call.store, _kind(ca)) if record["purpose"])
        refs = there.refs(ca, limited=True)
        if here or refs:
            take_trusted(call, ca, await _fetched(remote, session, there, ca, here, refs))
    lists, names = dict(the_pool(call)["crls"]), await remote.call("pool.crl_list", session)
    if lists or names:
        message = "pool.exchange_crls_on_join"
        take_crls(call, await _fetched_by_name(remote, message, session, there.pool, lists, names))


def _kind(ca: bool) -> str:
    return "ca" if ca else "pinned"


def _exported(call: CallContext, ref: str, kind: str) -> Version:
    record = call.get(ref, "Certificate")
    if record["type"] != kind:
        raise E.NOT_TRUSTED_CERTIFICATE(ref)
    return record


def _by_purpose(records: Iterable[Version]) -> dict[str, tuple[str, ...]]:
    """PEM of the records by purpose (Purposes); what is trusted for several purposes is listed under each of them."""
    found: dict[str, list[str]] = {}
    for record in records:
        for purpose in record["purpose"] or ("",):
            found.setdefault(purpose, []).append(record["pem"])
    return {purpose: tuple(texts) for purpose, texts in found.items()}


def take_authorities(call: CallContext, named: Mapping[str, str]) -> None:
    """Trust them for everything, by name (rules 1 and 2)."""
    present = {record["name"]: record for record in installed(call.store)}
    new: list[tuple[str, pem.Facts]] = []
    for name, text in named.items():
        if not is_name(name):
            raise E.CERTIFICATE_NAME_INVALID(name)
        found = pem.trusted(text, E.CERTIFICATE_CORRUPT(name), call.now)
        if name not in present:
            new.append((name, found))
        elif present[name]["fingerprint_sha256"] != found.sha256:
            raise E.POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT()

    def write(txn: Txn) -> None:
        for name, found in new:
            _record(call, txn, found, type="ca", name=name)

    call.commit(write)


def take_trusted(call: CallContext, ca: bool, imports: Purposes) -> tuple[str, ...]:
    """Trust them for these purposes (rules 1 and 2); the references of new ones."""
    kind, ids = _kind(ca), call.services.ids
    present = {record["fingerprint_sha256"]: record for record in installed(call.store, kind)}
    wanted: dict[str, tuple[pem.Facts, list[str]]] = {}
    for purpose, texts in imports.items():
        for text in texts:
            found = pem.trusted(text, E.TRUSTED_CERTIFICATE_INVALID(), call.now)
            if not ca and not purpose:
                raise E.CERTIFICATE_LACKS_PURPOSE()
            wanted.setdefault(found.sha256, (found, []))[1].extend([purpose] if purpose else [])
    made: list[str] = []

    def write(txn: Txn) -> None:
        for digest, (found, purposes) in wanted.items():
            known = present.get(digest)
            if known is None:
                uuid = ids.uuid()
                values: dict[str, Any] = {"type": kind, "name": f"{uuid}.pem", "purpose": tuple(purposes)}
                made.append(_record(call, txn, found, uuid=uuid, **values))
            elif known["purpose"]:  # without one it is trusted for everything
                txn.update(known.ref, purpose=tuple(dict.fromkeys((*known["purpose"], *purposes))))

    call.commit(write)
    return tuple(made)


def take_crls(call: CallContext, named: Mapping[str, str]) -> None:
    """Heed them, by name (rules 1 and 2)."""
    pool = the_pool(call)
    found = dict(pool["crls"])
    for name, text in named.items():
        if not is_name(name):
            raise E.CRL_NAME_INVALID(name)
        if found.setdefault(name, read := pem.revocation_list(text, name)) != read:
            raise E.CRL_ALREADY_EXISTS(name)
    call.update(pool.ref, crls=found)


def _record(call: CallContext, txn: Txn, found: pem.Facts, **values: Any) -> str:
    ids = call.services.ids
    given = {"uuid": ids.uuid(), **found.values, "pem": found.pem, **values}
    return txn.create("Certificate", ids.ref(), given)
