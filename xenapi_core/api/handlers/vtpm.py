"""VTPM: trusted platform modules of VMs. The state of a module is in a secret of its own, in base64.

Rule 1: a module and its secret come and go together, here and when the VM is destroyed (engine/vtpm_records.py).
"""

from __future__ import annotations

import base64
import binascii

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.vtpm_records import delete_vtpm, new_vtpm
from xenapi_core.errors import E
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.model.passthrough_lifecycle import refuse_vtpm_operation
from xenapi_core.store.api import Version


@handles("VTPM.create")
def create(call: CallContext, vm: str, is_unique: bool) -> str:
    """An empty module. VM_BAD_POWER_STATE unless Halted; VTPM_MAX_AMOUNT_REACHED; VM_IS_TEMPLATE, VM_IS_SNAPSHOT."""
    check_vm_operation(call.store, call.get(vm, "VM"), "create_vtpm")
    made: list[str] = []
    call.commit(lambda txn: made.append(new_vtpm(call.world, txn, vm, is_unique)))
    return made[0]


@handles("VTPM.destroy")
def destroy(call: CallContext, ref: str) -> None:
    """VM_BAD_POWER_STATE unless the VM is Halted."""
    error = refuse_vtpm_operation(call.store, call.get(ref, "VTPM"), "destroy")
    if error is not None:
        raise error
    call.commit(lambda txn: delete_vtpm(txn, ref))


def _secret(call: CallContext, ref: str) -> Version:
    return call.get(call.get(ref, "VTPM")["contents"], "secret")


@handles("VTPM.get_contents")
def get_contents(call: CallContext, ref: str) -> str:
    """In base64, as it was set; empty for a module nobody has used yet."""
    return str(_secret(call, ref)["value"])


@handles("VTPM.set_contents")
def set_contents(call: CallContext, ref: str, contents: str) -> None:
    """INTERNAL_ERROR unless `contents` is base64."""
    try:
        base64.b64decode(contents, validate=True)
    except (binascii.Error, ValueError):
        raise E.INTERNAL_ERROR("the contents of a VTPM are not base64") from None
    call.update(_secret(call, ref).ref, value=contents)


# API 1.0: the settings of clients are those of the secret, which nothing else uses.


@handles("VTPM.get_other_config")
def get_other_config(call: CallContext, ref: str) -> dict[str, str]:
    return dict(_secret(call, ref)["other_config"])


@handles("VTPM.set_other_config")
def set_other_config(call: CallContext, ref: str, value: dict[str, str]) -> None:
    call.update(_secret(call, ref).ref, other_config=value)


@handles("VTPM.get_runtime_properties")
def get_runtime_properties(call: CallContext, ref: str) -> dict[str, str]:
    """Where the back end of the module runs; nothing while that is nowhere."""
    backend = call.store.find(call.get(ref, "VTPM")["backend"])
    return {} if backend is None else {"backend": backend["uuid"]}
