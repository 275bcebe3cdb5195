"""CIM values in the provider: paths, instances, and the Python form of each CIM type.

string, char16: str. Integers: int. real32/64: float. boolean: bool. datetime: the 25-character string of DSP0004.
reference: Path. Embedded instance: Instance; embedded class: CimClass (graph.py). Arrays: tuple. NULL: None.
Names are compared without regard to case; inside the program they always have the schema's spelling (the decoder sees
to that), so plain equality works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xenapi_core.errors import ApiError


class CimError(Exception):
    """A CIM status (DSP0200 clause 5.2.x) with its text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text

    @classmethod
    def from_api(cls, error: ApiError) -> CimError:
        return cls(error.row.cim, str(error))


FAILED, ACCESS_DENIED, INVALID_NAMESPACE, INVALID_PARAMETER, INVALID_CLASS, NOT_FOUND, NOT_SUPPORTED = range(1, 8)
CLASS_HAS_CHILDREN, CLASS_HAS_INSTANCES, INVALID_SUPERCLASS, ALREADY_EXISTS, NO_SUCH_PROPERTY = range(8, 13)
TYPE_MISMATCH = 13
QUERY_LANGUAGE_NOT_SUPPORTED, INVALID_QUERY, METHOD_NOT_AVAILABLE, METHOD_NOT_FOUND = range(14, 18)
NAMESPACE_NOT_EMPTY, INVALID_ENUMERATION_CONTEXT = 20, 21
INVALID_OPERATION_TIMEOUT, PULL_HAS_BEEN_ABANDONED, PULL_CANNOT_BE_ABANDONED = 22, 23, 24
FILTERED_ENUMERATION_NOT_SUPPORTED = 25
CONTINUATION_ON_ERROR_NOT_SUPPORTED, SERVER_LIMITS_EXCEEDED, SERVER_IS_SHUTTING_DOWN = 26, 27, 28
QUERY_FEATURE_NOT_SUPPORTED = 29


# The namespaces of the server, and other names under which clients look for them: the Interop namespace (DSP1033), and
# what clients of libvirt-cim know.
CIMV2, INTEROP = "root/cimv2", "interop"
_ALIASES = {"root/interop": INTEROP, "root/virt": CIMV2}


def canonical_namespace(name: str) -> str:
    """The one spelling of a namespace name: no outer slashes, lower case (DSP0004: case is ignored), no alias."""
    plain = "/".join(part for part in name.lower().split("/") if part)
    return _ALIASES.get(plain, plain)


@dataclass(frozen=True, slots=True)
class Path:
    """An object path. `keys` are sorted by name; values are str, int, bool or Path. A class path has keys None."""

    classname: str
    keys: tuple[tuple[str, Any], ...] | None = ()
    namespace: str = ""
    host: str = ""

    @classmethod
    def of(cls, classname: str, keys: Mapping[str, Any], namespace: str = "", host: str = "") -> Path:
        return cls(classname, tuple(sorted(keys.items())), namespace, host)

    def key(self, name: str) -> Any:
        """The value of a key; None if the path has none of that name."""
        return dict(self.keys or ()).get(name)


@dataclass(slots=True)
class Instance:
    """An instance with some of its properties; `path` may be None for embedded ones."""

    classname: str
    values: dict[str, Any]
    path: Path | None = None
    types: dict[str, str] = field(default_factory=dict)  # as received, for embedded instances of unknown classes


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of an extrinsic call as it came: the value (None for NULL, tuple for an array, Instance for an
    embedded one), its CIM type ("" when neither the client nor the schema tells one), and whether it was embedded."""

    value: Any
    type: str = ""
    embedded: bool = False
