"""Stores the server's membership: the pool secret, and the coordinator it belongs to.

Rule 1: the file is readable for its owner only, from its first moment, and complete or not there at all.
Rule 2: without durable state the secret lives as long as the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson

from xenapi_core.api.membership import Membership, new_secret
from xenapi_core.atomic_file import replace_file

FILE: Final = "membership.json"
_ROTATION: Final = ("coming", "going")  # there only while the secret is replaced


class MembershipFileError(Exception):
    """The file cannot be used: one sentence for the user, with its name."""


def open_membership(directory: Path | None) -> Membership:
    """The membership kept in `directory`, made with a fresh secret if there is none; None: kept in memory.

    Raises MembershipFileError.
    """
    if directory is None:
        return Membership(new_secret())
    path = directory / FILE
    try:
        found = orjson.loads(path.read_bytes())
        coming, going = (str(found.get(name, "")) for name in _ROTATION)
        secret, coordinator = str(found["secret"]), str(found["coordinator"])
        return Membership(secret, coordinator, coming, going, save=lambda now: _write(path, now))
    except FileNotFoundError:
        made = Membership(new_secret(), save=lambda now: _write(path, now))
        made.save(made)
        return made
    except OSError as error:
        raise MembershipFileError(f"Cannot read {path}: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError):
        raise MembershipFileError(f"{path} is damaged; without it this server does not know its pool.") from None


def _write(path: Path, membership: Membership) -> None:
    """Replace the file (rule 1). Raises MembershipFileError."""
    told = {"secret": membership.secret, "coordinator": membership.coordinator}
    content = orjson.dumps(told | {name: value for name in _ROTATION if (value := getattr(membership, name))})
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, content, 0o600)
    except OSError as error:
        raise MembershipFileError(f"Cannot write {path}: {error.strerror}.") from None
