"""Collects the MOF texts of a schema: files and what they include, without compiling them.

Includes are followed here, not by the MOF compiler, so that one hash covers every text and every error names its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path as File

_INCLUDE = re.compile(
    r'^[ \t]*#pragma[ \t]+include[ \t]*\([ \t]*"([^"\n]+)"[ \t]*\)[ \t]*$', re.IGNORECASE | re.MULTILINE
)


class MofError(Exception):
    """A MOF file is missing or wrong; the text is `file:line: sentence`."""


def sources(paths: Iterable[File]) -> list[tuple[File, str]]:
    """Every file of a schema with its text, in the order of compilation.

    Included files come before what else their includer holds; a file that is named twice counts once. MofError for a
    file that cannot be read. A folder stands for its `xencim*.mof`, which includes the others.
    """
    found: dict[File, str] = {}
    reading: set[File] = set()

    def visit(path: File, origin: str) -> None:
        if path in reading:
            return
        reading.add(path)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MofError(f"{origin}: cannot read {path}: {error}") from None
        for match in _INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            visit(path.parent / match[1], f"{path}:{line}")
        found[path] = _INCLUDE.sub("", text)

    for path in paths:
        files = sorted(path.glob("xencim*.mof")) if path.is_dir() else [path]
        if not files:
            raise MofError(f"{path}: there is no xencim*.mof in this folder")
        for file in files:
            visit(file, str(file))
    return list(found.items())
