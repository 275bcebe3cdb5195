"""A backup as Xen Orchestra makes it, restored, tried and removed: npm's xen-api against a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent / "node" / "backup.mjs"


def test_rolling_snapshots_are_saved_and_restored_by_xen_orchestras_calls(server):
    done = subprocess.run(
        ["node", str(SCRIPT), server.ready["xenapi"], server.user, server.password],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["snapshot"] == [True, False, True, "Halted"]
    assert told["saved"] == 1, "the snapshot left the marked disk out"
    assert told["blocks"] == [1, 1], "each image holds the block that has data, or that changed"
    assert told["type"] == "cbt_metadata"
    assert len(told["changed"]) == 64
    assert told["changed"].endswith("1" * 16), "the last MiB was written"
    assert told["restored"]
    assert told["copy"] == ["[XO] second", "Halted", False, 1]
    assert told["same"]
    assert told["health"] == "Running"
    assert told["pool"] == "false", "VTPMs may be made"
