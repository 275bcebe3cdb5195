"""VIF: what it may carry. Making, plugging and destroying VIFs are plans of the engine."""

from __future__ import annotations

import ipaddress

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E


def _check_addresses(field: str, addresses: tuple[str, ...]) -> None:
    """INVALID_VALUE [field, address] for what is no address of that family."""
    family = ipaddress.IPv4Address if field.startswith("ipv4") else ipaddress.IPv6Address
    for address in addresses:
        try:
            family(address)
        except ValueError:
            raise E.INVALID_VALUE(field, address) from None


def _set_allowed(call: CallContext, ref: str, field: str, value: tuple[str, ...]) -> None:
    _check_addresses(field, value)
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
