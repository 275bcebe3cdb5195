"""auth: questions about users and groups, answered by the external directory that is enabled.

Rule 1: identifiers are the directory's (auth/directories.py); subject.create takes them.
Rule 2: accounts of the server itself (users file, PAM) are in no directory, and not told of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from xenapi_core.api.auth.directories import Directory, DirectoryError
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E

T = TypeVar("T")


async def _ask_directory(call: CallContext, question: Callable[[Directory], T | None]) -> T:
    """The answer of the enabled directory. AUTH_IS_DISABLED, AUTH_SERVICE_ERROR, SUBJECT_CANNOT_BE_RESOLVED for
    None."""
    external = call.services.sessions.external
    try:
        directory = external.directory()
        if directory is None:
            raise E.AUTH_IS_DISABLED()
        answer = await external.ask(question, directory)
    except DirectoryError as error:
        raise E.AUTH_SERVICE_ERROR(str(error)) from None
    if answer is None:
        raise E.SUBJECT_CANNOT_BE_RESOLVED()
    return answer


@handles("auth.get_subject_identifier")
async def get_subject_identifier(call: CallContext, name: str) -> str:
    """What subject.create takes as subject_identifier, of the user of that name, else of the group."""
    short = call.services.sessions.external.short_name(name)
    return await _ask_directory(call, lambda directory: directory.find(short))


@handles("auth.get_subject_information_from_identifier")
async def get_subject_information(call: CallContext, identifier: str) -> dict[str, str]:
    """subject-name, subject-is-group and what else is known, as other_config of a subject has them."""
    return await _ask_directory(call, lambda directory: directory.describe(identifier))


@handles("auth.get_group_membership")
async def get_group_membership(call: CallContext, identifier: str) -> tuple[str, ...]:
    """Identifiers of the groups that a user is in; a group is in none."""
    return await _ask_directory(call, lambda directory: directory.groups(identifier))
