"""Requests as clients of API 1.0 write them, byte for byte, and the replies they get (conversations in xend/).

A conversation is a text file: comment lines, then parts that begin with a line `--- NAME`.
1. `--- head DOOR`: the HTTP head of every request, for a listener of the server; Content-Length is added.
2. `--- request` and `--- reply`, in turns: bodies. `{{name}}` in a request stands for what a reply before had there; in
   a reply it takes what is there the first time, and is the same from then on. All else is compared byte by byte.
3. `--- reply eventually`: the request is sent again until this is the reply, for what a task does meanwhile.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_client import DEADLINE, Wire

CONVERSATIONS = sorted((Path(__file__).parent / "xend").glob("*.txt"))
NAME = re.compile(r"\{\{(\w+)\}\}")
INTERVAL = 0.05  # seconds between two tries


@dataclass
class Part:
    kind: str
    option: str
    text: str


def parts(path: Path) -> list[Part]:
    found: list[Part] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("--- "):
            kind, _, option = line.removeprefix("--- ").partition(" ")
            found.append(Part(kind, option, ""))
        elif found:
            found[-1].text += line + "\n"
        else:
            assert not line or line.startswith("#"), f"{path.name}: {line}"
    return found


def ask(server: Any, head: Part, body: str) -> str:
    """The body of the reply. Clients of that time open a connection for each call."""
    data = body.encode("utf-8")
    lines = [*head.text.splitlines(), f"Content-Length: {len(data)}", "", ""]
    with Wire(server, head.option) as wire:
        reply = wire.ask("\r\n".join(lines).encode("ascii") + data)
    assert reply is not None, "the connection was dropped"
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "text/xml"
    return reply.body.decode("utf-8")


def matches(golden: str, reply: str, known: dict[str, str]) -> bool:
    """Whether a reply is the golden one; then its new names are in `known`."""
    pieces = NAME.split(golden.rstrip("\n"))
    pattern, new = "", set()
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            pattern += re.escape(piece)
        elif piece in known:
            pattern += re.escape(known[piece])
        elif piece in new:
            pattern += f"(?P={piece})"
        else:
            new.add(piece)
            pattern += f"(?P<{piece}>[^<]+)"
    match = re.fullmatch(pattern, reply)
    if match is None:
        return False
    known.update(match.groupdict())
    return True


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_a_client_of_api_1_0_gets_the_replies_it_expects(server, path):
    head, *turns = parts(path)
    assert head.kind == "head"
    assert [turn.kind for turn in turns] == ["request", "reply"] * (len(turns) // 2)
    known: dict[str, str] = {}
    for request, golden in zip(turns[::2], turns[1::2], strict=True):
        body = NAME.sub(lambda match: known[match[1]], request.text)
        deadline = time.monotonic() + DEADLINE
        while not matches(golden.text, reply := ask(server, head, body), known):
            assert golden.option == "eventually", f"{body}\nwas answered\n{reply}\nnot\n{golden.text}"
            assert time.monotonic() < deadline, f"{body}\nis still answered\n{reply}"
            time.sleep(INTERVAL)


def test_a_reply_that_differs_in_one_byte_is_no_match():
    known: dict[str, str] = {}
    assert matches("<a>{{x}}</a><b>{{x}}</b>\n", "<a>1</a><b>1</b>", known)
    assert known == {"x": "1"}
    assert not matches("<a>{{x}}</a>", "<a>2</a>", known)
    assert not matches("<a>{{y}}</a><b>{{y}}</b>", "<a>1</a><b>2</b>", known)
    assert not matches("<a>1</a>", "<a>1</a> ", known)
    assert len(CONVERSATIONS) >= 9
