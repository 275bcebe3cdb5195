"""Secure boot: the certificates that a pool has for the firmware of its VMs, and the state of each VM's firmware.

Rule 1: the firmware is what VM.NVRAM holds (engine/efi_variables.py); when the VM first boots, it takes the keys that
        its host has on its disk.
Rule 2: VM.secureboot_certificates_state is settled where keys change: here, and at a boot.
"""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine import efi_variables as efi
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live, is_live
from xenapi_core.model.lifecycle import check_vm_operation
from xenapi_core.store.api import Txn


@handles("pool.set_custom_uefi_certificates")
def set_custom_uefi_certificates(call: CallContext, ref: str, value: str) -> None:
    """These are in use from now on, and on the disks of all hosts that are up; "": none. INVALID_VALUE for what is no
    base64 tar archive of signed keys."""
    try:
        keys = efi.pool_keys(value)
    except ValueError as error:
        raise E.INVALID_VALUE("custom_uefi_certificates", str(error)) from error

    def write(txn: Txn) -> None:
        txn.update(ref, custom_uefi_certificates=value, uefi_certificates=value)
        for host in call.store.all("host").values():
            if is_live(call.store, host):
                efi.write_to_disk(call.store, txn, host.ref)
        for vm in call.store.all("VM").values():
            state = vm["secureboot_certificates_state"]
            if not efi.outdated(vm, keys):
                state = "ok"
            elif state == "ok":
                state = "update_available"
            if state != vm["secureboot_certificates_state"]:
                txn.update(vm.ref, secureboot_certificates_state=state)

    call.get(ref, "pool")
    call.commit(write)


@handles("pool.set_uefi_certificates")
def set_uefi_certificates(call: CallContext, ref: str, value: str) -> None:
    """OPERATION_NOT_ALLOWED, always: only an administrator's own certificates can be set."""
    raise E.OPERATION_NOT_ALLOWED("pool.set_custom_uefi_certificates sets certificates now")


@handles("host.set_uefi_certificates")
def set_host_uefi_certificates(call: CallContext, ref: str, value: str) -> None:
    """OPERATION_NOT_ALLOWED, always: certificates belong to the pool."""
    raise E.OPERATION_NOT_ALLOWED("pool.set_custom_uefi_certificates sets certificates now")


@handles("host.write_uefi_certificates_to_disk")
def write_uefi_certificates_to_disk(call: CallContext, ref: str) -> None:
    """Firmware that runs on the host for the first time takes the pool's certificates from now on. HOST_OFFLINE."""
    check_live(call.store, ref)
    call.commit(lambda txn: efi.write_to_disk(call.store, txn, ref))


@handles("pool.get_guest_secureboot_readiness")
def get_guest_secureboot_readiness(call: CallContext, ref: str) -> str:
    """ready: the pool has PK, KEK, db and dbx; ready_no_dbx: all but the last; else not_ready."""
    names = set(efi.pool_keys(call.get(ref, "pool")["uefi_certificates"]))
    return _ready(names) or "not_ready"


def _ready(names: set[str]) -> str | None:
    if not {"PK", "KEK", "db"} <= names:
        return None
    return "ready" if "dbx" in names else "ready_no_dbx"


@handles("VM.get_secureboot_readiness")
def get_secureboot_readiness(call: CallContext, ref: str) -> str:
    """not_supported without EFI firmware; disabled unless platform:secureboot asks for it; first_boot before the
    firmware ever ran; setup_mode without PK; then as for the pool, or certs_incomplete."""
    vm = call.get(ref, "VM")
    if not efi.is_uefi(vm):
        return "not_supported"
    if vm["platform"].get("secureboot", "false") == "false":
        return "disabled"
    if not vm["NVRAM"].get(efi.NVRAM_KEY):
        return "first_boot"
    names = {variable.key for variable in efi.variables_of(vm) if variable.key is not None}
    if "PK" not in names:
        return "setup_mode"
    return _ready(names) or "certs_incomplete"


@handles("VM.set_uefi_mode")
def set_uefi_mode(call: CallContext, ref: str, mode: str) -> str:
    """setup: without a platform key; user: with the pool's keys. Tells which keys the firmware has then.

    OPERATION_NOT_ALLOWED without EFI firmware, and for user mode in a pool without a platform key; VM_BAD_POWER_STATE
    unless Halted, as for every change of VM.NVRAM.
    """
    vm = call.get(ref, "VM")
    check_vm_operation(call.store, vm, "changing_NVRAM")
    if not efi.is_uefi(vm):
        raise E.OPERATION_NOT_ALLOWED("the VM has no EFI firmware")
    if mode == "setup":
        keys = {variable.name: variable for variable in efi.variables_of(vm) if variable.key not in (None, "PK")}
    else:
        pool = next(iter(call.store.all("pool").values()))
        keys = efi.pool_keys(pool["uefi_certificates"])
        if "PK" not in keys:
            raise E.OPERATION_NOT_ALLOWED("the pool has no certificate for the platform key")
    call.update(ref, NVRAM=efi.with_keys(vm, keys), secureboot_certificates_state="ok")
    return f"{mode} mode; keys: {', '.join(keys) or 'none'}"


@handles("VM.update_secureboot_certificates_on_boot")
def update_secureboot_certificates_on_boot(call: CallContext, ref: str, mark: bool) -> None:
    """OPERATION_NOT_ALLOWED if the pool has no other keys than the VM's firmware."""
    vm = call.get(ref, "VM")
    if vm["secureboot_certificates_state"] == "ok":
        raise E.OPERATION_NOT_ALLOWED("there are no new secure boot certificates for the VM")
    call.update(ref, secureboot_certificates_state="update_on_boot" if mark else "update_available")
