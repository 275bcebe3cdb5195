"""The shell scripts: what they install and start, with a virtual environment that records its calls."""

import os
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def recording_environment(folder: Path) -> dict[str, str]:
    """A "virtual environment" at `folder` whose programs append their arguments to `folder`/calls."""
    (folder / "bin").mkdir()
    for name in ("python", "xencim"):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{folder}/calls"\n')
        program.chmod(0o755)
    return {**os.environ, "XENCIM_VENV": str(folder), "extra": "from-the-outside"}


def test_run_hands_its_arguments_to_the_server_and_none_to_the_installer(tmp_path: Path) -> None:
    environment = recording_environment(tmp_path)
    for _ in range(2):
        subprocess.run([SCRIPTS / "run", "--vms", "3"], env=environment, cwd="/", check=True, timeout=30)
    calls = (tmp_path / "calls").read_text().splitlines()
    root = SCRIPTS.parent
    assert calls == [
        f"python -m pip install -qq --disable-pip-version-check -e {root}",
        "xencim serve --demo --vms 3",
        "xencim serve --demo --vms 3",
    ]
