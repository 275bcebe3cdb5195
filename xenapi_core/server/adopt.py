"""Brings the simulated hypervisors into the state of the records: at the first start, and after a restart.

Rule 1: the simulator stands for hypervisors that went on running while the manager was away. So every VM whose record
        says Running or Paused is given to its host as a machine that exists already; nothing boots. A host that was
        shut down is off.
Rule 2: what was under way when the manager died is not adopted: a VM that was being started has no domain yet, and
        engine.recover() unwinds its claim.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from xenapi_core.drivers.api import CrashDump, DriverError, GuestState, InterfaceState, PowerState
from xenapi_core.drivers.sim.hypervisor import SimHypervisor
from xenapi_core.drivers.sim.storage_backend import sim_backends
from xenapi_core.drivers.sim.world import SimWorld
from xenapi_core.engine.efi_variables import write_to_disk
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.plans.guest_agent import known_to_guests
from xenapi_core.engine.plans.host_drivers import drivers_of
from xenapi_core.engine.plans.network_scan import CARD_FIELDS
from xenapi_core.engine.specs import attached_spec, domain_spec
from xenapi_core.engine.transition import count_memory
from xenapi_core.ids import is_null
from xenapi_core.model.hosts import is_live, was_heard_from
from xenapi_core.model.infrastructure_lifecycle import SHUT_DOWN
from xenapi_core.store.api import Store, Version

log = logging.getLogger(__name__)


def adopt_pool(store: Store, engine: Engine, world: SimWorld) -> None:
    """Make a host driver for every host that was ever heard from, a storage driver for every SR, and all that is in
    them."""
    for backend in sim_backends(world):
        engine.add_backend(backend)
    for sr in store.all("SR").values():
        adopt_sr(store, engine, world, sr)
    world.contents.keep(vdi["uuid"] for vdi in store.all("VDI").values())
    for host in store.all("host").values():
        if was_heard_from(store, host):
            adopt_host(store, engine, world, host)
    for vm in store.all("VM").values():
        adopt_image(store, world, vm)


def adopt_sr(store: Store, engine: Engine, world: SimWorld, sr: Version) -> None:
    """Make the storage driver of a repository, with all volumes in it and its connections."""
    repository = world.add_storage(sr["uuid"], sr["physical_size"], sr["type"])
    for pbd in map(store.get, store.related(sr.ref, "PBDs")):
        host = store.find(pbd["host"])
        repository.place = dict(pbd["device_config"])
        if host is not None and not sr["shared"] and (pbd["currently_attached"] or not repository.home):
            repository.home = host["uuid"]
        if host is not None and pbd["currently_attached"]:
            repository.connect(host["uuid"], pbd["device_config"])
    for ref in store.related(sr.ref, "VDIs"):
        vdi = store.get(ref)
        repository.preload(vdi["uuid"], vdi["virtual_size"], vdi["physical_utilisation"], vdi["name_label"])
        for user in map(store.find, vdi["static_on"]):
            if user is not None and not _stays_off(store, user):
                repository.hold(vdi["uuid"], user["uuid"])
    engine.add_storage(sr.ref, repository)


def adopt_host(store: Store, engine: Engine, world: SimWorld, host: Version) -> None:
    """Make the driver of a host, with its cards and the machines that run there; its free memory follows from them."""
    metrics, dom0 = store.find(host["metrics"]), store.find(host["control_domain"])
    driver = world.add_host(
        host["uuid"],
        host["hostname"],
        host["address"],
        memory=metrics["memory_total"] if metrics else 0,
        cpus=len(store.related(host.ref, "host_CPUs")),
        reserved=dom0["memory_dynamic_max"] if dom0 else 0,
    )
    pools = _adopt_cpu_pools(store, driver, host)
    for ref in store.related(host.ref, "resident_VMs"):
        vm = store.get(ref)
        if vm["power_state"] not in ("Running", "Paused") or vm["is_control_domain"]:
            continue
        metrics = store.find(vm["metrics"])
        agent = _agent(store, vm)
        try:
            driver.preload(
                replace(attached_spec(store, vm), cpu_pool=pools.get(vm["cpu_pool"], "")),
                PowerState(vm["power_state"]),
                domid=vm["domid"],
                start_time=metrics["start_time"] if metrics else None,
                guest=agent,
                agent=agent is not None,
                vcpus=metrics["VCPUs_number"] if metrics else 0,
                tmem=vm["tmem"],
            )
        except DriverError as error:
            log.warning("VM %s cannot go on running: %s", vm["uuid"], error.text)
    for pif in map(store.get, store.related(host.ref, "PIFs")):
        if pif["physical"]:
            driver.add_interface(_card(store, pif))
    for dump in map(store.get, store.related(host.ref, "crashdumps")):
        driver.dumps[dump["filename"]] = CrashDump(dump["filename"], dump["timestamp"], dump["size"])
    followed = {"ntp_mode": host["ntp_mode"], "ntp_custom_servers": ",".join(host["ntp_custom_servers"])}
    chosen = {name: text for name, text in followed.items() if text not in ("", "Factory")}
    driver.adopt_settings(chosen | known_to_guests(store))
    driver.variants.adopt(
        {
            each["name"]: (_variant(store, each["active_variant"]), _variant(store, each["selected_variant"]))
            for each in drivers_of(engine.world, host.ref)
        }
    )
    driver.up = not _stays_off(store, host)
    engine.add_host(host.ref, driver)
    txn = store.begin()
    count_memory(engine.world, txn, host.ref)
    if is_live(store, host):
        write_to_disk(store, txn, host.ref)
    if dom0 is not None and store.find(dom0["metrics"]) is not None:  # no driver lists it, so nobody else measures it
        memory, now = dom0["memory_dynamic_max"], engine.world.clock.now()
        txn.update(dom0["metrics"], memory_actual=memory, state=("running",), last_updated=now)
    store.commit(txn)


def _stays_off(store: Store, host: Version) -> bool:
    """Whether the host was shut down on request. The coordinator is up: it is where this server runs."""
    off = not is_live(store, host) and host["requested_state"] == SHUT_DOWN
    return off and all(pool["master"] != host.ref for pool in store.all("pool").values())


def _adopt_cpu_pools(store: Store, driver: SimHypervisor, host: Version) -> dict[str, str]:
    """The pools its processors are divided among, the control domain's first; the uuids of their records.

    VMs that run and are said to be in none are in the first: those of a database from before there were pools.
    """
    dom0 = store.find(host["control_domain"])
    active = [pool for pool in map(store.get, store.related(host.ref, "resident_cpu_pools")) if pool["activated"]]
    active.sort(key=lambda pool: dom0 is None or pool.ref != dom0["cpu_pool"])
    if not active:
        return {}
    driver.adopt_cpu_pools(
        {pool["uuid"]: frozenset(store.get(cpu)["number"] for cpu in pool["host_CPUs"]) for pool in active}
    )
    txn = store.begin()
    for vm in store.related(host.ref, "resident_VMs"):
        if store.find(store.get(vm)["cpu_pool"]) is None:
            txn.update(vm, cpu_pool=active[0].ref)
    store.commit(txn)
    return {pool.ref: pool["uuid"] for pool in active}


def _variant(store: Store, ref: str) -> str:
    """The name of a driver's variant, "" for none."""
    record = store.find(ref)
    return str(record["name"]) if record is not None else ""


def adopt_image(store: Store, world: SimWorld, vm: Version) -> None:
    """The memory of a VM that was suspended is where its record says."""
    image = store.find(vm["suspend_VDI"])
    if vm["power_state"] == "Suspended" and image is not None:
        world.preload_image(image["uuid"], domain_spec(store, vm))


def _card(store: Store, pif: Version) -> InterfaceState:
    """The hardware behind the record of a physical interface."""
    metrics = store.find(pif["metrics"])
    known = {name: metrics[name] for name in CARD_FIELDS} if metrics is not None else {}
    return InterfaceState(pif["device"], pif["MAC"], pif["MTU"], **known)


def _agent(store: Store, vm: Version) -> GuestState | None:
    """The report of the guest's agent from before; None if there was none."""
    found = None if is_null(vm["guest_metrics"]) else store.find(vm["guest_metrics"])
    if found is None:
        return None
    return GuestState(dict(found["os_version"]), dict(found["PV_drivers_version"]), dict(found["networks"]))
