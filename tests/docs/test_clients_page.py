"""Every command of docs/clients.md, run as it stands, in order and in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", PAGE, flags=re.M)
END = "=== end of a command block ==="


def commands(section: str) -> str:
    return "".join(re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the commands of each section print, by its title."""
    script = f"\necho '{END}'\n".join(commands(section) for section in SECTIONS)
    # whatever fails, the server must not be left behind
    script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script
    binaries = Path(sys.executable).parent
    temporary = tmp_path_factory.mktemp("shell")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("XENCIM_")},
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(temporary),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    logs = "".join(path.read_text(encoding="utf-8") for path in temporary.glob("*/log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    titles = [section.partition("\n")[0] for section in SECTIONS]
    return dict(zip(titles, done.stdout.split(f"{END}\n"), strict=True))


def test_the_example_programs_list_find_start_clone_watch_and_move(shown):
    text = shown["Python"]
    assert re.search(r"^web-0 +Running +2048 MiB  host-0$", text, re.M)
    assert "web-0: Running" in text
    assert "db-2 is Running on host-" in text
    assert "build-3 has uuid" in text
    assert re.search(r"^watching \d+ objects$", text, re.M)
    assert re.search(r"^web-0 +host-0 -> host-1", text, re.M)


def test_curl_shows_a_result_and_a_failure(shown):
    assert re.search(r'"result":\["OpaqueRef:[0-9a-f-]+"\]', shown["curl"])
    assert '"message":"HANDLE_INVALID","data":["VM","OpaqueRef:none"]' in shown["curl"]


def test_measurements_are_told_by_name(shown):
    text = shown["Measurements"]
    assert re.search(r"^memory_total_kib [1-9][0-9.]+$", text, re.M)
    assert re.search(r"^iops_read_[0-9a-f]{8} [0-9.]+$", text, re.M)
    assert re.search(r'"MAX:sr:[0-9a-f-]{36}:physical_size"', text)


def test_a_disk_is_restored_from_a_full_backup_and_its_changes(shown):
    text = shown["Disks and backups"]
    assert text.startswith("changed\n")
    assert re.findall(r"^ *(\d+) (\w+)\.vhd$", text[8:], re.M) == [("3", "changes"), ("7", "full")]


@pytest.mark.parametrize("language", ["JavaScript", "Perl", "Java"])
def test_other_languages_list_the_same_pool(shown, language):
    listed = dict(re.findall(r"^(?:VM )?([a-z]+-\d) (Running|Halted|Suspended)$", shown[language], re.M))
    from_python = dict(re.findall(r"^([a-z]+-\d) +(Running|Halted|Suspended) +\d+ MiB", shown["Python"], re.M))
    # what the Python examples did since they listed the pool
    assert listed == {**from_python, "db-2": "Running", "build-3": "Halted"}
    assert len(from_python) == 12


def test_a_second_run_of_the_playbook_changes_nothing(shown):
    text = shown["Ansible"]
    assert re.findall(r"^localhost +: ok=3 +changed=(\d+) .* failed=0 ", text, re.M) == ["2", "0"]
    assert len(set(re.findall(r'"shop.instance.networks\[0\].ip": "(10[0-9.]+)"', text))) == 1


def test_every_section_is_run_but_the_one_without_commands(shown):
    assert [title for title in shown if not commands(next(s for s in SECTIONS if s.startswith(f"{title}\n")))] == [
        "Clients of API 1.0"
    ]
