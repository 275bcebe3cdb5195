"""PVS_site, PVS_server: the servers that stream disks to guests, as an administrator declares them.

Rule 1: nothing here asks those servers. Caching what they stream needs a driver that has a cache for it, so there are
        no proxies and no storage for them.
Rule 2: an address belongs to one PVS_server of the whole pool.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E

_LARGEST_PORT: Final = 65535


@handles("PVS_site.introduce")
def introduce(call: CallContext, name_label: str, name_description: str, pvs_uuid: str) -> str:
    """A site without servers."""
    values = {"name_label": name_label, "name_description": name_description, "PVS_uuid": pvs_uuid}
    return call.create("PVS_site", values)


@handles("PVS_site.set_PVS_uuid")
def set_pvs_uuid(call: CallContext, ref: str, value: str) -> None:
    call.update(ref, PVS_uuid=value)


@handles("PVS_site.forget")
def forget(call: CallContext, ref: str) -> None:
    """PVS_SITE_CONTAINS_SERVERS [servers] while it has any."""
    call.get(ref, "PVS_site")
    if servers := call.store.related(ref, "servers"):
        raise E.PVS_SITE_CONTAINS_SERVERS(",".join(servers))
    call.commit(lambda txn: txn.delete(ref))


@handles("PVS_server.introduce")
def introduce_server(
    call: CallContext, addresses: tuple[str, ...], first_port: int, last_port: int, site: str
) -> str:  # fmt: skip
    """HANDLE_INVALID for the site; INVALID_IP_ADDRESS_SPECIFIED unless all are IPv4 addresses, and there is one;
    VALUE_NOT_SUPPORTED for ports; PVS_SERVER_ADDRESS_IN_USE (rule 2)."""
    call.get(site, "PVS_site")
    found = tuple(dict.fromkeys(map(_ipv4, addresses)))
    if not found:
        raise E.INVALID_IP_ADDRESS_SPECIFIED("addresses")
    for name, port in (("first_port", first_port), ("last_port", last_port)):
        if not 1 <= port <= _LARGEST_PORT:
            raise E.VALUE_NOT_SUPPORTED(name, str(port), "It is no UDP port.")
    if last_port < first_port:
        raise E.VALUE_NOT_SUPPORTED("last_port", str(last_port), "It is below the first one.")
    for server in call.store.all("PVS_server").values():
        for address in found:
            if address in server["addresses"]:
                raise E.PVS_SERVER_ADDRESS_IN_USE(address)
    values = {"addresses": found, "first_port": first_port, "last_port": last_port, "site": site}
    return call.create("PVS_server", values)


def _ipv4(address: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        raise E.INVALID_IP_ADDRESS_SPECIFIED("addresses") from None


@handles("PVS_server.forget")
def forget_server(call: CallContext, ref: str) -> None:
    call.get(ref, "PVS_server")
    call.commit(lambda txn: txn.delete(ref))
