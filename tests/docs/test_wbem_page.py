"""docs/wbem.md: its example works as it stands, and its table says what the running dispatch table does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from server_process import start_server

import cim_provider.provider  # noqa: F401 - registers all operations but those of pull.py
from cim_provider.operations import pull  # noqa: F401
from cim_provider.operations.api import OPERATIONS
from cim_provider.wire.parameters import OPERATIONS as DECLARED

PAGE = (Path(__file__).parents[2] / "docs" / "wbem.md").read_text("utf-8")
ROWS = [tuple(cell.strip() for cell in row) for row in re.findall(r"^\| ([A-Z]\w+) \|(.*)\|(.*)\|(.*)\|$", PAGE, re.M)]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return str(found)


def test_the_table_has_every_operation_with_every_parameter() -> None:
    told = {name: parameters for name, parameters, *_ in ROWS}
    assert told == {
        name: ", ".join(spec.name for spec in specs.values()) or "none" for name, specs in DECLARED.values()
    }


def test_what_the_table_says_is_supported_is_dispatched() -> None:
    supported = {name for name, _, answer, _ in ROWS if answer == "yes"}
    assert supported == set(OPERATIONS)


def test_the_example_works_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "shelf.mof").write_text(block("mof"))
    command = shlex.split(block("sh"))
    assert command[:3] == ["xencim", "serve", "--demo"]
    options = [str(tmp_path / word) if word.endswith(".mof") else word for word in command[3:]]
    server = start_server(tmp_path / "run", "--hosts", "1", "--vms", "0", *options)
    try:
        program = block("python").replace("http://127.0.0.1:5988", server.ready["wbem"])
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert found.returncode == 0, found.stderr
        *books, namespaces = found.stdout.splitlines()
        assert books == ["one ['two']", "two ['one']"]
        assert "'lab/other'" in namespaces
    finally:
        server.kill()
