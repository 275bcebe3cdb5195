"""PBD: records of connections. Plugging and unplugging are plans of the engine."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.steps.sr_records import check_device_config
from xenapi_core.errors import E
from xenapi_core.model.infrastructure_lifecycle import check_sr_operation


@handles("PBD.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """VALUE_NOT_SUPPORTED; OTHER_OPERATION_IN_PROGRESS on the SR; PBD_EXISTS [sr, host, pbd]."""
    sr, host = values["SR"], values["host"]
    check_device_config(values["device_config"])
    check_sr_operation(call.store, call.get(sr, "SR"), "pbd_create")
    for pbd in map(call.get, call.store.related(sr, "PBDs")):
        if pbd["host"] == host:
            raise E.PBD_EXISTS(sr, host, pbd.ref)
    return call.create("PBD", {**values, "currently_attached": False})


@handles("PBD.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """OPERATION_NOT_ALLOWED while attached; OTHER_OPERATION_IN_PROGRESS on the SR."""
    pbd = call.get(ref, "PBD")
    if pbd["currently_attached"]:
        raise E.OPERATION_NOT_ALLOWED("PBD is currently attached")
    sr = call.store.find(pbd["SR"])
    if sr is not None:
        check_sr_operation(call.store, sr, "pbd_destroy")
    call.commit(lambda txn: txn.delete(ref))


@handles("PBD.set_device_config")
def set_device_config(call: CallContext, ref: str, value: dict[str, str]) -> None:
    """Set the configuration that the next plug connects with. VALUE_NOT_SUPPORTED."""
    check_device_config(value)
    call.update(ref, device_config=value)
