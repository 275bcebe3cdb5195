"""pool, host: the certificates that members of a pool verify each other with: renewed and distributed.

Theory of operation
1. The coordinator distributes certificates; each host writes them to its own disk, and trusts them once it makes its
   bundle (engine/pool_trust.py). For hosts of this process that happens here; servers of members that joined get the
   steps by host.cert_distrib_atom.
2. A new certificate is trusted by all before it is shown by one, so no connection fails in between. A member's server
   that makes a new one distributes it through the coordinator before it shows it.
3. Installed authorities are records that all hosts here share (handlers/trust.py, rule 1): a step that writes or
   collects them on one host concerns those of all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager

from xenapi_core.api import pem
from xenapi_core.api.certificates import installed
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.handlers.trust import is_name
from xenapi_core.api.member_calls import ask_member
from xenapi_core.api.member_certificates import Identities, replace_record
from xenapi_core.api.membership import Remote
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.pool_trust import (
    coming_file_of,
    file_of,
    generate_bundle,
    internal_certificate,
    write_files,
)
from xenapi_core.errors import ApiError, E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation
from xenapi_core.model.power import other_operation
from xenapi_core.store.api import Txn, Version
from xenapi_core.wire import trust_steps
from xenapi_core.wire.trust_steps import OF_APPLIANCES, OF_MEMBERS, Collect, GenBundle, Step, Write

log = logging.getLogger(__name__)

Files = Mapping[str, str]  # name -> PEM
HandRound = Callable[[CallContext, Version, Files], Awaitable[None]]


def _identities(call: CallContext) -> Identities:
    """OPERATION_NOT_ALLOWED for a process whose hosts have no certificates for each other."""
    identities = call.services.surroundings.identities
    if identities is None:
        raise E.OPERATION_NOT_ALLOWED("Hosts here have no certificates for each other.")
    return identities


def _own(call: CallContext, host: str) -> Version:
    """The certificate of a host, with what is on its disk. OPERATION_NOT_ALLOWED."""
    _identities(call)
    record = internal_certificate(call.store, host)
    if record is None:
        raise E.OPERATION_NOT_ALLOWED("No certificate of that host is known.")
    return record


# One host


@handles("host.cert_distrib_atom")
async def cert_distrib_atom(call: CallContext, host: str, command: str) -> str:
    """One step at one host, and what it gives (wire/trust_steps.py): its certificate or installed ones; nothing, once
    files are on its disk, or once it trusts them.

    INVALID_VALUE for what is no step; CERTIFICATE_NAME_INVALID, CERTIFICATE_CORRUPT, CERTIFICATE_DOES_NOT_EXIST;
    HOST_OFFLINE; CANNOT_CONTACT_HOST [host] and what else it answers for a member that joined; OPERATION_NOT_ALLOWED.
    """
    try:
        step = trust_steps.decode(command)
    except ValueError as error:
        raise E.INVALID_VALUE("command", str(error)) from None
    return await _run_at(call, check_live(call.store, host), step)


async def _run_at(call: CallContext, host: Version, step: Step) -> str:
    """What a step gives at that host (theory 1). See cert_distrib_atom."""
    if not host["joined_from"]:
        return trust_steps.encode_result(step, _run_here(call, host, step))
    membership = call.services.sessions.membership
    return str(await ask_member(membership, host, "host.cert_distrib_atom", trust_steps.encode(step)))


async def _trust(call: CallContext, host: Version, files: Files, erase: bool = False) -> None:
    """That host trusts these certificates of members, too; `erase`: and no others. See cert_distrib_atom."""
    await _run_at(call, host, Write(OF_MEMBERS, files, erase))
    await _run_at(call, host, GenBundle())


def _run_here(call: CallContext, host: Version, step: Step) -> Files:
    own = _own(call, host.ref)
    match step:
        case Collect(kind, names):
            if kind == OF_MEMBERS:
                return {file_of(name): own["pem"] for name in names}
            return {name: _authority(call, name) for name in names}
        case Write(kind, files, erase):
            checked = {name: _checked(name, text) for name, text in files.items()}
            if kind == OF_MEMBERS:
                pems = {name: found.pem for name, found in checked.items()}
                call.commit(lambda txn: write_files(txn, own.ref, pems, erase))
            else:
                _install(call, checked, erase)
        case GenBundle():
            call.commit(lambda txn: generate_bundle(txn, own.ref))
    return {}


def _checked(name: str, text: str) -> pem.Facts:
    """CERTIFICATE_NAME_INVALID, CERTIFICATE_CORRUPT."""
    if not is_name(name):
        raise E.CERTIFICATE_NAME_INVALID(name)
    return pem.certificate(text, E.CERTIFICATE_CORRUPT(name))


def _authority(call: CallContext, name: str) -> str:
    """CERTIFICATE_DOES_NOT_EXIST."""
    for record in installed(call.store):
        if record["name"] == name:
            return str(record["pem"])
    raise E.CERTIFICATE_DOES_NOT_EXIST(name)


def _general(call: CallContext) -> dict[str, Version]:
    """Authorities that are trusted for everything, by name."""
    return {record["name"]: record for record in installed(call.store) if not record["purpose"]}


def _install(call: CallContext, files: Mapping[str, pem.Facts], erase: bool) -> None:
    """Trust these authorities for everything, in place of others of their names; `erase`: and no others."""
    before = _general(call)

    def write(txn: Txn) -> None:
        for name, record in before.items():
            if record["pem"] != files[name].pem if name in files else erase:
                txn.delete(record.ref)
        for name, found in files.items():
            if name not in before or before[name]["pem"] != found.pem:
                ids = call.services.ids
                values = {"uuid": ids.uuid(), "type": "ca", "name": name, "pem": found.pem, **found.values}
                txn.create("Certificate", ids.ref(), values)

    call.commit(write)


# All hosts


@handles("host.copy_primary_host_certs")
async def copy_primary_host_certs(call: CallContext, host: str) -> None:
    """The host trusts the members and the authorities for everything that the coordinator trusts, and no others.

    OTHER_OPERATION_IN_PROGRESS, and what cert_distrib_atom raises.
    """
    check_pool_operation(call.store, the_pool(call), "copy_primary_host_certs")
    record = check_live(call.store, host)
    authorities = {name: version["pem"] for name, version in _general(call).items()}
    await _run_at(call, record, Write(OF_APPLIANCES, authorities, erase=True))
    await _trust(call, record, _files_of_coordinator(call), erase=True)


def _files_of_coordinator(call: CallContext) -> Files:
    """OPERATION_NOT_ALLOWED."""
    return dict(_own(call, the_pool(call)["master"])["member_files"])


def _hosts(call: CallContext) -> list[Version]:
    """The coordinator first."""
    master = the_pool(call)["master"]
    return sorted(call.store.all("host").values(), key=lambda host: host.ref != master)


@handles("host.refresh_server_certificate")
async def refresh_server_certificate(call: CallContext, host: str) -> None:
    """The host shows another certificate to the other members from now on, with a new key; all of them trust it.

    OTHER_OPERATION_IN_PROGRESS; CANNOT_CONTACT_HOST [host] for a host of the pool that is down or does not answer;
    OPERATION_NOT_ALLOWED.
    """
    record, membership = call.get(host, "host"), call.services.sessions.membership
    if membership.coordinator:
        await _renew(call, record, _through_coordinator)
        return
    check_pool_operation(call.store, the_pool(call), "cert_refresh")
    for each in _hosts(call):
        if not is_live(call.store, each):
            raise E.CANNOT_CONTACT_HOST(each.ref)
    if record["joined_from"]:
        await ask_member(membership, record, call.wire_name)
        given = await _run_at(call, record, Collect(OF_MEMBERS, (record["uuid"],)))
        _note(call, record, _checked(file_of(record["uuid"]), _content(given)))
    else:
        await _renew(call, record, _to_all)
    await _settle(call, record)


def _content(given: str) -> str:
    """The certificate in what a member gave; what is none of the kind is found out later."""
    try:
        return next(iter(trust_steps.decode_files(given).values()))
    except (ValueError, StopIteration):
        return ""


async def _renew(call: CallContext, host: Version, hand_round: HandRound) -> None:
    """Make a certificate, let all trust it, then show it (theory 2). OTHER_OPERATION_IN_PROGRESS;
    OPERATION_NOT_ALLOWED if it cannot be kept."""
    identities, uuid = _identities(call), host["uuid"]
    if identities.is_preparing(uuid):
        raise other_operation("pool", the_pool(call).ref, {"": "cert_refresh"})
    with identities.prepared(uuid) as made:
        await hand_round(call, host, {coming_file_of(uuid): made.pem})
    _note(call, host, made)


async def _to_all(call: CallContext, host: Version, files: Files) -> None:
    for each in _hosts(call):
        await _trust(call, each, files)


async def _through_coordinator(call: CallContext, host: Version, files: Files) -> None:
    """CANNOT_CONTACT_HOST [address]; what the coordinator answers."""
    membership = call.services.sessions.membership
    try:
        remote = membership.reach(membership.coordinator)
        session = await remote.call("session.slave_login", host["uuid"], membership.secret)
        hosts = await remote.call("host.get_all", session)
        for step in (Write(OF_MEMBERS, files), GenBundle()):
            for each in hosts:
                await remote.call("host.cert_distrib_atom", session, each, trust_steps.encode(step))
        await remote.call("session.logout", session)
    except (OSError, ValueError):
        raise E.CANNOT_CONTACT_HOST(membership.coordinator) from None


def _note(call: CallContext, host: Version, found: pem.Facts) -> None:
    """The record says which certificate the host shows now."""
    call.commit(
        lambda txn: replace_record(call.services, txn, host.ref, found, internal_certificate(call.store, host.ref))
    )


async def _settle(call: CallContext, host: Version) -> None:
    """Remove the replaced certificate from all hosts. A host that cannot be reached keeps trusting both."""
    own = _own(call, the_pool(call)["master"])
    kept = {name: text for name, text in own["member_files"].items() if name != coming_file_of(host["uuid"])}
    kept[file_of(host["uuid"])] = _own(call, host.ref)["pem"]
    for each in _hosts(call):
        try:
            await _trust(call, each, kept, erase=True)
        except ApiError as error:
            log.warning("host %s still trusts a certificate that was replaced: %s", each["uuid"], error.code)


# A host that joins


@handles("pool.exchange_certificates_on_join")
async def exchange_certificates_on_join(call: CallContext, uuid: str, certificate: str) -> dict[str, str]:
    """All hosts that answer trust the host that joins, from now on; and what the coordinator trusts, by file.

    INVALID_VALUE for what is no uuid; CERTIFICATE_CORRUPT; OPERATION_NOT_ALLOWED for a host of the pool, whose
    certificate nobody else may replace; OTHER_OPERATION_IN_PROGRESS.
    """
    check_pool_operation(call.store, the_pool(call), "exchange_certificates_on_join")
    if not uuid or not is_name(file_of(uuid)):
        raise E.INVALID_VALUE("uuid", uuid)
    if call.store.by_uuid("host", uuid) is not None:
        raise E.OPERATION_NOT_ALLOWED("That host is in the pool already.")
    files = {file_of(uuid): _checked(file_of(uuid), certificate).pem}
    first, *others = _hosts(call)
    await _trust(call, first, files)
    for each in others:
        try:
            await _trust(call, check_live(call.store, each.ref), files)
        except ApiError as error:
            log.warning("host %s does not know yet who joins: %s", each["uuid"], error.code)
    return dict(_files_of_coordinator(call))


@asynccontextmanager
async def exchanged_with(call: CallContext, remote: Remote, session: str) -> AsyncIterator[None]:
    """The pool there trusts this host, and this host its members, in the block and after it (API reference, pool.join).
    What the exchange raises; OSError. Nothing is exchanged by a process whose hosts have no certificates.

    If the block raises, this host forgets what it took. The pool there forgets this host when it refuses its records
    (server/joining.py). If they never arrive, it goes on trusting a certificate whose host has the pool secret too;
    so it does if another server that joined it has taken the certificate.
    """
    if call.services.surroundings.identities is None:
        yield
        return
    host = call.get(the_pool(call)["master"])
    own = _own(call, host.ref)
    given = await remote.call("pool.exchange_certificates_on_join", session, host["uuid"], own["pem"])
    try:
        files = {str(name): str(text) for name, text in given.items()}
    except AttributeError:
        raise ConnectionError("no pool answers there") from None
    try:
        await _trust(call, host, files)
        yield
    except BaseException:
        _distrust(call, host, files.keys() - own["member_files"].keys())
        raise


def _distrust(call: CallContext, host: Version, names: Set[str]) -> None:
    """A host here trusts the certificates in these files no more."""
    own = _own(call, host.ref)

    def write(txn: Txn) -> None:
        kept = {name: text for name, text in own["member_files"].items() if name not in names}
        write_files(txn, own.ref, kept, erase=True)
        generate_bundle(txn, own.ref)

    call.commit(write)
