"""Who this server believes when it is the client: other pools, and web servers that archives come from.

Rule 1: where the pool verifies, another pool has to show a certificate that an installed authority signed (or that is
        installed itself), for the name or address it is called by. The system's authorities do not count: anybody may
        get their signature. Web servers are checked as browsers do, and by the installed authorities too.
Rule 2: once a revocation list is installed, who signed a certificate must have one: OpenSSL cannot tell a list that was
        never there from one that was forgotten.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile

from xenapi_core.api.certificates import installed, verifies
from xenapi_core.store.api import Store


def of_pools(store: Store) -> ssl.SSLContext | None:
    """How another pool proves who it is; None: it need not."""
    return _with_installed(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), store) if verifies(store) else None


def of_certificate(pem: str) -> ssl.SSLContext:
    """The server that shows this certificate, whatever it is called by; or one that it signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # the certificate says who it is
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    return context


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
