"""Properties of all services of a host (CIM_Service), and their associations with the host and with what they manage.

Each host of the pool has each service. They all work on the whole pool, through the same dispatcher; a machine is
affected by the services of the host it runs on, or of the coordinator while it runs nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cim_provider import jobs
from cim_provider.mapping.association import Association, Owned
from cim_provider.mapping.rule import OWN_CLASS, Rule, computed, const, field
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.methods.fixed_state import UNCHANGEABLE
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem

if TYPE_CHECKING:
    from xenapi_core.store.api import Version


class HostService(View):
    """The lines shared by all services of a host."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = field("uuid")
    CreationClassName = OWN_CLASS
    Name = OWN_CLASS
    EnabledState = const(5)
    EnabledDefault = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    Started = const(True)

    RequestStateChange = UNCHANGEABLE


def at_once(*methods: int, always: tuple[int, ...] = ()) -> Rule:
    """These values of a SynchronousMethodsSupported property while methods wait for their jobs (jobs.py, rule 5);
    `always`: those of methods that never have one."""

    def listed(host: Subject) -> tuple[int, ...]:
        return (*methods, *always) if _waiting(host) else always

    return computed(listed)


def as_jobs(*methods: int) -> Rule:
    """These values of an AsynchronousMethodsSupported property while methods do not wait."""

    def listed(host: Subject) -> tuple[int, ...]:
        return () if _waiting(host) else methods

    return computed(listed)


def _waiting(host: Subject) -> bool:
    pool = host.only("pool")
    return pool is not None and bool(pool["other_config"].get(jobs.MODE) == jobs.WAIT)


class HostedService(Association, cim="Xen_HostedService", left="Antecedent", right="Dependent"):
    """A host has services."""


class ServiceAffectsElement(
    Association, cim="Xen_ServiceAffectsElement", left="AffectingElement", right="AffectedElement"
):
    """A service manages machines, or what else it is for: switches, pools, metrics."""

    properties = {"ElementEffects": (5,)}


def home_of(pool: Pool, vm: Version) -> tuple[str, ...]:
    """The host a machine runs on; the coordinator while it runs nowhere."""
    host = str(vm.values["resident_on"])
    if pool.find(host) is not None:
        return (host,)
    return tuple(str(record.values["master"]) for record in pool.all("pool").values())


HOME_READS = ("pool", "host")


def machines_of(service: type[View]) -> Owned:
    """A service (left) and the machines at its host (right)."""
    return Owned(service, ComputerSystem, home_of, HOME_READS)
