"""Accounts in memory, for the demo's root and for tests.

Rule 1: passwords are compared in constant time; every account and the unknown user cost the same.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from xenapi_core.api.auth import Identity
from xenapi_core.model.schema import POOL_ADMIN, ROLES


class StaticAuthenticator:
    """`accounts`: user -> (password, roles). A user called root that is pool-admin is the superuser, as in xapi."""

    def __init__(self, accounts: Mapping[str, tuple[str, Iterable[str]]]) -> None:
        self._passwords: dict[str, str] = {}
        self._identities: dict[str, Identity] = {}
        for user, (password, roles) in accounts.items():
            granted = frozenset(roles)
            if not granted <= set(ROLES):
                raise ValueError(f"{user} has unknown roles: {', '.join(sorted(granted - set(ROLES)))}")
            self._passwords[user] = password
            self._identities[user] = Identity(user, granted, superuser=user == "root" and POOL_ADMIN in granted)

    async def verify(self, user: str, password: str) -> Identity | None:
        expected = self._passwords.get(user)
        same = hmac.compare_digest((expected or "").encode(), password.encode(errors="surrogatepass"))
        return self._identities[user] if same and expected else None

    async def certified(self, subject: str) -> Identity | None:
        """None: these accounts have no certificates."""
        return None

    async def set_password(self, user: str, password: str) -> bool:
        if user not in self._passwords:
            return False
        self._passwords[user] = password
        return True

    async def renew(self, digest: str) -> bool:
        """True: these accounts come from no file."""
        return True

    async def knows(self, user: str) -> bool:
        return user in self._passwords

    def close(self) -> None:
        """Nothing to release."""
