"""What a server that has started says of itself: on the start page, and in the ready file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xenapi_core.model.power import is_guest
from xenapi_core.store.api import Store

# In the ready file in any case; null for a listener that is switched off.
_ALWAYS: Final = ("xenapi", "xenapi_tls", "socket", "wbem", "wbem_tls")


@dataclass(frozen=True, slots=True)
class VmLine:
    """One line of the start page's table; `memory` in bytes."""

    name: str
    state: str
    vcpus: int
    memory: int
    host: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What the start page says: the name of the pool, a line of numbers, its VMs, the URLs, the certificate, and who
    may log in. `fingerprint`: "" without TLS."""

    pool: str
    counts: str
    vms: list[VmLine]
    endpoints: dict[str, str]
    fingerprint: str
    self_signed: bool
    account: str
    demo_account: tuple[str, str] | None


def summary_of(
    store: Store,
    *,
    endpoints: dict[str, str],
    fingerprint: str,
    self_signed: bool,
    account: str,
    demo_account: tuple[str, str] | None,
) -> Summary:
    """The summary of the pool as it is now."""
    guests = [vm for vm in store.all("VM").values() if is_guest(vm)]
    running = sum(vm["power_state"] == "Running" for vm in guests)
    numbers = [(len(store.all("host")), "host"), (len(guests), "VM"), (len(store.all("network")), "network")]
    words = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in [*numbers, (len(store.all("SR")), "SR")]]
    words[1] += f" ({running} running)"
    lines = []
    for vm in guests:
        host = store.find(vm["resident_on"])
        name = host["name_label"] if host else ""
        lines.append(VmLine(vm["name_label"], vm["power_state"], vm["VCPUs_max"], vm["memory_static_max"], name))
    (pool,) = store.all("pool").values()
    return Summary(
        pool["name_label"], ", ".join(words), lines, endpoints, fingerprint, self_signed, account, demo_account
    )


def ready_content(
    endpoints: Mapping[str, str], fingerprint: str, hosts: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """The ready file's. `hosts`: the endpoints of hosts that have their own, by uuid."""
    content: dict[str, Any] = {name: endpoints.get(name) for name in _ALWAYS}
    content |= {"tls_fingerprint": fingerprint}
    content |= {"endpoints": hosts} if hosts else {}
    content |= {"nbd": endpoints["nbd"]} if "nbd" in endpoints else {}
    return content
