"""External directories: sources of users and groups that are not accounts of the server.

Rule 1: a directory proves passwords and tells of its users and groups. It gives no roles: subject records do.
Rule 2: the command line says which directories there are. A client only enables one of them: it names no file, and no
        PAM service that somebody made for another purpose.
Rule 3: an identifier has the directory's name in it and says whether it is a user's or a group's, so it is neither the
        name of an account of the server nor an identifier of another directory.
Rule 4: everything here blocks, and belongs in threads (external.py).
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from xenapi_core.api.auth.pam import SERVICES, PamError, accepts, check_service
from xenapi_core.api.auth.users_file import AccountsFile, UsersFileError

PAM: Final = "PAM"
USERS: Final = "users"
_MOST_DIGITS: Final = 10  # of the number of a user or group, which has 32 bits


class DirectoryError(Exception):
    """A directory that cannot be used: one sentence for an administrator. `unknown`: nobody offers it."""

    def __init__(self, text: str, *, unknown: bool = False) -> None:
        super().__init__(text)
        self.unknown = unknown


class Directory(Protocol):
    """Users and groups, by identifiers. Every method may raise DirectoryError."""

    def verify(self, name: str, password: str) -> str | None:
        """The identifier of the user with that name and password. Costs the same for an unknown user."""

    def find(self, name: str) -> str | None:
        """The identifier of the user of that name, else of the group."""

    def describe(self, identifier: str) -> dict[str, str] | None:
        """subject-name, subject-is-group and what else is known; None for nobody."""

    def groups(self, identifier: str) -> tuple[str, ...] | None:
        """Identifiers of the groups that a user is in; a group is in none. None for nobody."""


class UsersDirectory:
    """A users file (xencim user) as a directory: its groups count, its roles do not."""

    def __init__(self, service: str, path: Path) -> None:
        self._service = service
        try:
            self._file = AccountsFile(path)
        except UsersFileError as error:
            raise DirectoryError(str(error)) from None

    def _split(self, identifier: str) -> tuple[str, str] | None:
        """Kind and name, of what is in the file."""
        for kind in ("user", "group"):
            start = f"{self._service}/{kind}/"
            if identifier.startswith(start):
                name = identifier.removeprefix(start)
                return (kind, name) if self._identifier(kind, name) else None
        return None

    def _identifier(self, kind: str, name: str) -> str | None:
        accounts = self._file.accounts()
        there = name in accounts if kind == "user" else any(name in account.groups for account in accounts.values())
        return f"{self._service}/{kind}/{name}" if there else None

    def verify(self, name: str, password: str) -> str | None:
        return f"{self._service}/user/{name}" if self._file.proven(name, password) else None

    def find(self, name: str) -> str | None:
        return self._identifier("user", name) or self._identifier("group", name)

    def describe(self, identifier: str) -> dict[str, str] | None:
        found = self._split(identifier)
        if found is None:
            return None
        kind, name = found
        upn = {"subject-upn": f"{name}@{self._service}"} if kind == "user" else {}
        return {"subject-name": name, "subject-is-group": "true" if kind == "group" else "false", **upn}

    def groups(self, identifier: str) -> tuple[str, ...] | None:
        found = self._split(identifier)
        if found is None:
            return None
        kind, name = found
        account = self._file.accounts().get(name) if kind == "user" else None
        return () if account is None else tuple(f"{self._service}/group/{group}" for group in account.groups)


class PamDirectory:
    """The accounts of the operating system: passwords through PAM, users and groups by their numbers."""

    def __init__(self, service: str, directory: Path = SERVICES) -> None:
        self._service = service
        try:
            check_service(service, directory)
        except PamError as error:
            raise DirectoryError(str(error)) from None

    def _user(self, identifier: str) -> pwd.struct_passwd | None:
        number = self._number("uid", identifier)
        try:
            return None if number is None else pwd.getpwuid(number)
        except (KeyError, OverflowError):
            return None

    def _group(self, identifier: str) -> grp.struct_group | None:
        number = self._number("gid", identifier)
        try:
            return None if number is None else grp.getgrgid(number)
        except (KeyError, OverflowError):
            return None

    def _number(self, kind: str, identifier: str) -> int | None:
        start, _, number = identifier.rpartition("/")
        if start != f"{self._service}/{kind}" or len(number) > _MOST_DIGITS:
            return None
        return int(number) if number.isascii() and number.isdigit() else None

    def verify(self, name: str, password: str) -> str | None:
        return self._user_named(name) if accepts(self._service, name, password) else None

    def _user_named(self, name: str) -> str | None:
        try:
            return f"{self._service}/uid/{pwd.getpwnam(name).pw_uid}"
        except (KeyError, ValueError):
            return None

    def find(self, name: str) -> str | None:
        user = self._user_named(name)
        if user is not None:
            return user
        try:
            return f"{self._service}/gid/{grp.getgrnam(name).gr_gid}"
        except (KeyError, ValueError):
            return None

    def describe(self, identifier: str) -> dict[str, str] | None:
        user, group = self._user(identifier), self._group(identifier)
        if user is not None:
            return {
                "subject-name": user.pw_name, "subject-is-group": "false",
                "subject-upn": f"{user.pw_name}@{self._service}", "subject-displayname": user.pw_gecos.split(",")[0],
                "subject-uid": str(user.pw_uid), "subject-gid": str(user.pw_gid),
            }  # fmt: skip
        if group is not None:
            return {"subject-name": group.gr_name, "subject-is-group": "true", "subject-gid": str(group.gr_gid)}
        return None

    def groups(self, identifier: str) -> tuple[str, ...] | None:
        user = self._user(identifier)
        if user is None:
            return () if self._group(identifier) is not None else None
        return tuple(f"{self._service}/gid/{gid}" for gid in os.getgrouplist(user.pw_name, user.pw_gid))


# host.external_auth_type -> host.external_auth_service_name -> what makes the directory (it may raise DirectoryError).
Offers = Mapping[str, Mapping[str, Callable[[], Directory]]]
NOTHING: Final[Offers] = {PAM: {}, USERS: {}}


def offers(options: Iterable[tuple[str, str, Path | None]]) -> Offers:
    """The directories that the options configure: type, name, and the file of a users directory. DirectoryError if one
    cannot be used."""
    found: dict[str, dict[str, Callable[[], Directory]]] = {kind: {} for kind in NOTHING}
    for kind, name, path in options:
        make = partial(PamDirectory, name) if path is None else partial(UsersDirectory, name, path)
        if kind not in found or (kind == USERS) != (path is not None) or not name or "/" in name or "@" in name:
            raise DirectoryError(f"a directory is PAM:SERVICE or users:NAME=FILE, not {kind}:{name}")
        make()
        found[kind][name] = make
    return found
