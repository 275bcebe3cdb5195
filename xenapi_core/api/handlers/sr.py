"""SR: questions to back ends that change nothing, and settings with rules; the rest are plans."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from xml.sax.saxutils import escape

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.drivers.storage import Found
from xenapi_core.engine.failures import About, told_as
from xenapi_core.engine.plans.database_copy import check_replication
from xenapi_core.engine.plans.ha_switch import check_heartbeat_sr
from xenapi_core.engine.steps.sr_records import REPOSITORY, check_device_config
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live, is_live

ANSWER_WITHIN: Final = 60.0  # seconds of real time a back end has to answer


@handles("SR.get_supported_types")
def get_supported_types(call: CallContext) -> tuple[str, ...]:
    """Types that a back end of this server serves."""
    return tuple(sorted(call.services.engine.backends))


@handles("SR.introduce")
def introduce(
    call: CallContext, uuid: str, name_label: str, name_description: str, type: str, content_type: str, shared: bool,
    sm_config: dict[str, str],
) -> str:  # fmt: skip
    """A record for a repository that exists already; plug a PBD to reach it. SR_UUID_EXISTS [uuid]."""
    ids = call.services.ids
    if uuid and call.store.by_uuid("SR", uuid) is not None:
        raise E.SR_UUID_EXISTS(uuid)
    values: dict[str, Any] = {
        "uuid": uuid or ids.uuid(), "name_label": name_label, "name_description": name_description, "type": type,
        "content_type": content_type, "shared": shared, "sm_config": sm_config,
    }  # fmt: skip
    ref = ids.ref()
    call.commit(lambda txn: txn.create("SR", ref, values))
    return ref


async def _probe(call: CallContext, host: str, config: dict[str, str], kind: str) -> list[Found]:
    """SR_UNKNOWN_DRIVER, HOST_OFFLINE; SR_OPERATION_NOT_SUPPORTED where there is nothing to look for."""
    engine = call.services.engine
    if kind not in engine.backends:
        raise E.SR_UNKNOWN_DRIVER(kind)
    check_device_config(config)
    looking = check_live(call.store, host)
    with told_as(REPOSITORY, About(host=host, operation="probe")):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await engine.backends[kind].probe(looking["uuid"], config)
        except TimeoutError as error:
            raise E.SR_BACKEND_FAILURE("timeout", "", "the storage did not answer") from error


@handles("SR.probe_ext")
async def probe_ext(
    call: CallContext, host: str, device_config: dict[str, str], type: str, sm_config: dict[str, str]
) -> tuple[dict[str, Any], ...]:
    """One probe_result for each repository found; without anything, the configuration itself if it is complete."""
    found = await _probe(call, host, device_config, type)
    return tuple(_probe_result(one) for one in found)


def _probe_result(found: Found) -> dict[str, Any]:
    state = None
    if found.repository:
        state = {
            "uuid": found.repository, "name_label": found.name, "name_description": "",
            "free_space": found.free_space, "total_space": found.total_space, "clustered": False, "health": "healthy",
        }  # fmt: skip
    return {
        "configuration": dict(found.configuration), "complete": found.complete, "sr": state,
        "extra_info": dict(found.extra),
    }  # fmt: skip


@handles("SR.probe")
async def probe(
    call: CallContext, host: str, device_config: dict[str, str], type: str, sm_config: dict[str, str]
) -> str:
    """The repositories that are there, in the XML of the reference's back ends: SRlist of SR with its UUID."""
    found = await _probe(call, host, device_config, type)
    lines = (f"<SR><UUID>{escape(one.repository)}</UUID></SR>" for one in found if one.repository)
    return f'<?xml version="1.0" ?><SRlist>{"".join(lines)}</SRlist>'


@handles("SR.set_shared")
def set_shared(call: CallContext, ref: str, value: bool) -> None:
    """SR_HAS_MULTIPLE_PBDS [pbds] for making it local while several hosts have connections."""
    pbds = call.store.related(ref, "PBDs")
    if not value and len(pbds) > 1:
        raise E.SR_HAS_MULTIPLE_PBDS(pbds[0])
    call.update(ref, shared=value)


@handles("SR.get_live_hosts")
def get_live_hosts(call: CallContext, ref: str) -> tuple[str, ...]:
    """Enabled hosts that answer and are connected."""
    pbds = map(call.get, call.store.related(ref, "PBDs"))
    hosts = [pbd["host"] for pbd in pbds if pbd["currently_attached"]]
    return tuple(host for host in hosts if call.get(host)["enabled"] and is_live(call.store, call.get(host)))


@handles("SR.assert_can_host_ha_statefile")
def assert_can_host_ha_statefile(call: CallContext, ref: str) -> None:
    """Check that the SR can hold the disks of high availability. Raises what ha_switch.check_heartbeat_sr does."""
    check_heartbeat_sr(call.store, ref)


@handles("SR.assert_supports_database_replication")
def assert_supports_database_replication(call: CallContext, ref: str) -> None:
    """Check that the SR can hold a copy of the database. Raises what database_copy.check_replication does."""
    check_replication(call.store, ref)


@handles("LVHD.enable_thin_provisioning")
def enable_thin_provisioning(call: CallContext, host: str, sr: str, allocation: int, quantum: int) -> None:
    """INVALID_VALUE for sizes below 0; else SR_OPERATION_NOT_SUPPORTED: no back end can change how it gives room to
    disks, whatever its type."""
    call.get(host, "host")
    call.get(sr, "SR")
    for name, size in (("initial_allocation", allocation), ("allocation_quantum", quantum)):
        if size < 0:
            raise E.INVALID_VALUE(name, str(size))
    raise E.SR_OPERATION_NOT_SUPPORTED(sr)
