"""Fixtures that every test may use: real server processes; and what holds for the process that tests."""

from __future__ import annotations

import gc
import inspect
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_client import run
from server_process import ServerProcess, start_server, until_done

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # shells do that to what they run in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs that tests interrupt would inherit it


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in a loop of its own: on uvloop, as the server does, or on what its parameter `loop` names."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    run(pyfuncitem.obj(**given), given.get("loop", "uvloop"))
    return True


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_this_module_only() -> None:
    """The model, the MOF and the tests are some 250,000 objects that stay. Looking through them for garbage again and
    again took half of the time of all tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """A function that starts servers which end with the test."""
    servers: list[ServerProcess] = []

    def start(*options: str, **more: Any) -> ServerProcess:
        server = start_server(tmp_path / f"server-{len(servers)}", *options, **more)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One demo server for all tests of a module; simulated time runs ten times as fast."""
    yield from until_done(start_server(tmp_path_factory.mktemp("server"), "--speed", "10"))
