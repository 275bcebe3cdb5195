"""host, pool: the TLS certificate shown to clients, and whether the certificates of other servers are verified.

Rule 1: the certificate is the server's, not one host's (api/certificates.py): whichever host is named, it changes for
        all, and so do the records.
Rule 2: pool.tls_verification_enabled, once true, stays so. In an emergency the host that is called is exempt, which
        its own tls_verification_enabled says.
"""

from __future__ import annotations

from xenapi_core.api import pem
from xenapi_core.api.certificates import ShownCertificate, record_certificates
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation
from xenapi_core.store.api import Txn


def _shown_certificate(call: CallContext) -> ShownCertificate:
    """OPERATION_NOT_ALLOWED while no listener speaks TLS: then there is no certificate."""
    certificate = call.services.surroundings.certificate
    if certificate is None:
        raise E.OPERATION_NOT_ALLOWED("The server has no certificate: none of its listeners speaks TLS.")
    return certificate


@handles("host.get_server_certificate")
def get_server_certificate(call: CallContext, ref: str) -> str:
    """PEM. OPERATION_NOT_ALLOWED without TLS."""
    return _shown_certificate(call).facts.pem


@handles("host.install_server_certificate")
def install_server_certificate(
    call: CallContext, ref: str, certificate: str, private_key: str, certificate_chain: str
) -> None:
    """New connections get this certificate from now on. Raises what pem.server_pair and ShownCertificate.install do."""
    shown = _shown_certificate(call)
    shown.install(*pem.server_pair(certificate, private_key, certificate_chain, call.now))
    record_certificates(call.services)


@handles("host.reset_server_certificate")
def reset_server_certificate(call: CallContext, ref: str) -> None:
    """A new self-signed certificate with a new key. OPERATION_NOT_ALLOWED."""
    _shown_certificate(call).renew()
    record_certificates(call.services)


@handles("host.emergency_reset_server_certificate")
def emergency_reset_server_certificate(call: CallContext) -> None:
    """Replace the certificate as reset_server_certificate does; this message needs no coordinator.
    OPERATION_NOT_ALLOWED."""
    _shown_certificate(call).renew()
    record_certificates(call.services)


@handles("pool.enable_tls_verification")
def enable_tls_verification(call: CallContext) -> None:
    """All hosts verify the certificates of other servers from now on. HA_IS_ENABLED, OTHER_OPERATION_IN_PROGRESS."""
    pool = the_pool(call)
    check_pool_operation(call.store, pool, "tls_verification_enable")

    def write(txn: Txn) -> None:
        txn.update(pool.ref, tls_verification_enabled=True)
        for host in call.store.all("host"):
            txn.update(host, tls_verification_enabled=True)

    call.commit(write)


@handles("host.emergency_disable_tls_verification")
def emergency_disable_tls_verification(call: CallContext) -> None:
    """The host that is called verifies no certificates until verification is enabled there again."""
    call.update(call.host or the_pool(call)["master"], tls_verification_enabled=False)


@handles("host.emergency_reenable_tls_verification")
def emergency_reenable_tls_verification(call: CallContext) -> None:
    """TLS_VERIFICATION_NOT_ENABLED_IN_POOL: then there is nothing to go back to."""
    pool = the_pool(call)
    if not pool["tls_verification_enabled"]:
        raise E.TLS_VERIFICATION_NOT_ENABLED_IN_POOL()
    call.update(call.host or pool["master"], tls_verification_enabled=True)
