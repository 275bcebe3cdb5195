"""npm's xen-api, the client of Xen Orchestra: JSON-RPC, XML-RPC, and its event loop."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "node" / "session.mjs"


@pytest.mark.parametrize("transport", ["json-rpc", "xml-rpc"])
def test_xen_orchestra_client_sees_its_own_changes_through_events(server, transport):
    done = subprocess.run(
        ["node", str(SCRIPT), server.ready["xenapi"], server.user, server.password, transport],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pool"] == "lab"
    assert told["vms"] == 12
    assert told["after_start"] == "Running"
    assert told["after_shutdown"] == "Halted"
    assert told["error"] == ["VM_BAD_POWER_STATE", "halted", "running"]
    assert told["barrier"] is True
    assert told["task"] == "success"
    assert "VM.start" in told["methods"]
