"""Shared properties of the services in the Interop namespace, and the coordinator that hosts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cim_provider.mapping.association import Extents, Pairs
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import OWN_CLASS, computed, const
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.methods.fixed_state import UNCHANGEABLE
from cim_provider.profiles.computer_system import HostComputerSystem


def _host(subject: Subject) -> Subject | None:
    """The host that this server speaks for; None while the pool is not set up."""
    pool = subject.only("pool")
    return None if pool is None else pool.follow("master")


def coordinator(subject: Subject) -> str:
    """The uuid of the host that this server speaks for; empty while the pool is not set up."""
    host = _host(subject)
    return "" if host is None else str(host["uuid"])


def server_address(pool: Pool) -> str:
    """The address of that host; empty as long as nobody knows it."""
    host = _host(Subject(pool, None))
    return "" if host is None else str(host["address"])


class InteropService(View):
    """The lines that the services of the server share: they run as long as it does."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = computed(coordinator)
    CreationClassName = OWN_CLASS
    EnabledState = const(2)
    EnabledDefault = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    Started = const(True)

    RequestStateChange = UNCHANGEABLE


def every(view: type[View]) -> Any:
    """All instances of a view, whatever the other end is."""

    def walk(extents: Extents, other: Rendition) -> Iterator[Rendition]:
        return iter(extents.extent(view))

    return walk


def on_host(view: type[View]) -> Pairs:
    """The coordinator hosts the instances of `view`."""

    def hosted(extents: Extents, host: Rendition) -> Iterator[Rendition]:
        return (one for one in extents.extent(view) if one.values["SystemName"] == host.values["Name"])

    def host_of(extents: Extents, hosted: Rendition) -> Iterator[Rendition]:
        hosts = extents.extent(HostComputerSystem)
        return (host for host in hosts if host.values["Name"] == hosted.values["SystemName"])

    return Pairs(HostComputerSystem, view, hosted, host_of)
