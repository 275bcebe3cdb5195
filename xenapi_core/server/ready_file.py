"""The ready file: JSON that exists while a server listens, for the program that started it.

Rule 1: it appears complete or not at all, and no part of it stays behind when it cannot be written.
Rule 2: it goes when its server goes, unless another server has put its own there meanwhile.
Rule 3: what a server left behind that was killed is gone before the next one begins to listen.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class ReadyFileError(Exception):
    """The ready file cannot be written: one sentence for the user."""


def forget_killed(path: Path | None) -> None:
    """Remove the ready file of a server that does not exist any more (rule 3); leave everything else alone."""
    if path is None:
        return
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        pid = json.loads(path.read_bytes())["pid"]
        # Our own number: in a container every server may be process 1.
        if type(pid) is int and (pid == os.getpid() or (pid > 0 and not Path(f"/proc/{pid}").exists())):
            path.unlink()


@contextlib.contextmanager
def ready_file(path: Path | None, content: Mapping[str, Any]) -> Iterator[None]:
    """`content`, with our pid, is in `path` inside the block. ReadyFileError."""
    if path is None:
        yield
        return
    ours = json.dumps({"pid": os.getpid(), **content}).encode() + b"\n"
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(ours)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise ReadyFileError(f"cannot write the ready file {path}: {error.strerror}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_bytes() == ours:  # inodes are used again: they tell nothing
                path.unlink()
