"""Clients written in Perl and Java see the pool as the PyPI client does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from clients import vm_named

HERE = Path(__file__).parent
JAR = "/usr/share/java/axmlrpc.jar"
# A name with what every layer must escape or encode, and that looks like a number at its beginning.
AWKWARD = '007 <café> & "日本"'
# Far from UTC: a client that read our instants as local time would be five hours wrong.
ZONE = "America/New_York"

Client = Callable[..., "subprocess.CompletedProcess[str]"]


def run(command: list[str], url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, "XENCIM_URL": url, "TZ": ZONE, **environment}, capture_output=True,
        encoding="utf-8", timeout=90, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["perl", "java"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """client(url, **environment): run one of the two programs to its end."""
    if request.param == "perl":
        return lambda url, **more: run(["perl", "-w", str(HERE / "perl" / "list_pool.pl")], url, **more)
    classes = str(tmp_path_factory.mktemp("classes"))
    source = str(HERE / "java" / "ListPool.java")
    compiled = subprocess.run(
        ["javac", "-Xlint:all", "-Werror", "-encoding", "UTF-8", "-cp", JAR, "-d", classes, source],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    # Small heap and one compiler: the JVM's start is most of what this costs.
    java = ["java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", f"{JAR}:{classes}", "ListPool"]
    return lambda url, **more: run(java, url, **more)


def as_python_sees_it(xenapi: Any) -> list[str]:
    """What the programs print, from the answers the PyPI client gets."""
    guests = [
        record
        for record in xenapi.VM.get_all_records().values()
        if not (record["is_a_template"] or record["is_a_snapshot"] or record["is_control_domain"])
    ]
    lines = sorted(f"VM {record['name_label']} {record['power_state']}" for record in guests)
    for host in sorted(xenapi.host.get_all()):
        metrics = xenapi.host_metrics.get_record(xenapi.host.get_metrics(host))
        sizes = f"{metrics['memory_free']} {metrics['memory_total']}"
        lines.append(f"host {xenapi.host.get_name_label(host)} {'live' if metrics['live'] else 'down'} {sizes}")
    return lines


def split_moments(printed: str) -> tuple[list[str], list[str]]:
    """The lines without the instants that end the lines of hosts, and these instants."""
    lines = printed.splitlines()
    moments = [line.rpartition(" ")[2] for line in lines if line.startswith("host ")]
    return [line.rpartition(" ")[0] if line.startswith("host ") else line for line in lines], moments


def test_vms_and_host_memory_are_what_the_python_client_sees(server, xenapi, client):
    vm = vm_named(xenapi, "web-1")
    xenapi.VM.set_name_label(vm, AWKWARD)
    try:
        done = client(server.ready["xenapi"])
        expected = as_python_sees_it(xenapi)
    finally:
        xenapi.VM.set_name_label(vm, "web-1")
    assert done.returncode == 0, done.stderr
    lines, moments = split_moments(done.stdout)
    assert lines == expected
    assert f"VM {AWKWARD} Running" in lines
    assert len(moments) == 3


def test_instants_are_utc_in_every_language(server, xenapi, client):
    def minutes() -> list[datetime]:
        """When the hosts were last measured, as the PyPI client is told."""
        refs = [xenapi.host.get_metrics(host) for host in sorted(xenapi.host.get_all())]
        told = [xenapi.host_metrics.get_last_updated(ref).value for ref in refs]
        return [datetime.strptime(text, "%Y%m%dT%H:%M:%SZ").replace(tzinfo=UTC) for text in told]

    before = minutes()
    done = client(server.ready["xenapi"])
    after = minutes()
    assert done.returncode == 0, done.stderr
    _, moments = split_moments(done.stdout)
    for early, text, late in zip(before, moments, after, strict=True):
        # one prints the wire's form, the other ISO 8601 with dashes
        assert early <= datetime.fromisoformat(text) <= late


def test_the_programs_log_out_and_a_refusal_is_their_failure(server, xenapi, client):
    def open_sessions() -> int:
        return xenapi.event_from(["pool"], "", 5.0)["valid_ref_counts"]["session"]

    sessions = open_sessions()
    assert client(server.ready["xenapi"]).returncode == 0
    assert open_sessions() == sessions
    refused = client(server.ready["xenapi"], XENCIM_PASSWORD="wrong")
    assert refused.returncode != 0
    assert "SESSION_AUTHENTICATION_FAILED" in refused.stderr
    assert refused.stdout == ""
