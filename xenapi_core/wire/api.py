"""The interface of Xen-API codecs: bytes to a call, fragments to bytes. No codec knows a socket, store or method.

A fragment is the encoded form of one value (`bytes`). Fragments nest: records are rendered once per version and codec,
and everything larger is made by joining them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from xenapi_core.model.schema import Class
from xenapi_core.model.types import Type


class WireError(Exception):
    """The bytes are no request of this protocol (the HTTP layer answers 500, as xapi does)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request. Params are plain values: str, int, float, bool, list, dict, None; datetimes are their text.

    `id` and `version` ("", "1.0", "2.0") are JSON-RPC's envelope, given back to `success` and `failure`. `notes`: what
    the client wants to find in other_config of the task, each a key and its text.
    """

    method: str
    params: list[Any]
    id: Any = None
    version: str = ""
    notes: tuple[tuple[str, str], ...] = ()


class Codec(Protocol):
    """One wire format. `name` keys the memo of rendered records on a version."""

    name: str
    content_type: str

    def decode(self, body: bytes) -> Call:
        """Raises WireError; ApiError INVALID_VALUE for parameters that are no valid UTF-8."""

    def value(self, type_: Type | None, value: Any) -> bytes:
        """The fragment of an internal value of that type; None is void."""

    def array(self, items: Iterable[bytes]) -> bytes: ...

    def struct(self, members: Iterable[tuple[str, bytes]]) -> bytes: ...

    def integer(self, value: int) -> bytes:
        """A number that travels as a number, not as a string (valid_ref_counts)."""

    def record(self, cls: Class) -> Callable[[Mapping[str, Any]], bytes]:
        """A compiled renderer of records: field name -> internal value, in schema order, internal fields left out."""

    def success(self, call: Call, fragment: bytes) -> bytes: ...

    def success_struct(self, call: Call, members: Iterable[tuple[str, bytes]]) -> bytes:
        """`success(call, struct(members))`, with one copy less of what may be megabytes."""

    def bare(self, call: Call, fragment: bytes) -> bytes:
        """A reply without the Status envelope (system.listMethods)."""

    def failure(self, call: Call | None, description: list[str]) -> bytes:
        """`description` is the code and its parameters."""
