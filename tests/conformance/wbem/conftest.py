"""A real server process that runs fast, a pool with odd machines in it, and clients of both faces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import pywbem
import XenAPI
from odd_machines import add_odd_machines
from server_process import ServerProcess, start_server, until_done


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One demo server for all tests of a module; simulated time runs fifty times as fast."""
    yield from until_done(start_server(tmp_path_factory.mktemp("server"), "--speed", "50"))


@pytest.fixture(scope="module")
def xenapi(server: ServerProcess) -> Iterator[Any]:
    """The `xenapi` proxy of a session."""
    session = XenAPI.Session(server.ready["xenapi"])
    with contextlib.ExitStack() as stack:
        stack.callback(session("close"))
        session.login_with_password(server.user, server.password, "2.21", "tests")
        yield session.xenapi


@pytest.fixture(scope="module")
def wbem(server: ServerProcess) -> Iterator[pywbem.WBEMConnection]:
    """A pywbem connection to root/cimv2."""
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace="root/cimv2", timeout=30
    ) as connection:
        yield connection


@pytest.fixture(scope="module")
def odd(xenapi: Any) -> dict[str, str]:
    """The pool has odd machines beside the demo's: name of the oddity -> reference."""
    return add_odd_machines(xenapi)
