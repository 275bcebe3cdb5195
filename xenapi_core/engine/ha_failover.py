"""High availability at work: detects lost hosts, restarts their VMs on other hosts, and updates the failover plan.

Theory of operation
1. The store's changes drive everything: after one, and GATHER seconds so that changes that come together are looked at
   once, `look` compares the records with what is known here. It never awaits.
2. A host whose heartbeats stop has the time of ha_configuration to come back; then it is lost: it is fenced, its VMs
   are Halted as soon as no operation has them, and another host becomes the coordinator if the lost one was it. A host
   that was shut down is not lost. A host that is up again needs nothing. What runs on a host that does not fence itself
   (ha_member.py, rule 2) may go on running, so the VMs of such a host are left alone.
3. A protected VM that is Halted, for whatever reason, is started: lowest `order` first, those of one order together,
   the next order when each of them has been started and had its start_delay. Then VMs of priority "best-effort" that
   were lost with a host are tried once. Where the protected ones go is decided for all together, so that all fit, and
   anew for each order.
4. A restart that fails causes a message record, and is tried again after RETRY seconds.
5. After a restart of the server the time of hosts that are down begins anew.
6. The coordinator decides, or the member that becomes it. While that host takes no decisions, no host is lost and no VM
   is restarted; what is overdue is done as soon as it may.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine import ha_member
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.ha_plan import targets
from xenapi_core.engine.ha_rules import BEST_EFFORT, enabled_pool, is_waiting, machine_of, serving, situation
from xenapi_core.engine.messages import PRIORITIES, post
from xenapi_core.engine.plan import World
from xenapi_core.engine.plans.ha_switch import SECONDS, TIMEOUT, numbers
from xenapi_core.engine.transition import enter_halted
from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.model.hosts import is_live
from xenapi_core.model.infrastructure_lifecycle import ENABLED, REBOOT, SHUT_DOWN
from xenapi_core.model.power import HALTED, is_guest
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

GATHER: Final = 1.0  # seconds
RETRY: Final = 120.0  # seconds
FENCED_WITHIN: Final = 60.0  # seconds of real time that a driver has to reset a host
FAILOVER: Final = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), originator="high availability")
ON_REQUEST: Final = frozenset({SHUT_DOWN, REBOOT})


async def follow(engine: Engine) -> None:
    """Serve the pool while high availability is on, until cancelled."""
    ha_member.adopt(engine.world.store)
    async with asyncio.TaskGroup() as group:
        failover = Failover(engine, group)
        group.create_task(failover.restart(), name="restarts")
        await failover.watch()


def recount(world: World) -> None:
    """Make the hosts' peers true now, and the pool's numbers while high availability is on."""
    txn = world.store.begin()
    ha_member.show_live_set(world.store, txn)
    pool = enabled_pool(world.store)
    if pool is not None:
        _renumber(world, txn, pool)
    world.store.commit(txn)


def _renumber(world: World, txn: Txn, pool: Version) -> None:
    """The numbers of the pool as they are now, and messages if they are worse than they were."""
    found = numbers(pool, situation(world))
    txn.update(pool.ref, ha_plan_exists_for=found.plan_exists_for, ha_overcommitted=found.overcommitted)
    if found.plan_exists_for < pool["ha_plan_exists_for"]:
        text = f"The failover plan covers {found.plan_exists_for} failures, not {pool['ha_plan_exists_for']}."
        _post(world, txn, "HA_POOL_DROP_IN_PLAN_EXISTS_FOR", "Pool", pool["uuid"], text)
    if found.overcommitted and not pool["ha_overcommitted"]:
        text = f"Protected VMs would stay down after {pool['ha_host_failures_to_tolerate']} host failures."
        _post(world, txn, "HA_POOL_OVERCOMMITTED", "Pool", pool["uuid"], text)


def _post(world: World, txn: Txn, name: str, cls: str, uuid: str, text: str) -> None:
    post(world, txn, name, PRIORITIES[name], cls, uuid, text)


class Failover:
    """Detects lost hosts and restarts their protected VMs. Its tasks belong to `group`."""

    def __init__(self, engine: Engine, group: asyncio.TaskGroup) -> None:
        self.engine = engine
        self._group = group
        self._silent: dict[str, asyncio.Task[None]] = {}  # host that is down -> what waits for it
        self._overdue: set[str] = set()  # hosts that have been silent for too long, and that nobody has given up yet
        self._lost: set[str] = set()
        self._fenced: set[str] = set()  # hosts that were reset, and have not come back yet
        self._best_effort: list[str] = []  # VMs that were lost with a host
        self._again: dict[str, float] = {}  # VM whose restart failed -> when it may be tried again (monotonic)
        self._needed = asyncio.Event()

    @property
    def world(self) -> World:
        return self.engine.world

    async def watch(self) -> None:
        store, seen = self.world.store, 0
        while True:
            await store.wait(seen, None)
            await self.world.clock.sleep(GATHER)
            seen = store.revision
            try:
                self.look()
            except Exception:
                log.exception("the pool could not be looked at: our bug")

    def look(self) -> None:
        """Give up hosts that stay silent, forget those that came back, have restarted what was lost (rules 1 and 2)."""
        pool = enabled_pool(self.world.store)
        if pool is None:
            self._forget()
            recount(self.world)
            return
        for ref, host in self.world.store.all("host").items():
            if is_live(self.world.store, host):
                self._note_up(host)
                if (waiting := self._silent.pop(ref, None)) is not None:
                    waiting.cancel()
            elif ref not in self._silent and ref not in self._lost and not self._is_down_on_request(host):
                patience = 0.0 if ref in self._overdue else float(pool["ha_configuration"].get(TIMEOUT, SECONDS))
                self._silent[ref] = self._group.create_task(self._give_up(ref, patience), name="silent host")
        self._halt(self._lost - self._silent.keys())
        recount(self.world)
        if self._best_effort or any(is_waiting(vm) for vm in self.world.store.all("VM").values()):
            self._needed.set()

    def _is_down_on_request(self, host: Version) -> bool:
        """Whether it was told to go down; or has been told to come up since, so that nothing runs there."""
        if host["requested_state"] != ENABLED:
            return host["requested_state"] in ON_REQUEST
        residents = map(self.world.store.get, self.world.store.related(host.ref, "resident_VMs"))
        return all(vm["is_control_domain"] for vm in residents)

    def _note_up(self, host: Version) -> None:
        """Note that a host is up; a message record reports the boot of one that was fenced."""
        self._lost.discard(host.ref)
        self._overdue.discard(host.ref)
        if host.ref in self._fenced:
            self._fenced.discard(host.ref)
            txn = self.world.store.begin()
            text = f"Host '{host['name_label']}' has reset itself, because nobody heard from it."
            _post(self.world, txn, "HA_HOST_WAS_FENCED", "Host", host["uuid"], text)
            self.world.store.commit(txn)

    def _forget(self) -> None:
        for waiting in self._silent.values():
            waiting.cancel()
        for known in (self._silent, self._overdue, self._lost, self._fenced, self._best_effort, self._again):
            known.clear()

    async def _give_up(self, ref: str, seconds: float) -> None:
        """The host is lost if it stays silent."""
        await self.world.clock.sleep(seconds)
        self._overdue.add(ref)
        try:
            if self._declare_lost(ref):
                await self._fence(ref)
                self._halt((ref,))
        except Exception:
            log.exception("a host could not be given up: our bug")
        finally:
            self._silent.pop(ref, None)

    def _declare_lost(self, ref: str) -> bool:
        """Declare a silent host lost, and choose a new coordinator if it was the coordinator. False if no host may
        decide that (rule 6), or if the host is not silent any more."""
        store = self.world.store
        pool, host = enabled_pool(store), store.find(ref)
        if pool is None or host is None or is_live(store, host):
            return False
        decider = self._successor() if pool["master"] == ref else store.find(pool["master"])
        if decider is None or not ha_member.decides(decider):
            log.warning("a host is silent, and nobody may give it up")
            return False
        self._overdue.discard(ref)
        self._lost.add(ref)
        txn = store.begin()
        _post(self.world, txn, "HA_HOST_FAILED", "Host", host["uuid"], f"Host '{host['name_label']}' has failed.")
        if pool["master"] == ref:
            txn.update(pool.ref, master=decider.ref)
            text = f"Host '{decider['name_label']}' is the coordinator now."
            _post(self.world, txn, "POOL_MASTER_TRANSITION", "Host", decider["uuid"], text)
        store.commit(txn)
        return True

    def _successor(self) -> Version | None:
        """The member that becomes the coordinator: an enabled one if there is one that has the database and may."""
        hosts = serving(self.world.store).values()  # the server of one that joined has no copy of the database
        able = [h for h in hosts if ha_member.decides(h) and not h["joined_from"]]
        return max(able, key=lambda host: bool(host["enabled"]), default=None)

    async def _fence(self, ref: str) -> None:
        """What a host does to itself when nobody hears from it: reset. A host that is off has done that."""
        driver, host = self.engine.hypervisors.get(ref), self.world.store.find(ref)
        if driver is None or host is None or not ha_member.fences_itself(host):
            return
        try:
            async with asyncio.timeout(FENCED_WITHIN):
                await driver.fence()
        except (DriverError, TimeoutError) as error:
            log.info("a lost host was not reset: %s", error)
        else:
            self._fenced.add(ref)

    def _halt(self, hosts: Iterable[str]) -> None:
        """Record VMs of lost hosts as Halted, except those that an operation still has (rule 2)."""
        txn = self.world.store.begin()
        for host in hosts:
            record = self.world.store.find(host)
            if record is None or not ha_member.fences_itself(record):
                continue
            for vm in map(self.world.store.get, self.world.store.related(host, "resident_VMs")):
                if vm["is_control_domain"] or vm["current_operations"]:
                    continue
                enter_halted(self.world, txn, vm.ref)
                if vm["ha_restart_priority"] == BEST_EFFORT:
                    self._best_effort.append(vm.ref)
        self.world.store.commit(txn)

    # Restarts.

    async def restart(self) -> None:
        """Restart protected VMs whenever some are lost, until cancelled (rules 3 and 4)."""
        while True:
            await self._needed.wait()
            self._needed.clear()
            try:
                await self._restart_all()
            except Exception:
                log.exception("VMs could not be restarted: our bug")

    async def _restart_all(self) -> None:
        tried: set[str] = set()
        while self._may_restart() and (vms := self._waiting(tried)):
            now = situation(self.world)
            machines = [machine_of(self.world.store, vm, now.live) for vm in vms]
            places = targets(now, frozenset(), machines)
            lowest = min(vm["order"] for vm in vms)
            rank = [vm.ref for vm in vms if vm["order"] == lowest]
            tried.update(rank)
            await asyncio.gather(*(self._restart_one(ref, places.get(ref)) for ref in rank))
        while self._best_effort and self._may_restart():
            await self._try_best(self._best_effort.pop(0))

    def _may_restart(self) -> bool:
        """Whether high availability is on, the coordinator takes decisions, and restarts are not prevented; if they
        are, they begin when that is over."""
        pool = enabled_pool(self.world.store)
        if pool is None or not ha_member.decides(self.world.store.get(pool["master"], "host")):
            return False
        prevented = pool["ha_restarts_from"] - self.world.clock.now()
        if prevented > 0:
            self._come_back(prevented)
        return bool(prevented <= 0)

    def _waiting(self, tried: set[str]) -> list[Version]:
        """VMs that are to be started now, all but those that were `tried`: what comes while others start comes too."""
        now = self.world.clock.monotonic()
        vms = (vm for vm in self.world.store.all("VM").values() if is_waiting(vm) and vm.ref not in tried)
        return [vm for vm in vms if not vm["current_operations"] and self._again.get(vm.ref, 0.0) <= now]

    async def _restart_one(self, ref: str, host: str | None) -> None:
        vm = self.world.store.find(ref)
        if enabled_pool(self.world.store) is None or vm is None or not is_waiting(vm) or vm["current_operations"]:
            return
        try:
            if host is None:
                await self.engine.perform("VM.start", (ref, False, False), FAILOVER)
            else:
                await self.engine.perform("VM.start_on", (ref, host, False, False), FAILOVER)
        except ApiError as error:
            self._note_failure(vm, error)
            return
        self._again.pop(ref, None)
        if vm["start_delay"] > 0:
            await self.world.clock.sleep(vm["start_delay"])

    def _note_failure(self, vm: Version, error: ApiError) -> None:
        """Schedule another attempt for a VM (rule 4); a message record reports the first of several failures."""
        if self.world.store.find(vm.ref) is None:
            return
        if vm.ref not in self._again:
            txn = self.world.store.begin()
            text = f"VM '{vm['name_label']}' could not be restarted: {error}"
            _post(self.world, txn, "HA_PROTECTED_VM_RESTART_FAILED", "VM", vm["uuid"], text)
            self.world.store.commit(txn)
        self._again[vm.ref] = self.world.clock.monotonic() + RETRY
        self._come_back(RETRY)

    async def _try_best(self, ref: str) -> None:
        vm = self.world.store.find(ref)
        if vm is None or vm["power_state"] != HALTED or vm["ha_restart_priority"] != BEST_EFFORT or not is_guest(vm):
            return
        try:
            await self.engine.perform("VM.start", (ref, False, False), FAILOVER)
        except ApiError as error:
            log.info("a VM of priority best-effort stays down: %s", error.code)

    def _come_back(self, seconds: float) -> None:
        async def wait() -> None:
            await self.world.clock.sleep(seconds)
            self._needed.set()

        self._group.create_task(wait(), name="restarts, later")
