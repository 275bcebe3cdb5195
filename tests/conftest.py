"""Fixtures that every test may use: real server processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess, start_server, until_done


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
