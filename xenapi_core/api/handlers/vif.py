"""VIF: settings of the traffic that it may carry. Creating, plugging, moving and destroying VIFs are plans of the
engine."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.steps.network_rules import check_allowed, check_tag


def _set_allowed(call: CallContext, ref: str, field: str, value: tuple[str, ...]) -> None:
    check_allowed(field, value)
    call.update(ref, **{field: tuple(dict.fromkeys(value))})


@handles("VIF.set_ipv4_allowed")
def set_ipv4_allowed(call: CallContext, ref: str, value: tuple[str, ...]) -> None:
    _set_allowed(call, ref, "ipv4_allowed", value)


@handles("VIF.set_ipv6_allowed")
def set_ipv6_allowed(call: CallContext, ref: str, value: tuple[str, ...]) -> None:
    _set_allowed(call, ref, "ipv6_allowed", value)


@handles("VIF.add_ipv4_allowed")
def add_ipv4_allowed(call: CallContext, ref: str, value: str) -> None:
    _set_allowed(call, ref, "ipv4_allowed", (*call.get(ref, "VIF")["ipv4_allowed"], value))


@handles("VIF.add_ipv6_allowed")
def add_ipv6_allowed(call: CallContext, ref: str, value: str) -> None:
    _set_allowed(call, ref, "ipv6_allowed", (*call.get(ref, "VIF")["ipv6_allowed"], value))


@handles("VIF.remove_ipv4_allowed")
def remove_ipv4_allowed(call: CallContext, ref: str, value: str) -> None:
    kept = tuple(address for address in call.get(ref, "VIF")["ipv4_allowed"] if address != value)
    call.update(ref, ipv4_allowed=kept)


@handles("VIF.remove_ipv6_allowed")
def remove_ipv6_allowed(call: CallContext, ref: str, value: str) -> None:
    kept = tuple(address for address in call.get(ref, "VIF")["ipv6_allowed"] if address != value)
    call.update(ref, ipv6_allowed=kept)


@handles("VIF.set_locking_mode")
def set_locking_mode(call: CallContext, ref: str, value: str) -> None:
    call.update(ref, locking_mode=value)


# VLAN tags of frames that pass as they are


@handles("VIF.set_trunks")
def set_trunks(call: CallContext, ref: str, value: tuple[int, ...]) -> None:
    """VLAN_TAG_INVALID [tag]."""
    for tag in value:
        check_tag(tag)
    call.update(ref, trunks=tuple(dict.fromkeys(value)))


@handles("VIF.add_trunks")
def add_trunks(call: CallContext, ref: str, value: int) -> None:
    """VLAN_TAG_INVALID [tag]."""
    set_trunks(call, ref, (*call.get(ref, "VIF")["trunks"], value))


@handles("VIF.remove_trunks")
def remove_trunks(call: CallContext, ref: str, value: int) -> None:
    call.update(ref, trunks=tuple(tag for tag in call.get(ref, "VIF")["trunks"] if tag != value))
