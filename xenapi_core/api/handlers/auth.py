"""auth: what the directory of users knows. That is whatever checks passwords here: the users file, or the system's.

Rule 1: identifiers are names (see subject.py), so looking one up tells whether there is such an account. Groups cannot
        log in, and are not told of.
"""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E


async def _known(call: CallContext, name: str) -> None:
    """SUBJECT_CANNOT_BE_RESOLVED if the directory has no account of that name."""
    if not name or "\0" in name or not await call.services.sessions.authenticator.knows(name):
        raise E.SUBJECT_CANNOT_BE_RESOLVED()


@handles("auth.get_subject_identifier")
async def get_subject_identifier(call: CallContext, name: str) -> str:
    """What subject.create takes as subject_identifier. SUBJECT_CANNOT_BE_RESOLVED."""
    await _known(call, name)
    return name


@handles("auth.get_subject_information_from_identifier")
async def get_subject_information(call: CallContext, identifier: str) -> dict[str, str]:
    """subject-name and subject-is-group, as other_config of a subject has them. SUBJECT_CANNOT_BE_RESOLVED."""
    await _known(call, identifier)
    return {"subject-name": identifier, "subject-is-group": "false"}


@handles("auth.get_group_membership")
async def get_group_membership(call: CallContext, identifier: str) -> tuple[str, ...]:
    """None: no group could be a subject. SUBJECT_CANNOT_BE_RESOLVED."""
    await _known(call, identifier)
    return ()
