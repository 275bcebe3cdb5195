"""Every command of pywbemcli, pywbemlistener and Debian's wbemcli that asks a server something, as people type them.

The rows of a tool run in their order against one server with a small model; a test compares pywbemcli's rows with the
commands it has.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from clients import wait_until
from pywbemtools.pywbemcli.pywbemcli import cli
from server_process import ServerProcess, start_server, until_done

MODEL = """
class LAB_Book { [Key] string InstanceID; uint32 Pages = 10; uint32 Open(); };
class LAB_Atlas : LAB_Book { real64 Scale; };
[Association] class LAB_Follows { [Key] LAB_Book REF Before; [Key] LAB_Book REF After; };
class LAB_Left { [Key] string InstanceID; };
instance of LAB_Book as $one { InstanceID = "one"; };
instance of LAB_Atlas as $two { InstanceID = "two"; Pages = 20; };
instance of LAB_Follows { Before = $one; After = $two; };
"""
MORE = 'class LAB_More { [Key] string InstanceID; };\ninstance of LAB_More { InstanceID = "m"; };\n'
ONE, NEW = 'LAB_Book.InstanceID="one"', 'LAB_Book.InstanceID="new"'
FILTER = "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA LAB_Book"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "lab.mof").write_text(MODEL)
    (folder / "more.mof").write_text(MORE)
    words = ("--hosts", "1", "--vms", "2", "--mof", str(folder / "lab.mof"), "--namespace", "lab")
    yield from until_done(start_server(folder / "server", *words))


def tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    folder = Path(sys.executable).parent
    paths = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}  # pywbemlistener starts itself by name
    command = [str(folder / name), *words]
    with tempfile.TemporaryFile("w+") as said:  # a file: what a command leaves running would hold a pipe open
        done = subprocess.run(command, stdout=said, stderr=said, text=True, timeout=60, check=False, env=paths)
        said.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, said.read(), "")


def pywbemcli(server: ServerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    return tool("pywbemcli", "-s", server.ready["wbem"], "-u", server.user, "-p", server.password, "-d", "lab", *words)


# What is typed (| between words), and what must be in the answer; "!" before it: the command fails with these words.
PYWBEMCLI = (
    ("class|enumerate|--di|--nq", "class LAB_Atlas : LAB_Book"),
    ("class|get|LAB_Book", "uint32 Pages = 10;"),
    ("class|find|LAB_*", "lab: LAB_Follows"),
    ("class|tree|LAB_Book", "+-- LAB_Atlas"),
    ("class|associators|LAB_Book", "LAB_Book"),
    ("class|references|LAB_Book", "LAB_Follows"),
    ("class|invokemethod|LAB_Book|Open", "!CIM_ERR_METHOD_NOT_AVAILABLE"),
    ("class|delete|LAB_Left", ""),
    ("class|get|LAB_Left", "!CIM_ERR_NOT_FOUND"),
    ("instance|create|LAB_Book|-p|InstanceID=new|-p|Pages=3", 'LAB_Book.InstanceID="new"'),
    (f"instance|modify|{NEW}|-p|Pages=4", ""),
    (f"instance|get|{NEW}", "Pages = 4;"),
    ("instance|enumerate|LAB_Book|--di", 'InstanceID = "two";'),
    (f"instance|delete|{NEW}", ""),
    (f"instance|get|{NEW}", "!CIM_ERR_NOT_FOUND"),
    (f"instance|associators|{ONE}", 'InstanceID = "two";'),
    (f"instance|references|{ONE}", "instance of LAB_Follows"),
    (f"instance|shrub|{ONE}", "LAB_Follows(AssocClass)"),
    (f"instance|invokemethod|{ONE}|Open", "!CIM_ERR_METHOD_NOT_AVAILABLE"),
    # The tool's own mistake, after it was answered: it lists what pywbem returns, and that is no list.
    ("instance|query|SELECT * FROM LAB_Book WHERE Pages > 15", "!'IterQueryInstancesReturn' object is not iterable"),
    ("instance|count|LAB_*", "LAB_Follows"),
    ("namespace|interop", "interop"),
    ("namespace|create|lab/cli", "lab/cli"),
    ("namespace|list", "lab/cli"),
    ("namespace|delete|lab/cli", "lab/cli"),
    ("profile|list", "Indications"),
    ("profile|centralinsts|-p|Indications", "IndicationService"),
    ("qualifier|enumerate", "Qualifier Key"),
    ("qualifier|get|Key", "Qualifier Key"),
    ("qualifier|delete|Key", "!uses the qualifier type"),
    ("server|brand", "xencim WBEM server"),
    ("server|info", "interop, lab, root/cimv2"),
    ("server|schema", "LAB"),
    ("server|add-mof|{folder}/more.mof", ""),
    ('instance|get|LAB_More.InstanceID="m"', 'InstanceID = "m";'),
    ("server|remove-mof|{folder}/more.mof", ""),
    ("class|get|LAB_More", "!CIM_ERR_NOT_FOUND"),
    ("subscription|add-destination|d|-l|http://127.0.0.1:9", "d"),
    (f"subscription|add-filter|f|-q|{FILTER}|--query-language|DMTF:CQL|--source-namespaces|lab", "f"),
    ("subscription|add-subscription|d|f", ""),
    ("subscription|list", "3"),
    ("subscription|list-destinations", "http://127.0.0.1:9"),
    ("subscription|list-filters", "CIM_InstCreation"),
    ("subscription|list-subscriptions", "http://127.0.0.1:9"),
    ("subscription|remove-subscription|d|f", ""),
    ("subscription|remove-filter|f", ""),
    ("subscription|remove-destination|d", ""),
    ("subscription|remove-server", ""),
    ("statistics|server-on", "!CIM_ERR_NOT_SUPPORTED"),
    ("statistics|server-off", "already off"),
    ("statistics|server-show", "!statistics off"),
    ("statistics|status", "server statistics gathering  off"),
    ("connection|test", "Connection OK"),
)
# About pywbemcli itself and its files: no server is asked.
ITS_OWN = {"docs", "help", "repl", "statistics reset", "statistics show"} | {
    f"connection {name}" for name in ("export", "show", "delete", "select", "save", "list", "set-default")
}


@pytest.mark.parametrize(("typed", "expected"), PYWBEMCLI, ids=[row[0][:50] for row in PYWBEMCLI])
def test_a_command_of_pywbemcli_does_what_it_says(lab: ServerProcess, typed: str, expected: str) -> None:
    folder = str(lab.log.parent.parent)
    done = pywbemcli(lab, *typed.replace("{folder}", folder).split("|"))
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == expected.startswith("!"), said
    assert expected.removeprefix("!") in said


def test_every_command_of_pywbemcli_has_a_row() -> None:
    there = set()
    for name, group in cli.commands.items():
        if isinstance(group, click.Group):
            there |= {f"{name} {below}" for below in group.commands}
        else:
            there.add(name)
    assert {" ".join(typed.split("|")[:2]) for typed, _ in PYWBEMCLI} == there - ITS_OWN


def test_a_listener_of_pywbemlistener_writes_down_what_it_hears(lab: ServerProcess, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    heard, name = tmp_path / "heard", f"xencim-test-{port}"
    words = ("start", name, "--scheme", "http", "--port", str(port), "--bind-addr", "127.0.0.1")
    started = tool("pywbemlistener", *words, "--indi-file", str(heard))
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        assert name in tool("pywbemlistener", "list").stdout
        assert str(port) in tool("pywbemlistener", "show", name).stdout
        for row in (
            f"add-destination|w|-l|http://127.0.0.1:{port}",
            f"add-filter|w|-q|{FILTER}|--query-language|DMTF:CQL|--source-namespaces|lab",
            "add-subscription|w|w",
        ):
            done = pywbemcli(lab, "subscription", *row.split("|"))
            assert done.returncode == 0, done.stderr
        assert pywbemcli(lab, "instance", "create", "LAB_Atlas", "-p", "InstanceID=heard").returncode == 0
        wait_until(lambda: heard.exists() and "CIM_InstCreation" in heard.read_text())
        assert re.search(r"InstanceID\s*=\s*\W*heard", heard.read_text())
        assert pywbemcli(lab, "subscription", "remove-server").returncode == 0
    finally:
        assert tool("pywbemlistener", "stop", name).returncode == 0
    assert name not in tool("pywbemlistener", "list").stdout


# Words of wbemcli: operation | object after the namespace | what follows; and what must be in the answer.
WBEMCLI = (
    ("ec|LAB_Book", "LAB_Atlas"),
    ("ecn|LAB_Book", "LAB_Atlas"),
    ("gc|LAB_Book", "-Pages"),
    ("gcd|LAB_Book", "Pages"),
    ("ei|LAB_Book", "-Pages=20"),
    ("ein|LAB_Book", 'LAB_Book.InstanceID="one"'),
    (f"ci|{NEW}|InstanceID=new,Pages=3", ""),
    (f"gi|{NEW}", "-Pages=3"),
    (f"mi|{NEW}|Pages=4", ""),
    (f"gp|{NEW}|Pages", "4"),
    (f"sp|{NEW}|Pages=5", ""),
    (f"gi|{NEW}", "-Pages=5"),
    (f"di|{NEW}", ""),
    (f"ai|{ONE}|-ac|LAB_Follows", '-InstanceID="two"'),
    (f"ain|{ONE}|-ac|LAB_Follows", 'LAB_Atlas.InstanceID="two"'),
    (f"ri|{ONE}|-arc|LAB_Follows", "LAB_Follows"),
    (f"rin|{ONE}|-arc|LAB_Follows", "LAB_Follows"),
    ("dc|LAB_Unused", ""),
)


@pytest.mark.parametrize(("typed", "expected"), WBEMCLI, ids=[row[0][:40] for row in WBEMCLI])
def test_a_command_of_wbemcli_does_what_it_says(lab: ServerProcess, typed: str, expected: str) -> None:
    if typed.startswith("dc"):
        (lab.log.parent / "unused.mof").write_text("class LAB_Unused { [Key] string Id; };")
        assert pywbemcli(lab, "server", "add-mof", str(lab.log.parent / "unused.mof")).returncode == 0
    operation, target, *more = typed.split("|")
    url = urlsplit(lab.ready["wbem"])
    uri = f"http://{lab.user}:{lab.password}@{url.hostname}:{url.port}/lab:{target}"
    command = ["wbemcli", operation, "-nl", *(more if more[:1] and more[0][0] == "-" else []), uri]
    command += more if more[:1] and more[0][0] != "-" else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CIM_ERR" not in done.stdout + done.stderr
    assert expected in done.stdout
