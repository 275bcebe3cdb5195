"""Reads settings of a network interface into a value (given.py has the rules)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cim_provider.mapping.refusal import invalid
from cim_provider.methods.given import Given, pool_named
from cim_provider.methods.setting_terms import UUID
from cim_provider.methods.units import bytes_of
from xenapi_core.bridge.source import Source

_BITS = re.compile(r"bits?/second(?:\*(\d{1,2})\^(\d{1,2}))?\Z")

_MAC = re.compile(r"[0-9a-f]{12}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Nic:
    """A network interface. `rate` in KiB a second, 0 for no limit."""

    network: str | None = None
    mac: str | None = None
    position: str | None = None
    rate: int | None = None
    locked: bool | None = None


def read_nic(given: Given, source: Source) -> Nic:
    pool, network = pool_named(given, source, "network"), None
    wires = given.take("Connection")
    if wires:
        found = [source.by_uuid("network", uuid.lower()) for wire in wires for uuid in UUID.findall(wire or "")]
        networks = [version.ref for version in found if version is not None]
        if len(networks) != 1:
            raise invalid(f"Connection names no network there is: {wires}")
        network = networks[0]
        if pool is not None and pool != network:
            raise invalid("PoolID and Connection name different networks")
    amount = given.take("VirtualQuantity")
    if amount not in (None, 1):
        raise invalid("settings of an interface are about one interface")
    unit = given.take("VirtualQuantityUnits")
    if unit not in (None, "count"):
        raise invalid(f"VirtualQuantityUnits of interfaces is count, not {unit!r}")
    locked = given.take("SourceMACFilteringEnabled")
    return Nic(network or pool, _mac(given), given.take("AddressOnParent"), _rate(given), locked)


def _mac(given: Given) -> str | None:
    text = given.take("Address")
    if not text:
        return None
    plain = re.sub(r"[:-]", "", text)
    if not _MAC.match(plain):
        raise invalid(f"{text} is no hardware address")
    return ":".join(plain[n : n + 2] for n in range(0, 12, 2)).lower()


def _rate(given: Given) -> int | None:
    """KiB a second, as the Xen-API's kbps are: as many whole ones as there are in what is asked, so never more."""
    unit = given.whole("AllocationUnits")
    changed = given.take("AllocationUnits") is not None
    limit = given.take("Limit")
    if limit is None:
        limit = given.whole("Limit") if changed and given.given("Limit") else None
    if limit is None:
        return None
    bits = _BITS.match((unit or "").replace(" ", ""))
    if bits is not None:
        size = int(limit) * (int(bits[1]) ** int(bits[2]) if bits[1] else 1) // 8
    else:
        factor = bytes_of(unit or "count")
        if factor is None:
            raise invalid(f"AllocationUnits {unit!r} is no unit for a rate")
        size = int(limit) * factor
    if 0 < size < 1024:
        raise invalid("the rate of an interface is 1024 bytes a second at least")
    return size // 1024
