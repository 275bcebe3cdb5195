"""Four comparisons, each of two things in one run, printed as ratios.

1. a getter over keep-alive: xencim against Python's threaded xmlrpc.server, and against our own bare HTTP loop;
2. VM.get_all_records of 1,000 VMs, warm and after 1 % of them changed: xencim against nginx sending the same bytes;
3. EnumerateInstances of 1,000 Xen_ComputerSystem: xencim against pywbem_mock in process, and server CPU per 1,000;
4. indications of changed machines to one listener, against a bare loop that posts the same bytes (indications.py).

Ratios and CPU are steadier than wall times; nothing here is asserted.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from load import exchange
from server_process import ServerProcess, start_server

HERE = Path(__file__).parent


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def http_request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", "Connection: keep-alive"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(url: str, request: bytes, seconds: float, connections: int, pid: int) -> dict[str, float]:
    """Rate, bytes a second and server CPU per request of one load."""
    parts = urlsplit(url)
    before = cpu_seconds(pid)
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py"), parts.hostname or "", str(parts.port), str(seconds), str(connections)],
        input=request, capture_output=True, check=True, timeout=seconds + 120,
    )  # fmt: skip
    told = json.loads(done.stdout)
    cpu = cpu_seconds(pid) - before
    return {
        "rate": told["requests"] / told["seconds"],
        "mb": told["bytes"] / told["seconds"] / 1e6,
        "cpu_us": cpu / max(told["requests"], 1) * 1e6,
    }


def show(name: str, figures: dict[str, float]) -> None:
    print(f"  {name:44} {figures['rate']:10.0f} /s {figures['mb']:9.1f} MB/s {figures['cpu_us']:10.1f} us CPU each")


def started(script: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """One of the reference servers of this folder; it prints its URL when it listens."""
    process = subprocess.Popen([sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def login(server: ServerProcess) -> tuple[Any, str]:
    proxy = xmlrpc.client.ServerProxy(server.ready["xenapi"])
    session = proxy.session.login_with_password(server.user, server.password, "2.21", "bench")["Value"]  # type: ignore[index,call-overload]
    return proxy, str(session)


def getter(server: ServerProcess, seconds: float) -> None:
    print("1. VM.get_power_state over keep-alive")
    proxy, session = login(server)
    vm = proxy.VM.get_all(session)["Value"][0]
    body = xmlrpc.client.dumps((session, vm), "VM.get_power_state").encode()
    for connections in (1, 16):
        results = {}
        ours = http_request("/", body, {"Content-Type": "text/xml"})
        results["xencim"] = load(server.ready["xenapi"], ours, seconds, connections, server.process.pid)
        for name, script in (
            ("xmlrpc.server, threaded", "xmlrpc_reference.py"),
            ("our bare HTTP loop", "bare_http.py"),
        ):
            process, url = started(script)
            try:
                results[name] = load(
                    url, http_request("/RPC2", body, {"Content-Type": "text/xml"}), seconds, connections, process.pid
                )
            finally:
                process.terminate()
                process.wait(10)
        print(f" {connections} connection{'s' if connections > 1 else ''}")
        for name, figures in results.items():
            show(name, figures)
        rate = results["xencim"]["rate"]
        print(f"  ratio to xmlrpc.server {rate / results['xmlrpc.server, threaded']['rate']:.1f} (aim >= 5), "
              f"to our bare HTTP loop {rate / results['our bare HTTP loop']['rate']:.2f}")  # fmt: skip


def timed(sock: socket.socket, request: bytes, turns: int, before: Callable[[int], None]) -> list[float]:
    """Seconds of each of `turns` exchanges; `before(turn)` runs ahead of each and is not counted."""
    times = []
    for turn in range(turns):
        before(turn)
        start = time.perf_counter()
        exchange(sock, request)
        times.append(time.perf_counter() - start)
    return times


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=120)


def bulk(server: ServerProcess, seconds: float) -> None:
    print("2. VM.get_all_records")
    proxy, session = login(server)
    vms = list(proxy.VM.get_all(session)["Value"])
    body = xmlrpc.client.dumps((session,), "VM.get_all_records").encode()
    request = http_request("/", body, {"Content-Type": "text/xml"})
    parts = urlsplit(server.ready["xenapi"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    connection.request("POST", "/", body, {"Content-Type": "text/xml"})
    reply = connection.getresponse().read()
    connection.close()
    turns = max(10, int(seconds * 25))

    def change(turn: int) -> None:
        for vm in vms[turn % 100 :: 100]:
            proxy.VM.set_name_description(session, vm, f"turn {turn}")

    def nothing(turn: int) -> None:
        """Warm: the same again."""

    static_request = b"GET /all HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with tempfile.TemporaryDirectory() as directory, connected(server.ready["xenapi"]) as ours:
        process, url = nginx(Path(directory), reply)
        try:
            with connected(url) as static:
                rows = {
                    "xencim, warm": timed(ours, request, turns, nothing),
                    "nginx, the same bytes": timed(static, static_request, turns, nothing),
                    "xencim, 1 % changed before each": timed(ours, request, turns, change),
                }
        finally:
            process.terminate()
            process.wait(10)
    print(f"  {len(vms)} VMs, {len(reply) / 1e6:.1f} MB")
    speed = {name: len(reply) / statistics.median(times) / 1e6 for name, times in rows.items()}
    for name, rate in speed.items():
        print(f"  {name:44} {statistics.median(rows[name]) * 1e3:10.2f} ms {rate:9.0f} MB/s")
    warm, reference, changed = speed.values()
    print(f"  ratio to nginx, warm {warm / reference:.2f} (aim >= 0.5), after changes {changed / reference:.2f}")


def nginx(directory: Path, content: bytes) -> tuple[subprocess.Popen[str], str]:
    """A one-process nginx on a free port that sends `content` from memory-cached file /all."""
    (directory / "all").write_bytes(content)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / "nginx.conf"
    config.write_text(
        f"""daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
        events {{ worker_connections 256; }}
        http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
          server {{ listen 127.0.0.1:{port}; root {directory}; }} }}""",
        encoding="utf-8",
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(directory)], text=True)
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, f"http://127.0.0.1:{port}"
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def enumerate_instances(server: ServerProcess, seconds: float) -> None:
    print("3. EnumerateInstances Xen_ComputerSystem")
    body = (
        b'<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        b'<MESSAGE ID="1" PROTOCOLVERSION="1.0">'
        b'<SIMPLEREQ><IMETHODCALL NAME="EnumerateInstances"><LOCALNAMESPACEPATH><NAMESPACE NAME="root"/>'
        b'<NAMESPACE NAME="cimv2"/></LOCALNAMESPACEPATH><IPARAMVALUE NAME="ClassName">'
        b'<CLASSNAME NAME="Xen_ComputerSystem"/></IPARAMVALUE></IMETHODCALL></SIMPLEREQ></MESSAGE></CIM>'
    )
    account = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    headers = {
        "Content-Type": 'application/xml; charset="utf-8"', "Authorization": f"Basic {account}",
        "CIMOperation": "MethodCall", "CIMMethod": "EnumerateInstances", "CIMObject": "root%2Fcimv2",
    }  # fmt: skip
    ours = load(server.ready["wbem"], http_request("/cimom", body, headers), seconds, 1, server.process.pid)
    done = subprocess.run(
        [sys.executable, str(HERE / "mock_reference.py"), server.ready["wbem"], server.user, server.password],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    mock = json.loads(done.stdout)
    per_thousand = ours["cpu_us"] / 1e3 / mock["instances"] * 1000
    mock_per_thousand = mock["cpu"] * 1e6 / mock["instances"]
    print(f"  {mock['instances']} instances")
    show("xencim, warm, over HTTP", ours)
    print(f"  {'pywbem_mock, in process':44} {1 / mock['seconds']:10.1f} /s {mock['cpu'] * 1e6:25.0f} us CPU each")
    print(f"  server CPU per 1,000 instances {per_thousand:.2f} ms (aim <= 5); pywbem_mock {mock_per_thousand:.0f} ms")
    print(f"  ratio {mock_per_thousand / per_thousand:.0f}")


def indications(server: ServerProcess, seconds: float) -> None:
    """Runs in processes of its own: `server` and `seconds` are not used."""
    print("indications to one listener", flush=True)
    subprocess.run([sys.executable, str(Path(__file__).with_name("indications.py"))], check=True, timeout=300)


def main() -> None:
    parts = {"getter": getter, "bulk": bulk, "enumerate": enumerate_instances, "indications": indications}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each load")
    parser.add_argument("--vms", type=int, default=1000)
    parser.add_argument("only", nargs="*", choices=[*parts, []], help="default: all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = start_server(Path(directory), "--vms", str(options.vms))
        try:
            for name in options.only or parts:
                parts[name](server, options.seconds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
