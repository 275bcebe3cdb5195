"""Accounts of the operating system, through PAM.

Theory of operation
1. PAM blocks (its refusals take about two seconds), so it runs in threads of its own, with a deadline.
2. A PAM service without a file of its own falls back to the service "other", whose rules nobody chose for us: starting
   is refused unless the file exists.
3. Knowing a password is not enough: only users that were given roles may log in. By default that is root alone. Where
   PAM is an external directory (directories.py), subjects give the roles.
"""

from __future__ import annotations

import asyncio
import pwd
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pam

from xenapi_core.api.auth import Identity
from xenapi_core.api.auth.turns import MOST
from xenapi_core.model.schema import POOL_ADMIN

DEADLINE = 60.0  # seconds for one answer of PAM
SERVICES = Path("/etc/pam.d")
SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


class PamError(Exception):
    """PAM cannot be used: one sentence for the user."""


def check_service(service: str, directory: Path = SERVICES) -> None:
    """PamError unless PAM has that service (theory 2)."""
    if not SERVICE_NAME.match(service):
        raise PamError(f"{service!r} is no name of a PAM service")
    if not (directory / service).is_file():
        raise PamError(f"there is no PAM service {service}: {directory / service} does not exist")


def accepts(service: str, user: str, password: str) -> bool:
    """Whether PAM takes that pair; blocks.

    NUL is refused here: PAM would see a shorter password. So is what has no UTF-8 (lone surrogates): PAM takes bytes.
    """
    if "\0" in user or "\0" in password:
        return False
    try:
        (user + password).encode()
    except UnicodeEncodeError:
        return False
    # One object per call: it keeps the result code of the last one. No credentials are set: we only ask.
    return bool(pam.PamAuthenticator().authenticate(user, password, service=service, resetcreds=False))


def _account_exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except (KeyError, ValueError):
        return False
    return True


class PamAuthenticator:
    """Checks passwords with PAM service `service`; `roles`: user -> roles of those who may log in. PamError."""

    def __init__(
        self,
        service: str,
        roles: Mapping[str, Iterable[str]] | None = None,
        *,
        directory: Path = SERVICES,
        threads: int = MOST,
    ) -> None:
        check_service(service, directory)
        self.service = service
        self._roles = {user: frozenset(granted) for user, granted in (roles or {"root": (POOL_ADMIN,)}).items()}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="xencim-pam")

    def _check(self, user: str, password: str) -> bool:
        return accepts(self.service, user, password)

    async def verify(self, user: str, password: str) -> Identity | None:
        """As Authenticator.verify. NUL is refused here: PAM would see a shorter password."""
        if "\0" in user or "\0" in password:
            return None
        check = asyncio.get_running_loop().run_in_executor(self._pool, self._check, user, password)
        try:
            proven = await asyncio.wait_for(check, DEADLINE)
        except TimeoutError:
            return None
        roles = self._roles.get(user)
        if not proven or roles is None:
            return None
        return Identity(user, roles, superuser=user == "root" and POOL_ADMIN in roles)

    async def knows(self, user: str) -> bool:
        """Whether the operating system has an account of that name; False if it does not say so in time."""
        look = asyncio.get_running_loop().run_in_executor(self._pool, _account_exists, user)
        try:
            return await asyncio.wait_for(look, DEADLINE)
        except TimeoutError:
            return False

    async def certified(self, subject: str) -> Identity | None:
        """None: these accounts have no certificates."""
        return None

    async def set_password(self, user: str, password: str) -> bool:
        """False: passwords of the operating system are changed there."""
        return False

    async def renew(self, digest: str) -> bool:
        """True: PAM asks the operating system at each login."""
        return True

    def close(self) -> None:
        """End the PAM threads; one that hangs in PAM ends with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
