"""Real clients, logged in to a real server process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pywbem
import XenAPI


@pytest.fixture
def xenapi(server: Any) -> Iterator[Any]:
    """The `xenapi` proxy of a logged-in PyPI XenAPI session."""
    session = XenAPI.Session(server.ready["xenapi"])
    session.login_with_password(server.user, server.password, "2.21", "tests")
    yield session.xenapi
    session.logout()


@pytest.fixture
def wbem(server: Any) -> Iterator[pywbem.WBEMConnection]:
    """A pywbem connection to root/cimv2."""
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace="root/cimv2", timeout=30
    ) as connection:
        yield connection
