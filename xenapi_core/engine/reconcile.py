"""Keeps VM records true to what the hypervisors have: after a restart, after a failure, and when guests act.

Theory of operation
1. An event is a hint that something changed; before a record is changed, domains() is asked.
2. A VM with a claim is the business of the operation that claimed it; what happens meanwhile is remembered and looked
   at when the claim is released.
3. What a guest did by itself is answered as its VM says: actions_after_shutdown, _reboot, _crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Container
from typing import TYPE_CHECKING, Final

from xenapi_core.drivers.api import DomainEvent, DomainState, DriverError, Gone
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import World
from xenapi_core.engine.plans.vm_power import plan_restart
from xenapi_core.engine.run import Work
from xenapi_core.engine.transition import enter_halted, enter_live, note_guest
from xenapi_core.ids import NULL_REF
from xenapi_core.model.power import PAUSED, RUNNING
from xenapi_core.store.api import Txn, Version

if TYPE_CHECKING:
    from xenapi_core.engine.engine import Engine

log = logging.getLogger(__name__)

ANSWER_WITHIN: Final = 60.0  # seconds of real time a driver has to list its domains

_ACTIONS: Final = {
    Gone.SHUTDOWN: ("actions_after_shutdown", "VM_SHUTDOWN"),
    Gone.REBOOT: ("actions_after_reboot", "VM_REBOOTED"),
    Gone.CRASH: ("actions_after_crash", "VM_CRASHED"),
}
_RESTARTS: Final = frozenset({"restart", "coredump_and_restart", "rename_restart"})


def clear_claims(world: World, txn: Txn, live: Container[str]) -> None:
    """Forget operations that nobody performs any more, and what they reserved."""
    for cls in world.schema.classes.values():
        if "current_operations" not in cls.by_name or cls.name == "task":
            continue
        for version in list(world.store.all(cls.name).values()):
            left = {task: op for task, op in version["current_operations"].items() if task in live}
            txn.update(version.ref, current_operations=left)
            if cls.name == "VM" and not left:
                txn.update(version.ref, scheduled_to_be_resident_on=NULL_REF)
            elif cls.name in ("VBD", "VIF"):
                txn.update(version.ref, reserved=False)


def agrees(vm: Version, host: str, domain: DomainState | None) -> bool:
    """Whether the record says what the host has."""
    if domain is None:
        return vm["resident_on"] != host or vm["power_state"] not in (RUNNING, PAUSED)
    return (vm["power_state"], vm["resident_on"], vm["domid"]) == (str(domain.power_state), host, domain.domid)


class Reconciler:
    """See the module's theory of operation."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._news: dict[str, tuple[str, DomainEvent]] = {}  # claimed VM -> host and the last event of its domain

    @property
    def world(self) -> World:
        return self.engine.world

    async def watch(self, host: str, events: AsyncIterator[DomainEvent]) -> None:
        """Follow a host until its driver closes."""
        async for event in events:
            try:
                await self._on_event(host, event)
            except Exception:
                log.exception("could not follow an event of machine %s", event.uuid)

    def has_news(self, vm: str) -> bool:
        return vm in self._news

    async def catch_up(self, vm: str) -> None:
        """Look at what happened to `vm` while it was claimed."""
        host, event = self._news.pop(vm)
        await self._follow(host, vm, event)

    async def compare_host(self, host: str) -> None:
        """Compare every VM with what the host has; for start-up, when nothing is claimed."""
        domains = await self._domains(host)
        if domains is None:
            return
        txn = self.world.store.begin()
        for vm in list(self.world.store.all("VM").values()):
            if not vm["is_control_domain"]:
                self._adapt(txn, vm, host, domains.pop(vm["uuid"], None))
        self.world.store.commit(txn)
        for uuid in domains:
            log.warning("host has a machine that is no VM of this pool: %s", uuid)

    async def compare_claimed(self, work: Work) -> None:
        """After a failure: make the claimed VMs' records true, whatever the undoing achieved."""
        for claim in work.claims:
            vm = self.world.store.find(claim.ref)
            if vm is None or vm.cls != "VM":
                continue
            for host in {vm["resident_on"], vm["scheduled_to_be_resident_on"], *work.results.get("hosts", ())}:
                domains = await self._domains(host) if host in self.engine.hypervisors else None
                vm = self.world.store.find(claim.ref)
                if domains is not None and vm is not None:
                    txn = self.world.store.begin()
                    self._adapt(txn, vm, host, domains.get(vm["uuid"]))
                    self.world.store.commit(txn)

    async def _on_event(self, host: str, event: DomainEvent) -> None:
        vm = self.world.store.by_uuid("VM", event.uuid)
        if vm is None or vm["is_control_domain"]:
            return
        if vm["current_operations"]:
            self._news[vm.ref] = (host, event)
        else:
            await self._follow(host, vm.ref, event)

    async def _follow(self, host: str, ref: str, event: DomainEvent) -> None:
        """Make the record of an unclaimed VM true, if the event says something else than it."""
        vm = self.world.store.find(ref)
        if vm is None:
            return
        if not agrees(vm, host, event.state):
            await self._compare(host, ref, event)
        elif event.state is not None:
            self._note_guest(vm, event.state)

    async def _compare(self, host: str, ref: str, event: DomainEvent) -> None:
        domains = await self._domains(host)
        vm = self.world.store.find(ref)
        if domains is None or vm is None:
            return
        domain = domains.get(vm["uuid"])
        if vm["current_operations"]:
            self._news[ref] = (host, event)
        elif agrees(vm, host, domain):
            if domain is not None:
                self._note_guest(vm, domain)
        elif domain is None:
            self._gone(vm, host, event.gone or Gone.SHUTDOWN)
        else:
            txn = self.world.store.begin()
            self._adapt(txn, vm, host, domain)
            self.world.store.commit(txn)

    def _gone(self, vm: Version, host: str, why: Gone) -> None:
        """The guest ended by itself (rule 3)."""
        field, message = _ACTIONS[why]
        if vm[field] in _RESTARTS:
            work = self.engine.work("VM.clean_reboot")
            self.engine.start(work, lambda world: plan_restart(world, vm.ref, host, message))
            return
        txn = self.world.store.begin()
        enter_halted(self.world, txn, vm.ref)
        post_vm(self.world, txn, "VM_SHUTDOWN" if why is Gone.REBOOT else message, vm.values)
        self.world.store.commit(txn)

    def _adapt(self, txn: Txn, vm: Version, host: str, domain: DomainState | None) -> None:
        if agrees(vm, host, domain):
            if domain is not None and domain.guest is not None:
                note_guest(self.world, txn, vm.ref, domain.guest)
        elif domain is None:
            enter_halted(self.world, txn, vm.ref)
        else:
            fresh = vm["domid"] != domain.domid and domain.guest is None  # a resumed guest's agent has spoken before
            enter_live(self.world, txn, vm.ref, host, domain, booted=fresh)

    def _note_guest(self, vm: Version, domain: DomainState) -> None:
        present = self.world.store.find(vm["guest_metrics"])
        guest = domain.guest
        if guest is None:
            return
        if present is None or (present["networks"], present["os_version"]) != (guest.networks, guest.os_version):
            txn = self.world.store.begin()
            note_guest(self.world, txn, vm.ref, guest)
            self.world.store.commit(txn)

    async def _domains(self, host: str) -> dict[str, DomainState] | None:
        """What a host has, by uuid; None if it does not say."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return {domain.uuid: domain for domain in await self.engine.hypervisors[host].domains()}
        except (DriverError, TimeoutError) as error:
            log.warning("a host does not list its machines: %s", error)
            return None
