"""The interface of authenticators, which verify a user's password and return the user's roles and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven user. `superuser` passes every role check (dom0's root in xapi).

    `sid` and `groups`: identifiers of a user of an external directory, and of the groups the user is in; such a user
    has no roles but those of subjects. `sid` is "" for an account of the server's own. `certificate`: a client
    certificate stood in for the password.
    """

    user: str
    roles: frozenset[str]
    superuser: bool = False
    sid: str = ""
    groups: tuple[str, ...] = ()
    certificate: bool = False


class Authenticator(Protocol):
    """Checks passwords. Never logs them; costs the same for an unknown user as for a wrong password."""

    async def verify(self, user: str, password: str) -> Identity | None:
        """The identity of a user, or None for wrong credentials."""

    async def certified(self, subject: str) -> Identity | None:
        """The identity of the user whose client certificate has this subject (RFC 4514 text), or None. The TLS layer
        has verified the certificate."""

    async def set_password(self, user: str, password: str) -> bool:
        """Change a password, to a fit one. False if this authenticator cannot, or has no such user."""

    async def renew(self, digest: str) -> bool:
        """Read the file of accounts again, unless what was read last has that SHA-256 (hexadecimal). False if it cannot
        be used: the accounts read before stay. True, and nothing else, without a file."""

    async def knows(self, user: str) -> bool:
        """Whether there is an account of that name."""

    def close(self) -> None:
        """Release what it holds (threads)."""
