"""Real clients, logged in to a real server process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from clients import logged_in


@pytest.fixture
def login() -> Iterator[Callable[..., Any]]:
    """login(server, user, password): the `xenapi` proxy of a new session, whose sockets close with the test."""
    with contextlib.ExitStack() as stack:
        yield (
            lambda server, user="root", password="xencim": (
                logged_in(stack, server.ready["xenapi"], user, password).xenapi
            )
        )


@pytest.fixture
def xenapi(server: Any, login: Callable[..., Any]) -> Any:
    """The `xenapi` proxy of a session with the module's server."""
    return login(server)


@pytest.fixture
def wbem(server: Any) -> Iterator[pywbem.WBEMConnection]:
    """A pywbem connection to root/cimv2."""
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace="root/cimv2", timeout=30
    ) as connection:
        yield connection


@pytest.fixture
def pam_service(tmp_path: Path) -> Iterator[str]:
    """A PAM service of our own whose password is "right"; the system's accounts are not touched."""
    script = tmp_path / "check"
    script.write_text("#!/bin/sh\n[ \"$(tr -d '\\0')\" = right ]\n", encoding="utf-8")
    script.chmod(0o755)
    path = Path(f"/etc/pam.d/xencim-test-{os.getpid()}")
    if os.geteuid() != 0:
        pytest.fail("this test installs a PAM service and needs root for it")
    path.write_text(
        f"auth required pam_exec.so quiet expose_authtok {script}\naccount required pam_permit.so\n", encoding="utf-8"
    )
    yield path.name
    path.unlink()
