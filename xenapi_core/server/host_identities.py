"""The certificates and keys with which hosts of a pool authenticate to each other: one file for each host.

Rule 1: a file holds certificate and key, is readable for its owner only, and is there as a whole or not at all.
Rule 2: what is prepared is in a file beside the one that counts. Nobody is shown it before it takes that place; one
        that was left over counts for nothing.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from xenapi_core.api.pem import Facts
from xenapi_core.atomic_file import replace_file
from xenapi_core.clock import Clock
from xenapi_core.errors import E
from xenapi_core.server import tls

FOLDER: Final = "members"
_COMING: Final = ".coming"


class HostIdentities:
    """The certificates of hosts for each other, with their keys (api.member_certificates.Identities), in a folder of
    `directory`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._folder = directory / FOLDER
        self._clock = clock
        self._facts: dict[str, Facts] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._preparing: set[str] = set()

    def facts(self, uuid: str) -> Facts:
        """Raises tls.CertificateError."""
        if uuid not in self._facts:
            path = self._path(uuid)
            if not path.exists():
                try:
                    self._make(path, uuid)
                except OSError as error:
                    where, why = self._folder, error.strerror
                    raise tls.CertificateError(f"Cannot write a certificate to {where}: {why}.") from None
            self._facts[uuid] = tls.shown(path)
        return self._facts[uuid]

    @contextlib.contextmanager
    def prepared(self, uuid: str) -> Iterator[Facts]:
        """OPERATION_NOT_ALLOWED if it cannot be kept."""
        coming = self._path(uuid).with_suffix(_COMING)
        self._preparing.add(uuid)
        try:
            with _os_errors_refused():
                self._make(coming, uuid)
            yield tls.shown(coming)
            with _os_errors_refused():
                coming.replace(self._path(uuid))
            self._facts.pop(uuid, None)
            self._contexts.pop(uuid, None)
        finally:
            self._preparing.discard(uuid)
            with contextlib.suppress(OSError):
                coming.unlink()

    def is_preparing(self, uuid: str) -> bool:
        return uuid in self._preparing

    def keep_only(self, uuids: Iterable[str]) -> None:
        kept = {self._path(uuid).name for uuid in uuids}
        kept |= {self._path(uuid).with_suffix(_COMING).name for uuid in self._preparing}
        for path in self._folder.glob("*") if self._folder.exists() else ():
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def context(self, uuid: str) -> ssl.SSLContext:
        """For connections of other members to that host. Raises tls.CertificateError."""
        self.facts(uuid)
        if uuid not in self._contexts:
            path = self._path(uuid)
            self._contexts[uuid] = tls.server_context(path, path)
        return self._contexts[uuid]

    def _path(self, uuid: str) -> Path:
        return self._folder / f"{quote(uuid, safe='')}.pem"

    def _make(self, path: Path, uuid: str) -> None:
        """Raises OSError."""
        certificate, key = tls.make_member_pair(uuid, self._clock)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, certificate + key, 0o600)


@contextlib.contextmanager
def _os_errors_refused() -> Iterator[None]:
    """OPERATION_NOT_ALLOWED in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise E.OPERATION_NOT_ALLOWED(f"The certificate cannot be kept: {error.strerror}.") from None
