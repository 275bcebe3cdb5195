"""console: declares how a VM's screen will be reached before it runs (API 1.0); without one the server makes it.

Rule 1: a declared console belongs to the settings of its VM: it stays when the VM stops, and has a location while the
        VM is live. One that the server made goes with the domain (engine/transition.py). A key of other_config tells
        them apart.
"""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.transition import DECLARED, console_location
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.power import PAUSED, RUNNING
from xenapi_core.store.api import Txn


@handles("console.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """HANDLE_INVALID without a VM."""
    vm = values["VM"]
    if is_null(vm):
        raise E.HANDLE_INVALID("VM", vm)
    machine = call.get(vm, "VM")
    ids = call.services.ids
    ref, uuid = ids.ref(), ids.uuid()

    def write(txn: Txn) -> None:
        live = machine["power_state"] in (RUNNING, PAUSED)
        location = console_location(call.world, txn, machine["resident_on"], uuid) if live else ""
        other_config = {**values["other_config"], DECLARED: "true"}
        txn.create("console", ref, {**values, "uuid": uuid, "location": location, "other_config": other_config})

    call.commit(write)
    return ref


@handles("console.destroy")
def destroy(call: CallContext, ref: str) -> None:
    call.commit(lambda txn: txn.delete(ref))
