"""Every command of the README's tour, run as it stands, in order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S | re.M)
START, *REST = BLOCKS


@pytest.fixture(scope="module")
def tour():
    """The README's first command, from another directory, until its start page is complete."""
    environment = {k: v for k, v in os.environ.items() if k != "XENCIM_VENV"}
    process = subprocess.Popen(
        [str(ROOT / START.strip())], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    page, deadline = b"", time.monotonic() + 300
    while b"pywbemcli" not in page:
        page += process.stdout.read() or b""
        assert process.poll() is None, page.decode()
        assert time.monotonic() < deadline, page.decode()
        time.sleep(0.05)
    yield page.decode()
    with process.stdout:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(30)
        assert ended == 0, (process.stdout.read() or b"").decode()


def run(command: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_start_page_shows_pool_urls_account_export_line_and_three_commands(tour):
    for words in (
        "3 hosts",
        "12 VMs (9 running)",
        "web-0",
        "Running",
        "http://127.0.0.1:9363",
        "https://127.0.0.1:5989",
    ):
        assert words in tour
    assert "root / xencim" in tour
    assert re.search(
        r"^export XENCIM_URL=http://127\.0\.0\.1:9363 XENCIM_WBEM=http://127\.0\.0\.1:5988 "
        r"XENCIM_USER=root XENCIM_PASSWORD=xencim XENCIM_PID=\d+$",
        tour,
        re.M,
    )
    assert len(re.findall(r"^  /\S+/(?:python|pywbemcli) ", tour, re.M)) == 3


def test_the_tour_runs_in_order_and_shows_what_it_promises(tour):
    assert len(REST) == 4
    listed, table, stopped, tasks = (run(command) for command in REST)
    assert "web-0 Running" in listed
    assert "build-2 is Running" in listed
    assert '"build-2"' in table
    assert "2 (Enabled)" in table
    assert "4096" in stopped
    assert "Xen_LogicalDisk" in stopped
    assert "Async.VM.hard_shutdown" in tasks


def test_the_suggested_commands_work_as_printed(tour):
    suggested = re.findall(r"^  (/\S+/(?:python|pywbemcli) .*)$", tour, re.M)
    shown = [run(command) for command in suggested]
    assert "web-0 Running" in shown[0]
    assert "started" in shown[1]
    assert "ElementName" in shown[2]
