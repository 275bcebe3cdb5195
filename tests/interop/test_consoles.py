"""Consoles of a real server: the location that a console record gives is an address that works."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

from clients import logged_in, vm_named
from server_process import ServerProcess

SCRIPT = Path(__file__).parent / "node" / "console.mjs"


def test_the_location_of_a_console_is_opened_as_browsers_and_xen_orchestra_do(server: ServerProcess) -> None:
    with contextlib.ExitStack() as stack:
        session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
        xenapi = session.xenapi
        new = vm_named(xenapi, "db-2")
        xenapi.VM.start(new, False, False)
        old = next(ref for ref, one in xenapi.VM.get_all_records().items() if one["consoles"] and ref != new)
        for vm in (old, new):
            (console,) = xenapi.VM.get_consoles(vm)
            location = xenapi.console.get_location(console)
            assert location.startswith(server.ready["xenapi_tls"] + "/console?uuid=")
            done = subprocess.run(
                ["node", str(SCRIPT), location, session._session],
                capture_output=True, text=True, timeout=90, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert told["connect"] == ["HTTP/1.1 200 OK", "RFB 003.008\n"]
            assert told["websocket"] == ["binary", xenapi.VM.get_name_label(vm)]
