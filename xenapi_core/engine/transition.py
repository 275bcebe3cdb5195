"""Record changes when a VM enters a power state: the same for plans, events and recovery.

Rule 1: nobody else writes power_state, resident_on, domid, or currently_attached of all devices of a VM.
Rule 2: these functions write into a transaction and decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xenapi_core.drivers.api import DomainState, GuestState
from xenapi_core.engine.efi_variables import write_to_disk
from xenapi_core.engine.ha_member import note_boot
from xenapi_core.engine.host_memory import memory_free
from xenapi_core.engine.network_records import attach_network
from xenapi_core.engine.plan import Claim, World
from xenapi_core.engine.pool_trust import catch_up
from xenapi_core.engine.specs import device_name, domain_type
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.infrastructure_lifecycle import DISABLED_UNTIL_REBOOT, HOST_ASKS_FOR, SHUT_DOWN
from xenapi_core.model.lifecycle import ASKS_FOR, NEVER_ASKED, NOT_ASKED, REFUSED_STATE
from xenapi_core.model.power import HALTED, RUNNING, SUSPENDED
from xenapi_core.store.api import Txn

# Key of host.other_config, while host.disable was called with auto_enable=false: a boot does not enable the host.
STAYS_DISABLED = "stays_disabled"

# Key of console.other_config: a client declared the console (API 1.0), so it stays when the VM stops.
DECLARED = "declared"

# Names of operations mean the same on VMs and hosts.
_ASKS_FOR = {**ASKS_FOR, **HOST_ASKS_FOR}

# What the tools of a guest say they can do (VM_guest_metrics.other), once they have spoken.
AGENT_FEATURES = {
    f"feature-{name}": "1"
    for name in ("poweroff", "reboot", "shutdown", "static-ip-setting", "suspend", "vcpu-hotplug")
}

# RequestedState (CIM) -> whether high availability keeps a VM of priority "restart" running from then on.
_ALWAYS_RUN = {2: True, 3: False, 4: False, 6: False}

_DISPLAY_AFTER_BOOT = {"disable_on_reboot": "disabled", "enable_on_reboot": "enabled"}


def enter_halted(world: World, txn: Txn, vm: str) -> None:
    """The VM has no domain and no saved memory (API reference, "Entering Halted")."""
    host = txn.get(vm, "VM")["resident_on"]
    for field in ("VBDs", "VIFs"):
        for device in txn.related(vm, field):
            txn.update(device, currently_attached=False, reserved=False, current_operations={})
    _leave(txn, vm, HALTED)
    txn.update(
        vm,
        power_state=HALTED,
        resident_on=NULL_REF,
        scheduled_to_be_resident_on=NULL_REF,
        domid=-1,
        cpu_pool=NULL_REF,
        tmem={},
        requires_reboot=False,
        suspend_VDI=NULL_REF,
    )
    _remove_consoles(txn, vm)
    _metrics(world, txn, vm, memory_actual=0, VCPUs_number=0, state=("halted",), current_domain_type="unspecified")
    count_memory(world, txn, host)


def enter_suspended(world: World, txn: Txn, vm: str, image: str) -> None:
    """The VM's memory is in VDI `image`; its devices stay its own."""
    host = txn.get(vm, "VM")["resident_on"]
    _leave(txn, vm, SUSPENDED)
    txn.update(
        vm,
        power_state=SUSPENDED,
        resident_on=NULL_REF,
        scheduled_to_be_resident_on=NULL_REF,
        domid=-1,
        cpu_pool=NULL_REF,
        tmem={},
        suspend_VDI=image,
    )
    _remove_consoles(txn, vm)
    _metrics(world, txn, vm, memory_actual=0, state=("suspended",))
    count_memory(world, txn, host)


def attach_to_memory(txn: Txn, vm: str) -> None:
    """A VM begins Suspended, with memory of another one: all its devices are part of that, and come back with it."""
    for device in (*txn.related(vm, "VBDs"), *txn.related(vm, "VIFs")):
        txn.update(device, currently_attached=True)


