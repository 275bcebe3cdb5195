"""pool, host: certificates that the pool trusts, and revocation lists.

Rule 1: the hosts of a pool share their trusted certificates, because they share a process and its records. So what is
        installed for the pool is on every host at once, and a message to a host changes the whole pool.
Rule 2: names are those of files elsewhere, so they are checked as such; nothing here is a file.
"""

from __future__ import annotations

from string import ascii_letters, digits
from typing import Any, Final

from xenapi_core.api import pem
from xenapi_core.api.certificates import installed
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.store.api import Version

_IN_NAMES: Final = frozenset(ascii_letters + digits + "._-")
_LONGEST: Final = 255


def is_name(name: str) -> bool:
    """Whether a certificate or a revocation list may be called that (rule 2)."""
    return 0 < len(name) <= _LONGEST and not name.startswith(".") and _IN_NAMES.issuperset(name)


def _authority(call: CallContext, name: str) -> Version | None:
    return next((record for record in installed(call.store) if record["name"] == name), None)


def _authorities(call: CallContext) -> tuple[str, ...]:
    return tuple(sorted(record["name"] for record in installed(call.store)))


def _record(call: CallContext, found: pem.Facts, **values: Any) -> str:
    return call.create("Certificate", {**found.values, "pem": found.pem, **values})


@handles("pool.install_ca_certificate", "pool.certificate_install")
def install_ca_certificate(call: CallContext, name: str, cert: str) -> None:
    """Trust what this authority signed, for everything.

    CERTIFICATE_NAME_INVALID, CERTIFICATE_ALREADY_EXISTS, CERTIFICATE_CORRUPT; TRUSTED_CERTIFICATE_NOT_VALID_YET,
    TRUSTED_CERTIFICATE_EXPIRED.
    """
    if not is_name(name):
        raise E.CERTIFICATE_NAME_INVALID(name)
    if _authority(call, name) is not None:
        raise E.CERTIFICATE_ALREADY_EXISTS(name)
    _record(call, pem.trusted(cert, E.CERTIFICATE_CORRUPT(name), call.now), type="ca", name=name)


@handles("host.install_ca_certificate")
def install_on_host(call: CallContext, host: str, name: str, cert: str) -> None:
    """Trust the authority in the whole pool, whichever host is named (rule 1). Errors as of
    pool.install_ca_certificate."""
    install_ca_certificate(call, name, cert)


@handles("pool.uninstall_ca_certificate")
def uninstall_ca_certificate(call: CallContext, name: str, force: bool) -> None:
    """CERTIFICATE_NAME_INVALID, CERTIFICATE_DOES_NOT_EXIST. `force` has nothing to overcome: there is no file."""
    if not is_name(name):
        raise E.CERTIFICATE_NAME_INVALID(name)
    record = _authority(call, name)
    if record is None:
        raise E.CERTIFICATE_DOES_NOT_EXIST(name)
    call.commit(lambda txn: txn.delete(record.ref))


@handles("pool.certificate_uninstall")
def certificate_uninstall(call: CallContext, name: str) -> None:
    """Trust the authority no longer. Errors as of pool.uninstall_ca_certificate."""
    uninstall_ca_certificate(call, name, False)


@handles("host.uninstall_ca_certificate")
def uninstall_on_host(call: CallContext, host: str, name: str, force: bool) -> None:
    """Trust the authority no longer in the whole pool, whichever host is named (rule 1)."""
    uninstall_ca_certificate(call, name, force)


@handles("pool.certificate_list")
def certificate_list(call: CallContext) -> tuple[str, ...]:
    return _authorities(call)


@handles("host.certificate_list")
def certificate_list_of_host(call: CallContext, host: str) -> tuple[str, ...]:
    return _authorities(call)


@handles("pool.install_trusted_certificate")
def install_trusted_certificate(call: CallContext, ref: str, ca: bool, cert: str, purpose: tuple[str, ...]) -> None:
    """Trust an authority (`ca`), or a server by its own certificate, which needs a purpose. Its name is its uuid.

    TRUSTED_CERTIFICATE_INVALID, .._NOT_VALID_YET, .._EXPIRED, .._ALREADY_EXISTS; CERTIFICATE_LACKS_PURPOSE.
    """
    found = pem.trusted(cert, E.TRUSTED_CERTIFICATE_INVALID(), call.now)
    kind = "ca" if ca else "pinned"
    if not ca and not purpose:
        raise E.CERTIFICATE_LACKS_PURPOSE()
    if any(record["fingerprint_sha256"] == found.sha256 for record in installed(call.store, kind)):
        raise E.TRUSTED_CERTIFICATE_ALREADY_EXISTS(found.sha256)
    uuid = call.services.ids.uuid()
    _record(call, found, uuid=uuid, name=f"{uuid}.pem", type=kind, purpose=purpose)


@handles("pool.uninstall_trusted_certificate")
def uninstall_trusted_certificate(call: CallContext, ref: str, certificate: str) -> None:
    """NOT_TRUSTED_CERTIFICATE for one that hosts show."""
    if call.get(certificate)["type"] not in ("ca", "pinned"):
        raise E.NOT_TRUSTED_CERTIFICATE(certificate)
    call.commit(lambda txn: txn.delete(certificate))


@handles("pool.crl_install")
def crl_install(call: CallContext, name: str, cert: str) -> None:
    """CRL_NAME_INVALID, CRL_ALREADY_EXISTS, CRL_CORRUPT."""
    pool = the_pool(call)
    if not is_name(name):
        raise E.CRL_NAME_INVALID(name)
    if name in pool["crls"]:
        raise E.CRL_ALREADY_EXISTS(name)
    call.update(pool.ref, crls={**pool["crls"], name: pem.revocation_list(cert, name)})


@handles("host.crl_install")
def crl_install_on_host(call: CallContext, host: str, name: str, crl: str) -> None:
    """Install the revocation list for the whole pool, whichever host is named (rule 1)."""
    crl_install(call, name, crl)


@handles("pool.crl_uninstall")
def crl_uninstall(call: CallContext, name: str) -> None:
    """CRL_NAME_INVALID, CRL_DOES_NOT_EXIST."""
    pool = the_pool(call)
    if not is_name(name):
        raise E.CRL_NAME_INVALID(name)
    if name not in pool["crls"]:
        raise E.CRL_DOES_NOT_EXIST(name)
    call.update(pool.ref, crls={other: text for other, text in pool["crls"].items() if other != name})


@handles("host.crl_uninstall")
def crl_uninstall_on_host(call: CallContext, host: str, name: str) -> None:
    """Remove the revocation list from the whole pool, whichever host is named (rule 1)."""
    crl_uninstall(call, name)


@handles("pool.crl_list")
def crl_list(call: CallContext) -> tuple[str, ...]:
    return tuple(sorted(the_pool(call)["crls"]))


@handles("host.crl_list")
def crl_list_of_host(call: CallContext, host: str) -> tuple[str, ...]:
    return tuple(sorted(the_pool(call)["crls"]))


@handles("pool.certificate_sync")
async def certificate_sync(call: CallContext) -> None:
    """Returns when everything installed so far is durable; no host can lack it (rule 1)."""
    await call.store.durable(call.store.revision)


@handles("host.certificate_sync")
async def certificate_sync_of_host(call: CallContext, host: str) -> None:
    """Returns when everything installed so far is durable, whichever host is named (rule 1)."""
    await certificate_sync(call)
