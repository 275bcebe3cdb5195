"""A file of accounts: one JSON object a line, with a salted scrypt hash, the roles and the groups of each user.

Theory of operation
1. The file is 0600 and replaced as a whole (written beside, synced, renamed), so no reader ever sees half of it. A
   change holds a lock on its folder from reading to writing, so that no other change is undone.
2. Hashing takes some 50 ms of CPU on purpose; it runs in threads of its own, never in the loop.
3. A running server notices a changed file at the next login. If it cannot read the file any more, it keeps the last
   good accounts, and logs that.
4. Roles count where the file has the server's own accounts, groups where it is an external directory (directories.py).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from xenapi_core.api.auth import Identity
from xenapi_core.atomic_file import replace_file
from xenapi_core.model.schema import POOL_ADMIN, ROLES

log = logging.getLogger(__name__)

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1
SALT_BYTES = HASH_BYTES = 32


class UsersFileError(Exception):
    """The users file cannot be used: one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Account:
    """One line of the file."""

    roles: tuple[str, ...]
    salt: bytes
    hash: bytes
    certificate: str = ""  # subject of the client certificate that proves the user without a password; "" for none
    groups: tuple[str, ...] = ()


# What an unknown user's password is compared with, so that it costs as much as a known one's.
NOBODY = Account((), secrets.token_bytes(SALT_BYTES), secrets.token_bytes(HASH_BYTES))