def enter_live(world: World, txn: Txn, vm: str, host: str, domain: DomainState, booted: bool = True) -> None:
    """The VM is what `domain` says, on `host`. `booted`: this is a fresh boot, so the guest has told nothing yet."""
    values = txn.get(vm, "VM")
    before = values["resident_on"]
    pool = world.store.by_uuid("cpu_pool", domain.cpu_pool)
    _leave(txn, vm, str(domain.power_state))
    txn.update(
        vm,
        power_state=str(domain.power_state),
        resident_on=host,
        scheduled_to_be_resident_on=NULL_REF,
        domid=domain.domid,
        cpu_pool=pool.ref if pool is not None else NULL_REF,
        tmem=dict(domain.tmem),
        suspend_VDI=NULL_REF,
        requires_reboot=False,
    )
    places = {disk.uuid: disk.position for disk in domain.disks}
    nics = {nic.uuid for nic in domain.nics}
    for vbd in txn.related(vm, "VBDs"):
        known = txn.get(vbd)
        here = known["uuid"] in places
        # Where the machine has it: userdevice may have changed since it was built, and is for the next boot.
        device = device_name(places[known["uuid"]]) if here else known["device"]
        txn.update(vbd, currently_attached=here, reserved=False, device=device)
    for vif in txn.related(vm, "VIFs"):
        known = txn.get(vif)
        here = known["uuid"] in nics
        txn.update(vif, currently_attached=here, reserved=False)
        if here and not is_null(known["network"]):
            attach_network(txn, known["network"], host)
    note_domain(world, txn, vm, domain)
    if booted and not is_null(values["guest_metrics"]):
        txn.delete(values["guest_metrics"])
        txn.update(vm, guest_metrics=NULL_REF)
    if domain.guest is not None:
        note_guest(world, txn, vm, domain.guest)
    _add_console(world, txn, vm, host)
    count_memory(world, txn, host)
    if before != host:
        count_memory(world, txn, before)


def switch(world: World, txn: Txn, vm: str, state: str) -> None:
    """The VM's domain was paused or unpaused."""
    _leave(txn, vm, state)
    txn.update(vm, power_state=state)
    _metrics(world, txn, vm, state=("running",) if state == RUNNING else ("paused",))


def note_request(txn: Txn, claims: Iterable[Claim]) -> None:
    """The operations of these claims were asked for and have succeeded: VMs and hosts remember which state that was,
    and VMs whether they shall run (ha_rules.py, rule 1).
    A host is Disabled when it is empty and takes no VMs: evacuating an enabled one asks for no state."""
    for claim in claims:
        code, values = _ASKS_FOR.get(claim.operation), txn.find(claim.ref)
        if code is None or values is None or "requested_state" not in values:
            continue
        if claim.operation != "evacuate" or not values["enabled"]:
            txn.update(claim.ref, requested_state=code)
            if REFUSED_STATE in values["other_config"]:
                kept = {key: value for key, value in values["other_config"].items() if key != REFUSED_STATE}
                txn.update(claim.ref, other_config=kept)
        if code in _ALWAYS_RUN and "ha_always_run" in values:
            txn.update(claim.ref, ha_always_run=_ALWAYS_RUN[code] and values["ha_restart_priority"] == "restart")


def _leave(txn: Txn, vm: str, state: str) -> None:
    """A VM enters a power state. If a client requested it, `note_request` overrides this (Engine._finish)."""
    values = txn.get(vm, "VM")
    if values["power_state"] != state and values["requested_state"] != NEVER_ASKED:
        txn.update(vm, requested_state=NOT_ASKED)


def note_domain(world: World, txn: Txn, vm: str, domain: DomainState) -> None:
    """Record the state of the VM's domain from the hypervisor. Most of it is not journalled: it is read again at each
    start."""
    kind = domain_type(txn.get(vm, "VM"))
    _metrics(
        world,
        txn,
        vm,
        memory_actual=domain.memory_actual,
        VCPUs_number=domain.vcpus,
        start_time=domain.start_time,
        state=("running",) if domain.power_state == RUNNING else ("paused",),
        current_domain_type=kind,
        hvm=kind == "hvm",
    )


def note_memory(world: World, txn: Txn, vm: str, memory: int) -> None:
    """The balloon has reached `memory` bytes."""
    _metrics(world, txn, vm, memory_actual=memory)


def note_vcpus(world: World, txn: Txn, vm: str, count: int) -> None:
    """Processors were plugged in or out."""
    _metrics(world, txn, vm, VCPUs_number=count)


