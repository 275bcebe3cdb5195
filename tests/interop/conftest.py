"""Real clients, logged in to a real server process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