def hash_password(password: str, salt: bytes) -> bytes:
    data = password.encode(errors="surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=HASH_BYTES)


def load(path: Path) -> dict[str, Account]:
    """All accounts by name. UsersFileError for a file that is missing, unreadable, open to others, or malformed."""
    return _accounts_in(path, _content(path))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise UsersFileError(f"{path} can be read by others; run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        raise UsersFileError(f"{path} does not exist; make it with: xencim user add NAME --users {path}") from None
    except OSError as error:
        raise UsersFileError(f"{path} cannot be read: {error.strerror}") from None


def _accounts_in(path: Path, content: bytes) -> dict[str, Account]:
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsersFileError(f"{path} cannot be read: it is no text in UTF-8") from None
    accounts: dict[str, Account] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            name, account = _parse(path, number, line)
            if name in accounts:
                raise UsersFileError(f"{path}:{number}: {name} is there twice")
            if account.certificate and any(account.certificate == other.certificate for other in accounts.values()):
                raise UsersFileError(f"{path}:{number}: another user has the same certificate")
            accounts[name] = account
    return accounts


def _parse(path: Path, number: int, line: str) -> tuple[str, Account]:
    try:
        entry = json.loads(line)
        name, roles = entry["user"], tuple(entry["roles"])
        certificate, groups = entry.get("certificate", ""), tuple(entry.get("groups", ()))
        account = Account(roles, bytes.fromhex(entry["salt"]), bytes.fromhex(entry["hash"]), certificate, groups)
    except (ValueError, KeyError, TypeError):
        raise UsersFileError(f"{path}:{number}: this line is no account") from None
    if not isinstance(name, str) or not isinstance(certificate, str) or not set(roles) <= set(ROLES):
        raise UsersFileError(f"{path}:{number}: this line has no name or unknown roles")
    if isinstance(entry.get("groups"), str) or not all(isinstance(group, str) and group for group in groups):
        raise UsersFileError(f"{path}:{number}: the groups are no list of names")
    if len(account.hash) != HASH_BYTES or len(account.salt) < 16:
        raise UsersFileError(f"{path}:{number}: the hash or salt has the wrong length")
    return name, account


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Alone with the file, among all processes that change it (theory 1); for as long as it takes to read and write."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsersFileError(f"{path} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _save(path: Path, accounts: Mapping[str, Account]) -> None:
    lines = (
        json.dumps(
            {"user": name, "roles": list(a.roles), "salt": a.salt.hex(), "hash": a.hash.hex()}
            | ({"certificate": a.certificate} if a.certificate else {})
            | ({"groups": list(a.groups)} if a.groups else {})
        )
        for name, a in accounts.items()
    )
    try:
        replace_file(path, "".join(line + "\n" for line in lines).encode(), 0o600)
    except OSError as error:
        raise UsersFileError(f"{path} cannot be written: {error.strerror}") from None


def add_user(
    path: Path, user: str, password: str, roles: Iterable[str], certificate: str = "", groups: Iterable[str] = ()
) -> None:
    """Add an account, or give it a new password, roles and groups; makes the file if there is none. UsersFileError.

    `certificate` is the subject of the user's client certificate (RFC 4514 text); with one, `password` may be empty:
    then no password is right.
    """
    granted, member = tuple(roles), tuple(dict.fromkeys(groups))
    if not user or not (password or certificate) or "\0" in user + password:
        raise UsersFileError("a user needs a name and a password or a certificate, without NUL characters")
    if ":" in user or not user.isprintable():
        raise UsersFileError("a user's name has no colon (HTTP Basic could not carry it) and no control characters")
    if not granted or not set(granted) <= set(ROLES):
        raise UsersFileError(f"roles are {', '.join(ROLES)}")
    if not all(member) or "\0" in "".join(member):
        raise UsersFileError("a group needs a name, without NUL characters")
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hash_password(password, salt) if password else secrets.token_bytes(HASH_BYTES)
    with _changing(path):
        accounts = load(path) if path.exists() else {}
        others = {account.certificate for name, account in accounts.items() if name != user}
        if certificate and certificate in others:
            raise UsersFileError("another user has the same certificate")
        accounts[user] = Account(granted, salt, digest, certificate, member)
        _save(path, accounts)


def remove_user(path: Path, user: str) -> None:
    """Remove an account. UsersFileError if there is none of that name."""
    with _changing(path):
        accounts = load(path)
        if user not in accounts:
            raise UsersFileError(f"{path} has no user {user}")
        del accounts[user]
        _save(path, accounts)


def _identity(user: str, account: Account) -> Identity:
    return Identity(user, frozenset(account.roles), superuser=user == "root" and POOL_ADMIN in account.roles)


class AccountsFile:
    """The accounts of a file, read again when it has changed (theory 3). UsersFileError at once if it has none.

    Its methods read the file or hash: they belong in a thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._accounts: dict[str, Account] = {}
        self._digest = ""  # SHA-256 of what was read last, hexadecimal
        self._stamp, self._accounts = self._fresh()
        if not self._accounts:
            raise UsersFileError(f"{path} has no accounts; add one with: xencim user add NAME --users {path}")

    def _fresh(self) -> tuple[tuple[int, int, int] | None, dict[str, Account]]:
        try:
            status = os.stat(self.path)
        except OSError:
            return None, self._load()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return stamp, self._accounts
        return stamp, self._load()

    def _load(self) -> dict[str, Account]:
        content = _content(self.path)
        accounts = _accounts_in(self.path, content)
        self._digest = hashlib.sha256(content).hexdigest()
        return accounts

    def renew(self, digest: str) -> None:
        """Read the file again, even if it looks as it did, unless what was read has that digest. UsersFileError."""
        if digest.lower() != self._digest:
            self._stamp = None
            self._stamp, self._accounts = self._fresh()

    def accounts(self) -> dict[str, Account]:
        """All accounts by name."""
        try:
            self._stamp, self._accounts = self._fresh()
        except UsersFileError as error:
            log.warning("the accounts read before are kept: %s", error)
        return self._accounts

    def proven(self, user: str, password: str) -> Account | None:
        """The account, if that is its password."""
        account = self.accounts().get(user, NOBODY)
        same = hmac.compare_digest(hash_password(password, account.salt), account.hash)
        return account if same and account is not NOBODY else None

    def owner(self, certificate: str) -> tuple[str, Account] | None:
        """Name and account of the user whose client certificate has that subject."""
        found = ((name, account) for name, account in self.accounts().items() if account.certificate == certificate)
        return next(found, None) if certificate else None


class UsersFileAuthenticator:
    """Checks passwords against a users file. UsersFileError at once if the file cannot be used or is empty.

    More threads than processors would hash nothing faster, so there are no more, whatever the pool allows.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._file = AccountsFile(path)
        workers = threads if threads is not None else max(2, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="xencim-auth")

    def _check(self, user: str, password: str) -> Identity | None:
        account = self._file.proven(user, password)
        return None if account is None else _identity(user, account)

    async def verify(self, user: str, password: str) -> Identity | None:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._check, user, password)

    def _owner(self, subject: str) -> Identity | None:
        owner = self._file.owner(subject)
        return None if owner is None else _identity(*owner)

    async def certified(self, subject: str) -> Identity | None:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._owner, subject)

    def _renew(self, digest: str) -> bool:
        try:
            self._file.renew(digest)
        except UsersFileError as error:
            log.warning("the accounts read before are kept: %s", error)
            return False
        return True

    async def renew(self, digest: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._renew, digest)

    async def knows(self, user: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: user in self._file.accounts())

    def _change(self, user: str, password: str) -> bool:
        path, salt = self._file.path, secrets.token_bytes(SALT_BYTES)
        digest = hash_password(password, salt)
        with _changing(path):
            accounts = load(path)
            if user not in accounts:
                return False
            accounts[user] = replace(accounts[user], salt=salt, hash=digest)
            _save(path, accounts)
        return True

    async def set_password(self, user: str, password: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._change, user, password)

    def close(self) -> None:
        """End the hashing threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
