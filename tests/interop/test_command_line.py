"""What `xencim` says to people: the start page, its commands, and what is wrong with a command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clients import wait_until


def told(*words, code, text=""):
    """What `xencim word...` says, with `text` as standard input; it must exit with `code` and without a traceback."""
    done = subprocess.run(  # in a session of its own there is no terminal to ask
        [sys.executable, "-m", "xenapi_core.cli.main", *words],
        input=text, capture_output=True, text=True, timeout=60, check=False, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("closed", [[], ["--xenapi-port=-1", "--wbem-port=-1"]], ids=["plain", "tls-only"])
def test_commands_of_the_start_page_run_as_they_stand(serve, closed):
    server = serve("--speed", "20", *closed)
    wait_until(lambda: "pywbemcli" in server.output, 30)
    page, _, words = server.output.partition("Try next, in another terminal:\n")
    assert re.search(r"^  Xen-API  https?://\S+ +root / xencim\b", page, re.M)
    assert re.search(r"^  WBEM     https?://", page, re.M)
    assert (("https" if closed else "http") + "://127.0.0.1") in page.partition("export XENCIM_URL=")[2]
    unset = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # pywbemcli's HTTP client prefers them to --no-verify
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    listed, started, table = (
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True, env=environment)
        for command in words.splitlines()
    )
    vms = [line.split()[0] for line in page.splitlines() if "GiB" in line]
    assert [line.split()[0] for line in listed.stdout.splitlines()] == vms
    assert started.stdout == "db-2 started\n"
    assert all(f'"{name}"' in table.stdout for name in vms)


def test_beyond_loopback_the_start_page_leads_wbem_clients_to_tls(serve, tmp_path):
    users = str(tmp_path / "users")
    told("user", "add", "ann", "--users", users, "--password-stdin", text="s3cret", code=0)
    server = serve("--users", users, "--bind", "0.0.0.0")
    wait_until(lambda: "pywbemcli" in server.output, 30)
    plain, encrypted = server.ready["wbem"], server.ready["wbem_tls"]
    assert re.search(rf"^  WBEM     {plain} .* takes no passwords$", server.output, re.M)
    assert f" XENCIM_WBEM={encrypted} " in server.output
    assert f"pywbemcli -s {encrypted} --no-verify -u USER" in server.output
    words = ("cim", "namespaces", "-u", "ann", "-p", "s3cret", "--no-verify", "-s")
    assert "over https only" in told(*words, plain.replace("0.0.0.0", "127.0.0.1"), code=5)
    assert "root/cimv2" in told(*words, encrypted.replace("0.0.0.0", "127.0.0.1"), code=0)


def test_without_tcp_ports_the_start_page_shows_the_socket_alone(serve):
    server = serve(*(f"--{name}-port=-1" for name in ("xenapi", "xenapi-tls", "wbem", "wbem-tls")))
    wait_until(lambda: "XENCIM_PID" in server.output, 30)
    assert re.search(r"^  Xen-API  unix:\S+ +no login needed$", server.output, re.M)
    assert "Try next" not in server.output


@pytest.mark.parametrize("ignored", [False, True])
def test_the_end_of_its_terminal_ends_a_server_in_order_unless_that_is_ignored(serve, login, ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)  # inherited, as from nohup
    try:
        server = serve()
    finally:
        signal.signal(signal.SIGHUP, before)
    server.process.send_signal(signal.SIGHUP)
    if ignored:
        assert login(server).VM.get_all()
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert not Path(server.ready["socket"]).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--demo"),
        (["--demo", "--xenapi-port=-5"], "-1 for none"),
        (["--demo", "--wbem-port=7000", "--xenapi-tls-port=7000"], "--xenapi-tls-port and --wbem-port are both 7000"),
        (["--demo", "--bind", "here"], "--bind takes"),
        (["--demo", "--hosts", "0"], "--hosts must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(options, said):
    assert said in told("serve", *options, code=2)


def test_files_that_are_not_there_are_named_in_one_sentence(tmp_path):
    missing = str(tmp_path / "missing")
    for option, value, said in (
        ("--mof", missing, f"{missing} cannot be read: No such file"),
        ("--indication-ca", missing, f"there is no file {missing}"),
        ("--state", __file__, "cannot be used: it is a file"),
        ("--state", "s" * 300, "cannot be used: File name too long"),
    ):
        assert said in told("serve", "--demo", "--socket", str(tmp_path / "s.sock"), option, value, code=1)


def test_the_users_file_is_told_in_sentences(tmp_path):
    users = str(tmp_path / "users")
    assert "use --password-stdin" in told("user", "add", "ann", "--users", users, code=2)
    added = told("user", "add", "ann", "--users", users, "--password-stdin", text="s3cret", code=0)
    assert added == "ann: pool-admin\n"
    assert told("user", "list", "--users", users, code=0).split() == ["ann", "pool-admin"]
    nowhere = str(tmp_path / "no" / "users")
    error = told("user", "add", "ann", "--users", nowhere, "--password-stdin", text="s3cret", code=1)
    assert error == f"Error: {nowhere} cannot be written: No such file or directory\n"
    error = told("user", "list", "--users", str(tmp_path), code=1)
    assert error == f"Error: {tmp_path} cannot be read: Is a directory\n"
