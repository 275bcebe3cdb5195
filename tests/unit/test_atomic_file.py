"""Files that are replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xenapi_core.atomic_file import replace_file


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_replaced_file_has_the_new_content_and_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    replace_file(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert _mode(path) == 0o600
    assert os.listdir(tmp_path) == ["secret"]


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "users"
    replace_file(path, b"all of the old", 0o600)
    with path.open("rb") as reader:
        assert reader.read(3) == b"all"
        replace_file(path, b"new", 0o600)
        assert reader.read() == b" of the old"


def test_a_file_that_cannot_be_replaced_is_as_before_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(path, b"new", 0o600)
    assert path.is_dir()
    assert os.listdir(tmp_path) == ["folder"]
