"""host, pool: the TLS certificate that clients see, and whether other servers must prove who they are.

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


def _shown(call: CallContext) -> ShownCertificate:
    """OPERATION_NOT_ALLOWED while no listener speaks TLS: then there is no certificate."""
    certificate = call.services.dispatcher.certificate
    if certificate is None:
        raise E.OPERATION_NOT_ALLOWED("The server has no certificate: none of its listeners speaks TLS.")
    return certificate


@handles("host.get_server_certificate")
def get_server_certificate(call: CallContext, ref: str) -> str:
    """PEM. OPERATION_NOT_ALLOWED without TLS."""
    return _shown(call).facts.pem


@handles("host.install_server_certificate")
def install_server_certificate(
    call: CallContext, ref: str, certificate: str, private_key: str, certificate_chain: str
) -> None:
    """Who connects from now on sees this certificate. What pem.server_pair and ShownCertificate.install raise."""
    shown = _shown(call)
    shown.install(*pem.server_pair(certificate, private_key, certificate_chain, call.now))
    record_certificates(call.services)


@handles("host.reset_server_certificate")
def reset_server_certificate(call: CallContext, ref: str) -> None:
    """A new self-signed certificate with a new key. OPERATION_NOT_ALLOWED."""
    _shown(call).renew()
    record_certificates(call.services)


@handles("host.emergency_reset_server_certificate")
def emergency_reset_server_certificate(call: CallContext) -> None:
    """As reset_server_certificate, where the coordinator may be lost. OPERATION_NOT_ALLOWED."""
    _shown(call).renew()
    record_certificates(call.services)


@handles("pool.enable_tls_verification")
def enable_tls_verification(call: CallContext) -> None:
    """Other servers are asked for proof from now on, by all hosts. HA_IS_ENABLED, OTHER_OPERATION_IN_PROGRESS."""
    pool = the_pool(call)
    check_pool_operation(call.store, pool, "tls_verification_enable")

    def write(txn: Txn) -> None:
        txn.update(pool.ref, tls_verification_enabled=True)
        for host in call.store.all("host"):
            txn.update(host, tls_verification_enabled=True)

    call.commit(write)


@handles("host.emergency_disable_tls_verification")
def emergency_disable_tls_verification(call: CallContext) -> None:
    """The host that is called asks nobody for proof, until it is told to again."""
    call.update(call.host or the_pool(call)["master"], tls_verification_enabled=False)


@handles("host.emergency_reenable_tls_verification")
def emergency_reenable_tls_verification(call: CallContext) -> None:
    """TLS_VERIFICATION_NOT_ENABLED_IN_POOL: then there is nothing to go back to."""
    pool = the_pool(call)
    if not pool["tls_verification_enabled"]:
        raise E.TLS_VERIFICATION_NOT_ENABLED_IN_POOL()
    call.update(call.host or pool["master"], tls_verification_enabled=True)
