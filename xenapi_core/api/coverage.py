"""What of the Xen-API has behaviour here, told by the running code itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xenapi_core.api.registry import HANDLERS
from xenapi_core.engine.plan import PLANS
from xenapi_core.model.schema import Method, Schema

IMPLEMENTED: Final = "implemented"
DERIVED: Final = "derived"
NOT_IMPLEMENTED: Final = "not implemented"
REMOVED: Final = "removed"

# Derived kinds that need behaviour of their own all the same (a constructor has rules that no schema tells).
_NEEDS_BEHAVIOUR = ("create", "destroy")


def status(method: Method) -> str:
    """One of the four words above, for one wire name."""
    if method.message.state == "removed":
        return REMOVED
    if method.wire_name in HANDLERS or method.wire_name in PLANS:
        return IMPLEMENTED
    if method.message.derived and method.message.derived not in _NEEDS_BEHAVIOUR:
        return DERIVED
    return NOT_IMPLEMENTED


def coverage(schema: Schema) -> Mapping[str, Mapping[str, str]]:
    """Class -> message -> status, in schema order."""
    found: dict[str, dict[str, str]] = {name: {} for name in schema.classes}
    for method in schema.methods.values():
        found[method.cls.name][method.message.name] = status(method)
    return found
