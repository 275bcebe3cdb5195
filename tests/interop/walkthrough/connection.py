"""A session with the pool that XENCIM_URL names: what every program of this walk-through begins with.

XENCIM_USER and XENCIM_PASSWORD say who logs in; the defaults are the address and the account of `xencim serve --demo`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import XenAPI

URL = os.environ.get("XENCIM_URL", "http://127.0.0.1:9363")
USER = os.environ.get("XENCIM_USER", "root")
PASSWORD = os.environ.get("XENCIM_PASSWORD", "xencim")


@contextmanager
def session() -> Iterator[Any]:
    """The calls of the API, as attributes (`api.VM.get_all()`); logs out at the end.

    What the server refuses ends the program with the error's code and parameters on standard error, and status 1.
    """
    try:
        with XenAPI.Session(URL, ignore_ssl=True) as client:  # the demo's certificate is self-signed
            client.login_with_password(USER, PASSWORD, "2.21", "walk-through")
            try:
                yield client.xenapi
            finally:
                client.logout()
    except XenAPI.Failure as failure:
        sys.exit(f"the server refused: {' '.join(failure.details)}")


def only_vm(api: Any, name: str) -> str:
    """The reference of the one VM called `name`. Names need not be unique: none or several end the program."""
    found = api.VM.get_by_name_label(name)
    if len(found) != 1:
        sys.exit(f"{len(found)} VMs are called {name}")
    return found[0]


def is_guest(record: dict[str, Any]) -> bool:
    """Templates, snapshots and control domains are records of class VM too."""
    return not (record["is_a_template"] or record["is_a_snapshot"] or record["is_control_domain"])
