"""A real server process on free ports, started as a user would start it."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_DEADLINE = 60.0
_numbers = itertools.count()


@dataclass
class ServerProcess:
    """One running `xencim serve`; `ready` is the content of its ready file."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path
    user: str = "root"
    password: str = "xencim"

    def stop(self, deadline: float = 20.0) -> int:
        """SIGTERM and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")


def until_done(running: ServerProcess) -> Iterator[ServerProcess]:
    """For a fixture to `yield from`: the process, which must end well when its tests are done."""
    yield running
    assert running.stop() == 0, running.output


def start_server(directory: Path, *options: str, demo: bool = True) -> ServerProcess:
    """`xencim serve` on free ports; returns when its ready file is there."""
    directory.mkdir(parents=True, exist_ok=True)
    ready, log = directory / "ready.json", directory / "log.txt"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "xenapi_core.cli.main", "serve", "--ready-file", str(ready)]
    for name in ("xenapi", "xenapi-tls", "wbem", "wbem-tls"):
        command += [f"--{name}-port", "0"]
    # no "_" in the path: the PyPI client's Unix transport cannot spell it; and short, as socket paths must be
    sockets = Path(tempfile.gettempdir()) / f"xencim-test-{os.getpid()}-{next(_numbers)}"
    atexit.register(shutil.rmtree, sockets, ignore_errors=True)
    command += ["--socket", str(sockets / "xenapi.sock")]
    command += ["--demo"] if demo else []
    return _started([*command, *options], ready, log)


def start_bridge(directory: Path, pool: str, *options: str, password: str = "xencim") -> ServerProcess:
    """`xencim bridge` on free ports, for the pool at that URL; returns when its ready file is there."""
    directory.mkdir(parents=True, exist_ok=True)
    ready, log = directory / "ready.json", directory / "log.txt"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "xenapi_core.cli.main", "bridge", pool, "--ready-file", str(ready)]
    command += ["--wbem-port", "0", "--wbem-tls-port", "0"]
    return _started([*command, *options], ready, log, XENCIM_POOL_PASSWORD=password)


def _started(command: list[str], ready: Path, log: Path, **environment: str) -> ServerProcess:
    """The process, once its ready file is there; AssertionError with its output if it ends or takes too long."""
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default", **environment},
        )
    deadline = time.monotonic() + START_DEADLINE
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait(10)
            raise AssertionError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.02)
    return ServerProcess(process, json.loads(ready.read_text(encoding="utf-8")), log)
