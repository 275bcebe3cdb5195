"""A session with every WBEM operation, as request files in their order, and a small model that answers it.

CONTEXT in a file stands for the name of the enumeration that was opened last: it is random.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path as File

from cim_kit import basic, body_of, post
from cim_repository import RepositoryWorld

from cim_provider.operations.models import load_models

GOLDEN = File(__file__).parent / "wire" / "golden_operations"
NAME = re.compile(rb'<IMETHODCALL NAME="(\w+)"')
CONTEXT = re.compile(rb'(<PARAMVALUE NAME="EnumerationContext" PARAMTYPE="string"><VALUE>)([^<]+)(</VALUE>)')
MODEL = """
class LAB_Thing { [Key, MaxLen(64)] string InstanceID; };
class LAB_Book : LAB_Thing { uint32 Pages = 10; string Notes[]; };
[Association] class LAB_Follows { [Key] LAB_Book REF Before; [Key] LAB_Book REF After; };
instance of LAB_Book as $one { InstanceID = "one"; };
instance of LAB_Book as $two { InstanceID = "two"; Pages = 20; Notes = {"a<b", NULL, ""}; };
instance of LAB_Follows { Before = $one; After = $two; };
"""


class Session:
    """A new server with the model in the namespace lab, and requests to it; users are called by their role."""

    def __init__(self) -> None:
        self.world = RepositoryWorld()
        self.context = b""
        with tempfile.TemporaryDirectory() as folder:
            file = File(folder) / "lab.mof"
            file.write_text(MODEL)
            load_models(self.world.provider, [(file, "lab")])

    def send(self, request: File, role: str) -> bytes:
        """The reply to a request file."""
        body = request.read_bytes().strip().replace(b"CONTEXT", self.context)
        reply = body_of(self.world.send(post(body, operation(request), "lab", authorization=basic(role, "x"))))
        opened = CONTEXT.search(reply)
        self.context = opened[2] if opened else self.context
        return CONTEXT.sub(rb"\1CONTEXT\3", reply)


def requests() -> list[File]:
    return sorted(GOLDEN.glob("*.request.xml"))


def operation(request: File) -> str:
    """The name of the operation in a request file."""
    name = NAME.search(request.read_bytes())
    assert name is not None, request
    return name[1].decode()


def reply_file(request: File) -> File:
    return request.with_name(request.name.replace(".request.", ".reply."))
