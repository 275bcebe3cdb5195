"""The certificate of this server, and its replacement while the server runs.

Theory of operation
1. A listener keeps the context it began with. Which certificate a connection gets is decided at its handshake, by the
   newest context of the same kind: client certificates are judged by that one, too. (Loading a certificate into an old
   context would leave it there beside the earlier one if their keys are of different kinds.)
2. What is installed is written before it is shown, so it is never forgotten by a restart. Connections that are open
   keep what they have.
3. Files that the command line names are the administrator's: they are read at start, and never written.
4. A client that requests the name SERVER_NAME (SNI) is another member of the pool, and gets the certificate that hosts
   have for each other (host_identities.py).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from xenapi_core.api.member_certificates import SERVER_NAME
from xenapi_core.api.pem import Facts
from xenapi_core.clock import Clock
from xenapi_core.errors import E
from xenapi_core.server import tls


class TlsIdentity:
    """The server's TLS certificate (api.certificates.ShownCertificate). `given`: certificate and key of the
    administrator (theory 3); without them a pair is made in `directory`, for `names`, unless there is one. Raises
    tls.CertificateError."""

    def __init__(self, directory: Path, given: tuple[Path, Path] | None, names: Iterable[str], clock: Clock) -> None:
        self._directory = directory
        self._names = tuple(names)
        self._clock = clock
        self._own = given is None
        self._files = given or self._certificate_files()
        self._newest: dict[Path | None, ssl.SSLContext] = {}  # by authorities of client certificates
        self._facts = tls.shown(self._files[0])

    def _certificate_files(self) -> tuple[Path, Path]:
        installed = self._directory / tls.INSTALLED_FILE
        if installed.exists():
            return installed, installed
        return tls.ensure_certificate(self._directory, self._names, self._clock)

    @property
    def facts(self) -> Facts:
        return self._facts

    @property
    def self_signed(self) -> bool:
        """Whether it is ours, and nobody else vouches for it."""
        return self._own and tls.is_self_signed(self._files[0])

    def context(
        self, client_ca: Path | None = None, of_members: Callable[[], ssl.SSLContext] | None = None
    ) -> ssl.SSLContext:
        """For a listener (theory 1); `client_ca` as tls.server_context has it; `of_members` gives what members are
        shown there now (theory 4). Raises tls.CertificateError."""
        context = tls.server_context(*self._files, client_ca)
        self._newest[client_ca] = context

        def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, begun: ssl.SSLContext) -> None:
            if name == SERVER_NAME and of_members is not None:
                connection.context = of_members()
                return
            newest = self._newest[client_ca]
            if newest is not begun:
                connection.context = newest

        context.sni_callback = choose  # called for each handshake, also if the client names no server
        return context

    def install(self, certificate: bytes, key: bytes) -> None:
        if not self._own:
            raise E.OPERATION_NOT_ALLOWED("The certificate is that of --tls-cert: change the files, and start again.")
        path = self._directory / tls.INSTALLED_FILE
        try:
            with tls.replacing(path, certificate + key) as trial:
                newest = {client_ca: tls.server_context(trial, trial, client_ca) for client_ca in self._newest}
                shown = tls.shown(trial)
        except tls.CertificateError:
            raise E.SERVER_CERTIFICATE_INVALID() from None
        except OSError as error:
            raise E.OPERATION_NOT_ALLOWED(f"The certificate cannot be kept: {error.strerror}.") from None
        self._newest, self._facts, self._files = newest, shown, (path, path)

    def renew(self) -> None:
        self.install(*tls.make_pair(self._names, self._clock))
