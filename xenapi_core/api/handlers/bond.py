"""Bond: setting the mode and its properties. Creating and destroying bonds are plans of the engine."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.plans.network_bond import check_property, with_defaults
from xenapi_core.errors import ApiError


def _fits(mode: str, name: str, value: str) -> bool:
    try:
        check_property(mode, name, value)
    except ApiError:
        return False
    return True


@handles("Bond.set_mode")
def set_mode(call: CallContext, ref: str, value: str) -> None:
    """Properties that the new mode does not have are dropped, and it begins with its defaults for the others."""
    old = call.get(ref, "Bond")["properties"]
    kept = {name: text for name, text in old.items() if _fits(value, name, text)}
    call.update(ref, mode=value, properties=with_defaults(value, kept))


@handles("Bond.set_property")
def set_property(call: CallContext, ref: str, name: str, value: str) -> None:
    """INVALID_VALUE ["properties", "name = value"]."""
    bond = call.get(ref, "Bond")
    check_property(bond["mode"], name, value)
    call.update(ref, properties={**bond["properties"], name: value})
