"""Logging: one line per record, without secrets, and short ids that connect an INTERNAL_ERROR with its log entry.

Rule 1: nobody logs parameters, headers or bodies of requests. `mask` is a last line of defence for what slips through
        in exception texts, never the reason why a secret is not in the log.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import IO

MASK = "***"

_SECRETS = (
    # A reference right behind the word session: sessions are bearer tokens, other references are useful in a log.
    re.compile(r"(session\w*\W{1,6})OpaqueRef:[0-9A-Fa-f-]+", re.IGNORECASE),
    re.compile(
        r"""((?:password|passwd|pwd|secret)\w*["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s,;&)}\]]+)""", re.IGNORECASE
    ),
    re.compile(r"(\b(?:Basic|Bearer)\s+)[A-Za-z0-9+/=._-]{4,}"),
)


def mask(text: str) -> str:
    """`text` with what looks like a session reference, a password or HTTP credentials replaced."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


class LineFormatter(logging.Formatter):
    """`2026-01-01T00:00:00Z LEVEL logger: message`, on one line whatever the message or a traceback holds."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        text = mask(super().format(record))
        return (
            text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")
            if "\n" in text or "\r" in text
            else text
        )


class _Handler(logging.StreamHandler[IO[str]]):
    """Marks the handler that `setup` installed, so that a second call replaces it."""


def setup(level: int | str = "INFO", stream: IO[str] | None = None) -> logging.Handler:
    """Send the records of the whole program to `stream` (default: standard error). Returns the handler it installed."""
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    handler = _Handler(stream)
    handler.setFormatter(LineFormatter())
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def incident(log: logging.Logger, what: str, error: BaseException | None = None) -> str:
    """Write a defect of the server to `log`: what failed, and the traceback of `error`, under a new short id.

    Returns the id: a client gets it and the kind of failure, and nothing else.
    """
    number = secrets.token_hex(4)
    log.error("incident %s: %s", number, what, exc_info=error)
    return number
