"""PBD: which host is connected to which storage repository."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.store.api import Version


def _check_device_config(config: dict[str, str]) -> None:
    """VALUE_NOT_SUPPORTED for SRmaster: the server decides that key itself."""
    if "SRmaster" in config:
        raise E.VALUE_NOT_SUPPORTED("device_config", "SRmaster", "This key is for internal use only")


@handles("PBD.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """PBD_EXISTS [sr, host, pbd]; VALUE_NOT_SUPPORTED."""
    sr, host = values["SR"], values["host"]
    _check_device_config(values["device_config"])
    for pbd in map(call.get, call.store.related(sr, "PBDs")):
        if pbd["host"] == host:
            raise E.PBD_EXISTS(sr, host, pbd.ref)
    return call.create("PBD", {**values, "currently_attached": False})


@handles("PBD.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """OPERATION_NOT_ALLOWED while attached."""
    if call.get(ref, "PBD")["currently_attached"]:
        raise E.OPERATION_NOT_ALLOWED("PBD is currently attached")
    call.commit(lambda txn: txn.delete(ref))


@handles("PBD.set_device_config")
def set_device_config(call: CallContext, ref: str, value: dict[str, str]) -> None:
    _check_device_config(value)
    call.update(ref, device_config=value)


@handles("PBD.plug")
def plug(call: CallContext, ref: str) -> None:
    """SR_UNKNOWN_DRIVER where nothing serves the repository; SR_NOT_SHARABLE [sr, host] if another host has it."""
    pbd = call.get(ref, "PBD")
    if pbd["currently_attached"]:
        return
    sr = call.get(pbd["SR"], "SR")
    engine = call.services.engine
    if engine is None or sr.ref not in engine.storages:
        raise E.SR_UNKNOWN_DRIVER(sr["type"])
    if not sr["shared"]:
        for other in map(call.get, call.store.related(sr.ref, "PBDs")):
            if other["currently_attached"]:
                raise E.SR_NOT_SHARABLE(sr.ref, other["host"])
    call.update(ref, currently_attached=True)


def _in_use(call: CallContext, pbd: Version) -> list[str]:
    """VDIs of the repository that a VM on the PBD's host has attached."""
    used = []
    for vdi in call.store.related(pbd["SR"], "VDIs"):
        for vbd in map(call.get, call.store.related(vdi, "VBDs")):
            vm = call.store.find(vbd["VM"])
            if vbd["currently_attached"] and vm is not None and vm["resident_on"] == pbd["host"]:
                used.append(vdi)
                break
    return used


@handles("PBD.unplug")
def unplug(call: CallContext, ref: str) -> None:
    """VDI_IN_USE [vdis] while VMs on that host use disks of the repository."""
    pbd = call.get(ref, "PBD")
    if not pbd["currently_attached"]:
        return
    used = _in_use(call, pbd)
    if used:
        raise E.VDI_IN_USE(*used)
    call.update(ref, currently_attached=False)
