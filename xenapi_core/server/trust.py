"""TLS trust of this server as a client: of other pools, and of web servers that archives come from.

Rule 1: where the pool verifies, another pool has to show a certificate that an installed authority signed (or that is
        installed itself), for the name or address it is called by. The system's authorities do not count: anybody may
        get their signature. Web servers are checked as browsers do, and by the installed authorities too.
        Members of the pool show the certificates that hosts have for each other, and those alone count.
Rule 2: once a revocation list is installed, who signed a certificate must have one: OpenSSL cannot tell a list that was
        never there from one that was forgotten.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile

from xenapi_core.api.certificates import installed, verifies
from xenapi_core.api.member_certificates import SERVER_NAME
from xenapi_core.bridge.client import Proof
from xenapi_core.engine.pool_trust import coming_file_of, file_of, trusted_members
from xenapi_core.store.api import Store


def of_pools(store: Store) -> ssl.SSLContext | None:
    """How another pool proves who it is; None: it need not."""
    return _with_installed(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), store) if verifies(store) else None


def of_members(store: Store, address: str) -> Proof:
    """How the member of the pool at that address proves who it is. A member without such a certificate is verified as
    another pool is; members that joined before there were such certificates have none."""
    if not verifies(store):
        return None, SERVER_NAME
    hosts = store.all("host").values()
    here = [host["uuid"] for host in hosts if not host["joined_from"]]
    asked = {file_of(host["uuid"]) for host in hosts if host["joined_from"] == address}
    trusted = trusted_members(store)
    others = trusted.keys() - {*map(file_of, here), *map(coming_file_of, here)}
    if not (others & asked if asked else others):
        return of_pools(store), None
    return of_certificate("".join(trusted.values())), SERVER_NAME


def of_certificate(pem: str) -> ssl.SSLContext:
    """A server that shows this certificate (or one of these), or one that it signed, whatever the server's name is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # the certificate says who it is
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    return context


async def of_appliances(store: Store, always: bool = False) -> ssl.SSLContext:
    """How a server that does a part of the pool's work proves who it is: as another pool does (rule 1), where this pool
    verifies, or `always`; elsewhere it need not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if always or verifies(store):
        return _with_installed(context, store)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def of_balancers(store: Store) -> ssl.SSLContext:
    """How the workload balancing server proves who it is: as an appliance does; pool.wlb_verify_cert demands it,
    too."""
    return await of_appliances(store, any(pool["wlb_verify_cert"] for pool in store.all("pool").values()))


async def of_web_servers(store: Store) -> ssl.SSLContext:
    """How the server of a URL proves who it is."""
    return _with_installed(await asyncio.to_thread(ssl.create_default_context), store)  # parses a hundred certificates


def _with_installed(context: ssl.SSLContext, store: Store) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # what is installed is enough, whoever signed it
    authorities = [record["pem"] for record in installed(store) if not record["purpose"]]
    if authorities:
        context.load_verify_locations(cadata="".join(authorities))
    lists = [text for pool in store.all("pool").values() for text in pool["crls"].values()]
    if lists:
        with tempfile.NamedTemporaryFile("w", prefix="xencim-", suffix=".pem") as file:  # the only way in for lists
            file.write("".join(lists))
            file.flush()
            context.load_verify_locations(file.name)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context
