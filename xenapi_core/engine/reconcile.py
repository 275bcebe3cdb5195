"""Keeps VM records in agreement with the hypervisors: after a restart, after a failure, and when guests act.

Theory of operation
1. An event is a hint that something changed; before a record is changed, domains() is called.
2. A VM with a claim is left to the operation that claimed it; events of its domain meanwhile are kept and handled when
   the claim is released.
3. What follows an action of the guest itself is what its VM says at that moment: actions_after_shutdown, _reboot,
   _softreboot, _crash. What crashed and is kept (preserve) is a Paused VM, whatever the VM says later.
4. A VM is compared with all hosts at once at start-up: a migration may have ended on either of two.
5. A machine that is gone while its VM names a suspend image that holds its memory was suspended, whatever became of the
   operation that did it; an image that a live VM still names is left over.
6. A host that goes down takes no record with it: its VMs are Halted when it is back without them, when a client resets
   them, or when high availability declares the host lost (ha_failover.py).
7. A protected VM whose guest shut itself down is started again by high availability, unless the pool says otherwise
   (ha_reboot_vm_on_internal_shutdown).
8. A host that comes up activates its processor pools with auto_power_on, beside the first pool.
9. A host that comes up attaches its static disks first, because VMs and other hosts may not use them meanwhile.
10. A host that disconnected its storage before it went down (host.prepare_for_poweroff) connects to it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Container, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from xenapi_core.drivers.api import DomainEvent, DomainState, DriverError, Gone, HostEvent
from xenapi_core.engine.ha_rules import enabled_pool
from xenapi_core.engine.messages import post_vm
from xenapi_core.engine.plan import PLANS, World
from xenapi_core.engine.plans.crash_dumps import CRASHED, RESTARTS, note_dumps, plan_crashed
from xenapi_core.engine.plans.static_disks import plan_attach_again, static_disks
from xenapi_core.engine.plans.vm_power import plan_restart
from xenapi_core.engine.run import Work
from xenapi_core.engine.transition import enter_halted, enter_live, enter_suspended, note_domain, note_guest, note_power
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.infrastructure_lifecycle import DISABLED_UNTIL_REBOOT
from xenapi_core.model.power import PAUSED, RUNNING
from xenapi_core.store.api import Txn, Version

if TYPE_CHECKING:
    from xenapi_core.engine.engine import Engine

log = logging.getLogger(__name__)

ANSWER_WITHIN: Final = 60.0  # seconds of real time a driver has to list its domains

_ACTIONS: Final = {
    Gone.SHUTDOWN: ("actions_after_shutdown", "VM_SHUTDOWN"),
    Gone.REBOOT: ("actions_after_reboot", "VM_REBOOTED"),
    Gone.SOFT_REBOOT: ("actions_after_softreboot", "VM_REBOOTED"),
}


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
    """Compares the records of VMs with the domains of their hosts, and corrects the records."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._news: dict[str, dict[str, DomainEvent]] = {}  # claimed VM -> host -> the last event of its domain there

    @property
    def world(self) -> World:
        return self.engine.world

    async def watch(self, host: str, events: AsyncIterator[DomainEvent | HostEvent]) -> None:
        """Follow a host until its driver closes."""
        async for event in events:
            try:
                if isinstance(event, HostEvent):
                    await self._on_power(host, event.up)
                else:
                    await self._on_event(host, event)
            except Exception:
                log.exception("could not follow an event of a host")

    def has_news(self, vm: str) -> bool:
        return vm in self._news

    async def catch_up(self, vm: str) -> None:
        """Look at what happened to `vm` while it was claimed."""
        for host, event in self._news.pop(vm, {}).items():
            await self._follow(host, vm, event)

    async def compare_all(self) -> None:
        """Compare every VM with what all hosts have; for start-up, when nothing is claimed (rule 4)."""
        hosts = {host: await self._domains(host) for host in list(self.engine.hypervisors)}
        answered = {host: domains for host, domains in hosts.items() if domains is not None}
        txn = self.world.store.begin()
        for host in answered:
            note_power(self.world, txn, host, True)
        self.world.store.commit(txn)
        for host in answered:
            await self._list_dumps(host)
        await self._compare_with(answered)

    async def compare_host(self, host: str) -> bool:
        """Compare the VMs that are, or should be, on one host. Whether it answered."""
        domains = await self._domains(host)
        if domains is not None:
            await self._compare_with({host: domains})
        return domains is not None

    async def note_arrival(self, ref: str, host: str) -> None:
        """Make the record of a VM say what `host` has, which is said to have received it.

        HOST_OFFLINE if the host does not tell; VM_NOT_RESIDENT_HERE if it has no such machine: nothing changes then.
        """
        domains = await self._domains(host) if host in self.engine.hypervisors else None
        if domains is None:
            raise E.HOST_OFFLINE(host)
        vm = self.world.store.get(ref, "VM")
        domain = domains.get(vm["uuid"])
        if domain is None:
            raise E.VM_NOT_RESIDENT_HERE(ref, host)
        txn = self.world.store.begin()
        self._adapt(txn, vm, host, domain)
        txn.update(ref, scheduled_to_be_resident_on=NULL_REF)
        self.world.store.commit(txn)

    async def _compare_with(self, hosts: Mapping[str, Mapping[str, DomainState]]) -> None:
        here = {uuid: (host, domain) for host, domains in hosts.items() for uuid, domain in domains.items()}
        for vm in list(self.world.store.all("VM").values()):
            place = here.pop(vm["uuid"], None)
            if vm["is_control_domain"] or vm["current_operations"]:
                continue
            if place is not None and place[1].crashed and not agrees(vm, *place):
                self._crashed(vm, *place)
                continue
            image, live = self.world.store.find(vm["suspend_VDI"]), vm["power_state"] in (RUNNING, PAUSED)
            saved = place is None and live and vm["resident_on"] in hosts and await self._saved(vm, image)
            txn = self.world.store.begin()
            if place is not None:
                self._adapt(txn, vm, *place)
                txn.update(vm.ref, suspend_VDI=NULL_REF)
            elif saved and image is not None:
                enter_suspended(self.world, txn, vm.ref, image.ref)
            elif live and vm["resident_on"] in hosts:
                enter_halted(self.world, txn, vm.ref)
            self.world.store.commit(txn)
            if image is not None and is_null(self.world.store.get(vm.ref)["suspend_VDI"]):
                self._discard(image)
        for uuid in here:
            log.warning("host has a machine that is no VM of this pool: %s", uuid)

    async def _saved(self, vm: Version, image: Version | None) -> bool:
        """Whether `image` holds the memory of `vm` (rule 5)."""
        if image is None:
            return False
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await self.engine.hypervisors[vm["resident_on"]].saved_in(image["uuid"]) == vm["uuid"]
        except (DriverError, TimeoutError) as error:
            log.warning("a host does not tell what an image holds: %s", error)
            return True  # better a VM that cannot be resumed than memory thrown away

    def _discard(self, image: Version) -> None:
        """Destroy an image that nobody needs any more; it stays visible if that fails."""
        self.engine.start(self.engine.work("VDI.destroy"), lambda world: PLANS["VDI.destroy"](world, image.ref))

    async def _on_power(self, host: str, up: bool) -> None:
        """Record that a host went down or came up, and complete its start (rules 6, 8, 9 and 10). It takes VMs again
        unless it was disabled (host.disable)."""
        record = self.world.store.find(host)
        prepared = record is not None and DISABLED_UNTIL_REBOOT in record["local_database"]
        txn = self.world.store.begin()
        note_power(self.world, txn, host, up)
        self.world.store.commit(txn)
        if up and prepared:
            await self._connect_storage(host)
        if up:
            await self._attach_static_disks(host)
            await self.compare_host(host)
            await self._list_dumps(host)
            await self._divide_processors(host)

    async def _connect_storage(self, host: str) -> None:
        """Connect a host to its storage again (rule 10). What cannot be connected now stays unconnected."""
        for pbd in self.world.store.related(host, "PBDs"):
            task = self.engine.start(self.engine.work("PBD.plug"), partial(PLANS["PBD.plug"], pbd=pbd))
            await asyncio.wait({task}, timeout=ANSWER_WITHIN)
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                log.warning("a host that came up is not connected to a storage repository: %s", error)

    async def _attach_static_disks(self, host: str) -> None:
        """Attach the static disks of a host that came up (rule 9)."""
        if not static_disks(self.world.store, host):
            return
        work = self.engine.work("host.attach_static_vdis")
        task = self.engine.start(work, partial(plan_attach_again, host=host))
        await asyncio.wait({task}, timeout=ANSWER_WITHIN)

    async def _divide_processors(self, host: str) -> None:
        """Activate the processor pools with auto_power_on; deactivate the others, unless started VMs use them (rule 8).
        Pools that are to go free their processors before others take them."""
        store = self.world.store
        pools = [store.get(pool) for pool in store.related(host, "resident_cpu_pools")]
        over = [p for p in pools if p["activated"] and not (p["auto_power_on"] or store.related(p.ref, "started_VMs"))]
        wanted = [p for p in pools if p["auto_power_on"] and not p["activated"]]
        for name, chosen in (("cpu_pool.deactivate", over), ("cpu_pool.activate", wanted)):
            for pool in chosen:
                task = self.engine.start(self.engine.work(name), partial(PLANS[name], ref=pool.ref))
                await asyncio.wait({task}, timeout=ANSWER_WITHIN)

    async def _list_dumps(self, host: str) -> None:
        """What a host that came up saved of its crashes."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                dumps = await self.engine.hypervisors[host].crash_dumps()
        except (DriverError, TimeoutError) as error:
            log.warning("a host does not list its crash dumps: %s", error)
            return
        txn = self.world.store.begin()
        note_dumps(self.world, txn, host, dumps)
        self.world.store.commit(txn)

    async def compare_claimed(self, work: Work) -> None:
        """After a failure: make the claimed VMs' records true, whatever the undoing achieved."""
        for claim in work.claims:
            vm = self.world.store.find(claim.ref)
            if vm is None or vm.cls != "VM":
                continue
            for host in {vm["resident_on"], vm["scheduled_to_be_resident_on"], *work.results.get("hosts", ())}:
                domains = await self._domains(host) if host in self.engine.hypervisors else None
                vm = self.world.store.find(claim.ref)
                if domains is not None and vm is not None and not self._ended(vm, host):
                    txn = self.world.store.begin()
                    self._adapt(txn, vm, host, domains.get(vm["uuid"]))
                    self.world.store.commit(txn)

    def _ended(self, vm: Version, host: str) -> bool:
        """Whether its guest ended by itself there while it was claimed: that is answered when the claim is released."""
        event = self._news.get(vm.ref, {}).get(host)
        return event is not None and (event.gone is not None or (event.state is not None and event.state.crashed))

    async def _on_event(self, host: str, event: DomainEvent) -> None:
        vm = self.world.store.by_uuid("VM", event.uuid)
        if vm is None or vm["is_control_domain"]:
            return
        if vm["current_operations"]:
            self._news.setdefault(vm.ref, {})[host] = event
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
            self._news.setdefault(ref, {})[host] = event
        elif agrees(vm, host, domain):
            if domain is not None:
                self._note_guest(vm, domain)
        elif (domain is None and event.gone is Gone.CRASH) or (domain is not None and domain.crashed):
            self._crashed(vm, host, domain)
        elif domain is None:
            self._on_guest_end(vm, host, event.gone or Gone.SHUTDOWN)
        else:
            txn = self.world.store.begin()
            self._adapt(txn, vm, host, domain)
            self.world.store.commit(txn)

    def _crashed(self, vm: Version, host: str, domain: DomainState | None) -> None:
        """The guest crashed (rule 3). A VM that was not known to be live is kept, too; one that is gone cannot be."""
        answered = vm["actions_after_crash"] != "preserve" and vm["power_state"] in (RUNNING, PAUSED)
        if answered or domain is None:
            work = self.engine.work("VM.crash")
            self.engine.start(work, lambda world: plan_crashed(world, vm.ref, host, vm["domid"]))
            return
        txn = self.world.store.begin()
        self._adapt(txn, vm, host, domain)
        txn.update(vm.ref, suspend_VDI=NULL_REF)
        post_vm(self.world, txn, CRASHED, vm.values)
        self.world.store.commit(txn)

    def _on_guest_end(self, vm: Version, host: str, why: Gone) -> None:
        """The guest ended by itself (rule 3)."""
        field, message = _ACTIONS[why]
        if vm[field] in RESTARTS:
            work = self.engine.work("VM.clean_reboot")
            self.engine.start(work, lambda world: plan_restart(world, vm.ref, host, message))
            return
        txn = self.world.store.begin()
        enter_halted(self.world, txn, vm.ref)
        pool = enabled_pool(self.world.store)
        if why is Gone.SHUTDOWN and pool is not None and not pool["ha_reboot_vm_on_internal_shutdown"]:
            txn.update(vm.ref, ha_always_run=False)
        post_vm(self.world, txn, "VM_SHUTDOWN" if message == "VM_REBOOTED" else message, vm.values)
        self.world.store.commit(txn)

    def _adapt(self, txn: Txn, vm: Version, host: str, domain: DomainState | None) -> None:
        if agrees(vm, host, domain):
            if domain is not None:
                note_domain(self.world, txn, vm.ref, domain)
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
            if isinstance(error, DriverError) and error.kind == "offline":
                txn = self.world.store.begin()
                note_power(self.world, txn, host, False)
                self.world.store.commit(txn)
            return None