def note_power(world: World, txn: Txn, host: str, up: bool) -> None:
    """A host is up or down. One that has come up takes VMs, unless it was disabled for good (host.disable).

    It has left the state it was asked to be in, if that was another one; who asked for this has the last word
    (`note_request`). Its other_config says when it came up, in seconds since 1970: clients that restart hosts wait for
    an agent_start_time later than the one they knew.
    """
    values = txn.find(host)
    metrics = txn.find(values["metrics"]) if values is not None else None
    if values is None or metrics is None or metrics["live"] == up:
        return
    txn.update(values["metrics"], live=up, last_updated=world.clock.now())
    if up:
        note_boot(world.store, txn, host)
        local = {key: text for key, text in txn.get(host)["local_database"].items() if key != DISABLED_UNTIL_REBOOT}
        display = _DISPLAY_AFTER_BOOT.get(values["display"], values["display"])
        enabled = values["other_config"].get(STAYS_DISABLED) != "true" or values["enabled"]
        since = dict.fromkeys(("boot_time", "agent_start_time"), f"{world.clock.now()}.")
        other_config = {**values["other_config"], **since}
        txn.update(host, enabled=enabled, display=display, other_config=other_config, local_database=local)
        write_to_disk(world.store, txn, host)
        catch_up(world.store, txn, host)
        for driver in world.store.all("Host_driver").values():
            if driver["host"] == host:
                txn.update(driver.ref, active_variant=driver["selected_variant"])
    if values["requested_state"] == SHUT_DOWN or (not up and values["requested_state"] != NEVER_ASKED):
        txn.update(host, requested_state=NOT_ASKED)


def note_guest(world: World, txn: Txn, vm: str, guest: GuestState) -> None:
    """Write the report of the guest's agent to VM_guest_metrics."""
    report = {
        "os_version": guest.os_version,
        "PV_drivers_version": guest.pv_drivers_version,
        "PV_drivers_up_to_date": bool(guest.pv_drivers_version),
        "PV_drivers_detected": bool(guest.pv_drivers_version),
        "networks": guest.networks,
        "live": True,
        "last_updated": world.clock.now(),
    }
    present = txn.get(vm, "VM")["guest_metrics"]
    if txn.find(present) is not None:
        txn.update(present, **report)
        return
    ref = world.ids.ref()
    txn.create("VM_guest_metrics", ref, {"uuid": world.ids.uuid(), "other": dict(AGENT_FEATURES), **report})
    txn.update(vm, guest_metrics=ref)


def new_metrics(world: World, txn: Txn, **values: Any) -> str:
    """A fresh VM_metrics record."""
    ref = world.ids.ref()
    txn.create("VM_metrics", ref, {"uuid": world.ids.uuid(), "last_updated": world.clock.now(), **values})
    return ref


def _metrics(world: World, txn: Txn, vm: str, **values: Any) -> None:
    ref = txn.get(vm, "VM")["metrics"]
    if txn.find(ref) is None:
        ref = new_metrics(world, txn)
        txn.update(vm, metrics=ref)
    txn.update(ref, last_updated=world.clock.now(), **values)


def _add_console(world: World, txn: Txn, vm: str, host: str) -> None:
    """A live VM has a graphical console on its host; consoles a client declared get a location."""
    present = txn.related(vm, "consoles")
    if not present:
        ref = world.ids.ref()
        values = {"uuid": world.ids.uuid(), "protocol": "rfb", "VM": vm, "location": ""}
        present = (txn.create("console", ref, values),)
    for console in present:
        txn.update(console, location=console_location(world, txn, host, txn.get(console)["uuid"]))


def console_location(world: World, txn: Txn, host: str, uuid: str) -> str:
    """Where the console `uuid` of a VM that is live on `host` can be reached."""
    return f"{world.reach(txn.get(host, 'host')['address'])}/console?uuid={uuid}"


def place_consoles(world: World) -> None:
    """Say in the records of all consoles where they are now: the server's address or port is another one."""
    txn = world.store.begin()
    for console in list(world.store.all("console").values()):
        vm = world.store.find(console["VM"])
        if console["location"] and vm is not None and world.store.find(vm["resident_on"]) is not None:
            txn.update(console.ref, location=console_location(world, txn, vm["resident_on"], console["uuid"]))
    world.store.commit(txn)


def _remove_consoles(txn: Txn, vm: str) -> None:
    for console in txn.related(vm, "consoles"):
        if txn.get(console)["other_config"].get(DECLARED) == "true":
            txn.update(console, location="")
        else:
            txn.delete(console)


def count_memory(world: World, txn: Txn, host: str) -> None:
    """Free memory of a host, after the change this transaction makes."""
    values = txn.find(host)
    if values is not None and txn.find(values["metrics"]) is not None:
        free = memory_free(txn.find, txn.related, host)
        txn.update(values["metrics"], memory_free=max(0, free), last_updated=world.clock.now())
