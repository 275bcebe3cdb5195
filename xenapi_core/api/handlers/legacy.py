"""Messages of API 1.0 that later versions replaced: relations read from their other end, and settings.

Rule 1: nothing is kept for API 1.0 alone: what it calls a field of its own is a relation, or a key of other_config.
"""

from __future__ import annotations

from xenapi_core.api.legacy_calls import AUTO_POWER_ON, SETTINGS
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.types import SetType
from xenapi_core.store.api import Version

# Wire name -> (class that points at the object, the field it points with).
POINTERS = {
    "VM.get_DPCIs": ("DPCI", "VM"),
    "VM.get_DSCSIs": ("DSCSI", "VM"),
    "VM.get_DSCSI_HBAs": ("DSCSI_HBA", "VM"),
    "host.get_PPCIs": ("PPCI", "host"),
    "host.get_PSCSIs": ("PSCSI", "host"),
    "host.get_PSCSI_HBAs": ("PSCSI_HBA", "host"),
    "host.get_resident_cpu_pools": ("cpu_pool", "resident_on"),
    "host_cpu.get_cpu_pool": ("cpu_pool", "host_CPUs"),
}
LONGEST_WAIT = 3600.0  # seconds of debug.wait


@handles(*POINTERS)
def pointing(call: CallContext, ref: str) -> tuple[str, ...]:
    """The objects that point at this one; there are few of them, so they are looked through."""
    call.get(ref)
    cls, field = POINTERS[call.wire_name]
    many = isinstance(call.services.schema[cls][field].type, SetType)
    values = {other: call.value(version, field) for other, version in call.store.all(cls).items()}
    return tuple(other for other, value in values.items() if (ref in value if many else ref == value))


@handles("host_cpu.get_unassigned_cpus")
def get_unassigned_cpus(call: CallContext) -> tuple[str, ...]:
    """CPUs that no pool of CPUs has."""
    taken = {cpu for pool in call.store.all("cpu_pool").values() for cpu in pool["host_CPUs"]}
    return tuple(ref for ref in call.store.all("host_cpu") if ref not in taken)


@handles("PBD.get_by_SR")
def get_by_sr(call: CallContext, sr: str) -> tuple[str, ...]:
    """Connections of hosts to a repository."""
    call.get(sr, "SR")
    return call.store.related(sr, "PBDs")


@handles("PIF_metrics.get_pif")
def get_pif(call: CallContext, ref: str) -> str:
    """The interface that is measured, or null for what is left of one."""
    call.get(ref, "PIF_metrics")
    return next((pif for pif, version in call.store.all("PIF").items() if version["metrics"] == ref), NULL_REF)


@handles("task.get_session")
def get_session(call: CallContext, ref: str) -> str:
    """The session that started the task, if it is the caller's own: a session's reference is a secret."""
    session = call.get(ref, "task")["session"]
    return session if session == call.caller.session else NULL_REF


@handles("VM.get_auto_power_on")
def get_auto_power_on(call: CallContext, ref: str) -> bool:
    """Whether the VM is started when its host starts."""
    return call.get(ref, "VM")["other_config"].get(AUTO_POWER_ON) == "true"


@handles("VM.set_auto_power_on")
def set_auto_power_on(call: CallContext, ref: str, value: bool) -> None:
    """Have the VM started when its host starts, or not."""
    _put_other_config(call, ref, AUTO_POWER_ON, "true" if value else "false")


@handles(*(f"{name.replace('.', '.get_')}" for name in SETTINGS))
def get_setting(call: CallContext, ref: str) -> str:
    """The setting, or an empty text."""
    return call.get(ref)["other_config"].get(SETTINGS[call.wire_name.replace("get_", "")], "")


@handles(*(f"{name.replace('.', '.set_')}" for name in SETTINGS))
def set_setting(call: CallContext, ref: str, value: str) -> None:
    """Keep the setting."""
    _put_other_config(call, ref, SETTINGS[call.wire_name.replace("set_", "")], value)


def _put_other_config(call: CallContext, ref: str, key: str, value: str) -> None:
    call.update(ref, other_config={**call.get(ref)["other_config"], key: value})


# Sessions: a reference of a session is a secret, so everybody sees one only.


@handles("session.get_all")
def get_all_sessions(call: CallContext) -> tuple[str, ...]:
    """The caller's own; nothing for calls inside, which have none."""
    return tuple(_own_session(call))


@handles("session.get_all_records")
def get_all_session_records(call: CallContext) -> dict[str, Version]:
    """The records of the sessions that session.get_all returns, by reference."""
    return _own_session(call)


def _own_session(call: CallContext) -> dict[str, Version]:
    session = call.store.find(call.caller.session)
    return {} if session is None else {session.ref: session}


# For testing clients


@handles("debug.return_failure")
def return_failure(call: CallContext) -> None:
    """Always OPERATION_NOT_ALLOWED: the message exists for clients that test failures."""
    raise E.OPERATION_NOT_ALLOWED("debug.return_failure was called")


@handles("debug.wait")
async def wait(call: CallContext, seconds: float) -> None:
    """INVALID_VALUE unless 0 <= seconds <= 3600."""
    if not 0.0 <= seconds <= LONGEST_WAIT:
        raise E.INVALID_VALUE("time", f"{seconds:g}")
    await call.services.clock.sleep(seconds)


@handles("debug.create")
def create_debug(call: CallContext, values: dict[str, str]) -> str:
    return call.create("debug", values)


@handles("debug.destroy")
def destroy_debug(call: CallContext, ref: str) -> None:
    call.commit(lambda txn: txn.delete(ref))
