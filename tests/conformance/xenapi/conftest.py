"""One demo server for all rows of the wire reference; simulated time runs fifty times as fast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_process import ServerProcess, start_server, until_done
from xenapi_rows import Client


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from until_done(start_server(tmp_path_factory.mktemp("rows"), "--speed", "50"))


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Client]:
    """A logged-in caller for all tests of a module."""
    caller = Client(server)
    yield caller
    caller.close()


@pytest.fixture(scope="module")
def vm(client: Client) -> Iterator[str]:
    """A halted VM without disks of its own, for one module."""
    (template,) = [
        ref for ref, record in client.call("VM.get_all_records").items()
        if record["is_a_template"] and record["is_default_template"]
    ][:1]  # fmt: skip
    ref = client.call("VM.clone", template, "rows")
    client.call("VM.set_is_a_template", ref, False)
    yield ref
    client.to_state(ref, "Halted")
    client.call("VM.destroy", ref)
