"""Device drivers of hosts that have variants: reading the variants of a host, and selecting the one to load.

Rule 1: records follow a rescan; until then a host has none. A selected variant is active after the next boot
        (engine.transition.note_power), as the host itself loads it then.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.drivers.api import DeviceDriver
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.store.api import Txn, Version


def drivers_of(world: World, host: str) -> list[Version]:
    """The driver records of a host."""
    return [driver for driver in world.store.all("Host_driver").values() if driver["host"] == host]


def remove_driver(txn: Txn, driver: str) -> None:
    for variant in txn.related(driver, "variants"):
        txn.delete(variant)
    txn.delete(driver)


@plans("host.rescan_drivers")
@plans("Host_driver.rescan")
def plan_rescan(world: World, host: str) -> Plan:
    """Records for what the host has now. HOST_OFFLINE."""

    async def read(run: Run) -> None:
        with told_as(HOST, About(host=host, operation="rescan drivers")):
            run.results["drivers"] = await run.hypervisor(host).device_drivers()

    def finish(run: Run, txn: Txn) -> None:
        found = {driver.name: driver for driver in run.results["drivers"]}
        known = {record["name"]: record.ref for record in drivers_of(world, host)}
        for name in known.keys() - found.keys():
            remove_driver(txn, known[name])
        for name, driver in found.items():
            _record(world, txn, host, known.get(name), driver)

    return Plan(steps=(Step("read drivers", read),), finish=finish)


def _record(world: World, txn: Txn, host: str, ref: str | None, driver: DeviceDriver) -> None:
    """One driver with its variants, new or as it is now."""
    values: dict[str, Any] = {
        "friendly_name": driver.friendly_name, "type": driver.kind, "description": driver.description,
    }  # fmt: skip
    if ref is None:
        new = {"uuid": world.ids.uuid(), "host": host, "name": driver.name}
        ref = txn.create("Host_driver", world.ids.ref(), {**new, **values})
    else:
        txn.update(ref, **values)
    variants = {txn.get(variant)["name"]: variant for variant in txn.related(ref, "variants")}
    for gone in variants.keys() - {variant.name for variant in driver.variants}:
        txn.delete(variants.pop(gone))
    for variant in driver.variants:
        told = {
            "version": variant.version, "hardware_present": variant.hardware_present, "priority": variant.priority,
            "status": variant.status,
        }  # fmt: skip
        if variant.name in variants:
            txn.update(variants[variant.name], **told)
        else:
            new = {"uuid": world.ids.uuid(), "driver": ref, "name": variant.name}
            variants[variant.name] = txn.create("Driver_variant", world.ids.ref(), {**new, **told})
    txn.update(
        ref,
        active_variant=variants.get(driver.active, NULL_REF),
        selected_variant=variants.get(driver.selected, NULL_REF),
    )


@plans("Host_driver.select")
def plan_select(world: World, driver: str, variant: str) -> Plan:
    """INVALID_VALUE for a variant of another driver; HOST_DRIVER_NO_HARDWARE [variant]; HOST_OFFLINE."""
    record = world.store.get(variant, "Driver_variant")
    if record["driver"] != driver:
        raise E.INVALID_VALUE("variant", variant)
    if not record["hardware_present"]:
        raise E.HOST_DRIVER_NO_HARDWARE(variant)
    return _select(world, driver, variant, record["name"])


@plans("Driver_variant.select")
def plan_select_variant(world: World, variant: str) -> Plan:
    """Host_driver.select for its driver."""
    return plan_select(world, world.store.get(variant, "Driver_variant")["driver"], variant)


@plans("Host_driver.deselect")
def plan_deselect(world: World, driver: str) -> Plan:
    """HOST_OFFLINE."""
    return _select(world, driver, NULL_REF, "")


def _select(world: World, driver: str, variant: str, name: str) -> Plan:
    record = world.store.get(driver, "Host_driver")

    async def tell(run: Run) -> None:
        with told_as(HOST, About(host=record["host"], operation="select driver")):
            await run.hypervisor(record["host"]).select_variant(record["name"], name)

    def finish(run: Run, txn: Txn) -> None:
        if txn.find(driver) is not None:
            txn.update(driver, selected_variant=variant if is_null(variant) or txn.find(variant) else NULL_REF)

    return Plan(steps=(Step("select variant", tell),), finish=finish)
