"""Messages that only API 1.0 has, of classes that later versions have too: listed, and described apart.

Rule 1: catalog.py adds them to the classes; the class files stay what the later reference says.
Rule 2: fields that only API 1.0 has appear as getters here and never in records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xenapi_core.errors import E
from xenapi_core.model.schema import POOL_OPERATOR, READ_ONLY, VM_ADMIN, VM_OPERATOR, VM_POWER_ADMIN, Message, Param
from xenapi_core.model.types import BOOL, FLOAT, INT, STRING, STRING_MAP, Map, Record, Ref, Set, StringType, Type


@dataclass(frozen=True)
class _Text(StringType):
    """A string, or what xm and its like send for one: a number, a boolean or nothing."""

    def accept(self, value: Any) -> str:
        if value is None or type(value) in (int, bool):
            return "" if value is None else str(value)
        return super().accept(value)


def _get(cls: str, field: str, type_: Type, doc: str, state: str = "published") -> Message:
    me = Param("self", Ref(cls))
    return Message(f"get_{field}", (me,), type_, doc, role=READ_ONLY, asynchronous=False, legacy=True, state=state)


def _set(cls: str, field: str, type_: Type, doc: str, role: str = POOL_OPERATOR) -> Message:
    params = (Param("self", Ref(cls)), Param("value", type_))
    return Message(f"set_{field}", params, None, doc, role=role, asynchronous=False, legacy=True)


def _do(name: str, params: tuple[Param, ...], result: Type | None, doc: str, **more: Any) -> Message:
    return Message(name, params, result, doc, **{"role": POOL_OPERATOR, "legacy": True, **more})


def _all(cls: str) -> tuple[Message, ...]:
    """The queries over all objects, for classes that later versions do not list."""
    reading: dict[str, Any] = {"role": READ_ONLY, "asynchronous": False}
    return (
        _do("get_all", (), Set(Ref(cls)), f"References of all objects of class {cls} that the caller may see.",
            **reading),
        _do("get_all_records", (), Map(Ref(cls), Record(cls)), f"All {cls} records that the caller may see.",
            **reading),
    )  # fmt: skip


def _labels(cls: str, result: Type | None) -> tuple[Message, ...]:
    params = (Param("self", Ref(cls)), Param("security_label", STRING), Param("old_label", STRING))
    return (
        _get(cls, "security_label", STRING, "The label for mandatory access control."),
        _do("set_security_label", params, result, "Set the label for mandatory access control.",
            errors=(E.SECURITY_ERROR,)),
    )  # fmt: skip


vm = Param("vm", Ref("VM"))
vm_self = Param("self", Ref("VM"))
host = Param("host", Ref("host"))
domain = Param("domid", INT, "number of the domain; -1 for all")
TMEM_ERRORS = (E.INVALID_VALUE, E.HOST_OFFLINE, E.OPERATION_NOT_ALLOWED)

# fmt: off
LEGACY_MESSAGES: Final[Mapping[str, tuple[Message, ...]]] = {
    "session": _all("session"),
    "task": (
        _get("task", "session", Ref("session"), "The session that started the task."),
    ),
    "VM": (
        _do("set_memory_dynamic_max_live", (vm_self, Param("max", INT, "in bytes")), None,
            "Move the upper end of the balloon's range of a running VM.", role=VM_POWER_ADMIN),
        _do("set_memory_dynamic_min_live", (vm_self, Param("min", INT, "in bytes")), None,
            "Move the lower end of the balloon's range of a running VM.", role=VM_POWER_ADMIN),
        _do("migrate", (vm, Param("dest", STRING, "address of the other host"), Param("live", BOOL, "while it runs"),
            Param("options", Map(STRING, _Text("string")))), None, "Move a running VM to another host.",
            role=VM_POWER_ADMIN),
        _do("set_pauseflag", (vm_self, Param("value", BOOL)), None, "Say whether the VM shall be left paused.",
            role=VM_OPERATOR),
        _do("save", (vm, Param("dest", STRING, "file on the host"), Param("checkpoint", BOOL, "and go on running")),
            None, "Save a running VM to a file of its host.", role=VM_ADMIN),
        _do("restore", (Param("src", STRING, "file on the host"), Param("paused", BOOL, "leave it paused")), None,
            "Make a VM run that was saved to a file.", role=VM_ADMIN),
        _get("VM", "auto_power_on", BOOL, "Whether the VM is started when its host starts."),
        _set("VM", "auto_power_on", BOOL, "Set whether the VM is started when its host starts.", VM_ADMIN),
        _get("VM", "actions_after_suspend", STRING, "What happens when the guest suspends itself."),
        _set("VM", "actions_after_suspend", STRING, "Set what happens when the guest suspends itself.", VM_ADMIN),
        _get("VM", "tools_version", STRING_MAP, "Versions of the tools in the guest."),
        _get("VM", "DPCIs", Set(Ref("DPCI")), "PCI devices passed to the VM."),
        _get("VM", "DSCSIs", Set(Ref("DSCSI")), "SCSI devices passed to the VM."),
        _get("VM", "DSCSI_HBAs", Set(Ref("DSCSI_HBA")), "SCSI adapters passed to the VM."),
        *_labels("VM", INT),
        _get("VM", "cpu_pool", Set(Ref("cpu_pool")), "The pool of CPUs the VM runs on, as a set of at most one."),
        _do("cpu_pool_migrate", (vm_self, Param("pool", Ref("cpu_pool"))), None, "Move the VM to a pool of CPUs.",
            errors=(E.POOL_BAD_STATE, E.OPERATION_NOT_ALLOWED)),
        _get("VM", "pool_name", STRING, "Name of the pool of CPUs to start the VM on."),
        _set("VM", "pool_name", STRING, "Name the pool of CPUs to start the VM on.", VM_ADMIN),
    ),
    "host": (
        _get("host", "PPCIs", Set(Ref("PPCI")), "PCI devices of the host."),
        _get("host", "PSCSIs", Set(Ref("PSCSI")), "SCSI devices of the host."),
        _get("host", "PSCSI_HBAs", Set(Ref("PSCSI_HBA")), "SCSI adapters of the host."),
        _get("host", "resident_cpu_pools", Set(Ref("cpu_pool")), "Pools of CPUs of the host."),
        _do("tmem_thaw", (host, domain), None, "Let guests hand over pages of transcendent memory again.",
            errors=TMEM_ERRORS),
        _do("tmem_freeze", (host, domain), None, "Take no pages of guests into transcendent memory any more.",
            errors=TMEM_ERRORS),
        _do("tmem_flush", (host, domain, Param("pages", INT, "KiB to free, as Xen counts them")), INT,
            "Free transcendent memory that guests can do without. The value is what was freed, in KiB.",
            errors=TMEM_ERRORS),
        _do("tmem_destroy", (host, domain), None,
            "Drop all transcendent memory of guests, which have none until their next start.", errors=TMEM_ERRORS),
        _do("tmem_list", (host, domain, Param("use_long", BOOL, "with all figures")), STRING,
            "What transcendent memory holds, as the tools of Xen print it.", errors=TMEM_ERRORS),
        _do("tmem_set_weight", (host, domain, Param("value", INT)), None,
            "Set the part of transcendent memory a guest may keep when it becomes short; 0: no part is reckoned.",
            errors=TMEM_ERRORS),
        _do("tmem_set_cap", (host, domain, Param("value", INT, "in MiB; 0: no limit")), None,
            "Set the most transcendent memory a guest's clean pages may take.", errors=TMEM_ERRORS),
        _do("tmem_set_compress", (host, domain, Param("value", INT, "0 or 1")), None,
            "Choose whether pages that a guest hands over are compressed.", errors=TMEM_ERRORS),
        _do("tmem_query_freeable_mb", (host,), INT, "Transcendent memory that could be freed, in MiB.",
            role=READ_ONLY, errors=TMEM_ERRORS),
        _do("tmem_shared_auth", (host, domain, Param("uuid", STRING, "of the pool"), Param("auth", INT, "0 or 1")),
            None, "Allow a guest to share the pool of that uuid, or all guests to share any, or allow it no more.",
            errors=TMEM_ERRORS),
    ),
    "host_cpu": (
        _get("host_cpu", "cpu_pool", Set(Ref("cpu_pool")), "The pool that has the CPU, as a set of at most one."),
        _do("get_unassigned_cpus", (), Set(Ref("host_cpu")), "CPUs that no pool has.", role=READ_ONLY,
            asynchronous=False),
    ),
    "network": (
        _get("network", "default_gateway", STRING, "Gateway of the network, for hosts without one of their own."),
        _set("network", "default_gateway", STRING, "Set the gateway of the network."),
        _get("network", "default_netmask", STRING, "Netmask of the network, for hosts without one of their own."),
        _set("network", "default_netmask", STRING, "Set the netmask of the network."),
    ),
    "VIF": (
        _set("VIF", "device", STRING, "Set the place of the interface among the VM's.", VM_ADMIN),
        _set("VIF", "MAC", STRING, "Set the MAC address.", VM_ADMIN),
        _set("VIF", "MTU", INT, "Set the largest packet, in bytes.", VM_ADMIN),
        *_labels("VIF", None),
    ),
    "VIF_metrics": (
        # the class is gone from later versions with all its messages, and no VIF names an object of it
        _get("VIF_metrics", "io_total_read_kbs", FLOAT, "What was received so far, in KiB.", state="removed"),
        _get("VIF_metrics", "io_total_write_kbs", FLOAT, "What was sent so far, in KiB.", state="removed"),
    ),
    "PIF": (
        _set("PIF", "device", STRING, "Set the name of the interface on its host."),
        _set("PIF", "MAC", STRING, "Set the MAC address."),
        _set("PIF", "MTU", INT, "Set the largest packet, in bytes."),
        _set("PIF", "VLAN", INT, "Set the VLAN tag; -1 for none."),
    ),
    "PIF_metrics": (
        _get("PIF_metrics", "pif", Ref("PIF"), "The interface that is measured."),
    ),
    "VDI": _labels("VDI", None),
    "VBD": (
        _do("media_change", (Param("vbd", Ref("VBD")), Param("vdi", Ref("VDI"))), None,
            "Put another disk into a drive.", role=VM_ADMIN),
        _set("VBD", "device", STRING, "Set the name of the device in the guest.", VM_ADMIN),
    ),
    "PBD": (
        _do("get_by_SR", (Param("SR", Ref("SR")),), Set(Ref("PBD")), "Connections of hosts to an SR.",
            role=READ_ONLY, asynchronous=False),
    ),
    "VTPM": (
        _get("VTPM", "other_config", STRING_MAP, "Free-form settings of clients."),
        _set("VTPM", "other_config", STRING_MAP, "Replace all keys of other_config.", VM_ADMIN),
        _get("VTPM", "runtime_properties", STRING_MAP, "Facts about the running module."),
    ),
}
# fmt: on
