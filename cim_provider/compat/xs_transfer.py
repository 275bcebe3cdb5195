"""ConnectToDiskImage and DisconnectFromDiskImage of xs-cim: a temporary HTTP address for the bytes of a disk.

Rule 1: xs-cim started a machine that served the disk, with credentials it made up. Here the server itself serves it
        (model/disk_connections.py), to accounts that may export or import disks: there is no password to give out.
Rule 2: the job tells the address and the handle; the handle is the uuid of the job's task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from cim_provider import jobs
from cim_provider.compat.xs_codes import CODES
from cim_provider.jobs import Work
from cim_provider.mapping.method import Call, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.subject import Subject
from cim_provider.methods.state_change import host_is_live
from cim_provider.profiles.host_pool import StorageVolume
from cim_provider.profiles.virtual_ethernet_switch import VirtualSwitch
from cim_provider.schema.objects import Path
from xenapi_core.model.disk_connections import NEVER, PATH, Connection, connections, ended_keys, live_connections

CONNECT, DISCONNECT = "CIM.ConnectToDiskImage", "CIM.DisconnectFromDiskImage"
HTTP, SECURE = "http", "https://"
A_DAY = 24 * 60  # minutes
# Keys of the other_config of a job's task, and properties of the job.
HANDLE, URI, CERTIFICATE = "ConnectionHandle", "TargetURI", "SSLCertificate"


def _unsupported(why: str) -> RefusedError:
    return RefusedError(Kind.NOT_SUPPORTED, why)


def _host_of(call: Call, vdi: Subject) -> Subject:
    """The host whose address serves a disk: the one whose service is called if it reaches the SR, else one that does.
    RefusedError FAILED if there is none."""
    sr = vdi.follow("SR")
    attached = [pbd for pbd in sr.each("PBDs") if pbd["currently_attached"]] if sr is not None else []
    hosts = {host.ref: host for pbd in attached if (host := pbd.follow("host")) is not None and host_is_live(host)}
    if not hosts:
        raise RefusedError(Kind.FAILED, "no host that is up is connected to the storage of the image")
    return hosts[call.subject.ref if call.subject.ref in hosts else min(hosts)]


def _check_network(call: Call, switch: Path | None, configuration: tuple[str, ...] | None, host: Subject) -> None:
    """RefusedError NOT_SUPPORTED for a network other than the management network, and for settings of its address."""
    if configuration:
        raise _unsupported("the address is the host's: NetworkConfiguration cannot be chosen")
    if switch is None:
        return
    network = call.target(switch, "VirtualSwitch", VirtualSwitch.cim)
    if not any(pif["management"] and pif["host"] == host.ref for pif in network.each("PIFs")):
        raise _unsupported("disks are served on the network over which the host is managed")


def _check_free(call: Call, vdi: Subject, writes: bool) -> None:
    """RefusedError IN_USE for a disk that others write, or that others use if it is to be written."""
    others = live_connections(vdi, call.source.now())
    plugged = [vbd for vbd in vdi.each("VBDs") if vbd["currently_attached"]]
    if any(one.writes or writes for one in others) or any(vbd["mode"] == "RW" or writes for vbd in plugged):
        raise RefusedError(Kind.IN_USE, "the image is in use")


@jobs.answers(CODES)
async def connect(
    call: Call,
    disk_image: Path | None,
    virtual_switch: Path | None,
    network_configuration: tuple[str, ...] | None,
    protocol: str | None,
    use_ssl: bool | None,
    read_only: bool | None,
    timeout_in_minutes: int | None,
) -> Result:
    """ConnectToDiskImage: the job tells the TargetURI, where GET gives the bytes of the disk and PUT, unless ReadOnly,
    writes them; after TimeoutInMinutes (default: a day; 0: never) it is an address no more.

    1 for a Protocol other than http, for another network than the management one, for SSL that the server has not, and
    in a pool that is another server's; 2 while the image is in use.
    """
    vdi = call.target(disk_image, "DiskImage", StorageVolume.cim)
    if protocol not in (None, "", HTTP):
        raise _unsupported(f"protocol {protocol} is not spoken")
    host = _host_of(call, vdi)
    _check_network(call, virtual_switch, network_configuration, host)
    server = call.source.disk_server(host["address"])
    if server is None or (use_ssl and not server.startswith(SECURE)):
        raise _unsupported("disks are not served" + (" with SSL" if server is not None else " by this server"))
    jobs.require(call, "VDI.add_to_other_config", "VDI.remove_from_other_config")
    _check_free(call, vdi, not read_only)
    minutes = A_DAY if timeout_in_minutes is None else timeout_in_minutes
    certificate = ""
    if use_ssl:
        certificate = await call.source.call(call.principal, "host.get_server_certificate", host.ref)

    async def body(work: Work) -> Mapping[str, Any]:
        task = work.source.find(work.task)
        handle = str(task["uuid"]) if task is not None else ""
        until = work.source.now() + minutes * 60 if minutes else NEVER
        connection = Connection(handle, vdi["uuid"], not read_only, until)
        query = urlencode({"vdi": vdi["uuid"], "connection": handle})
        told = {HANDLE: handle, URI: f"{server.rstrip('/')}{PATH}?{query}", CERTIFICATE: certificate}
        for key, value in told.items():
            if value:
                await work.call("task.add_to_other_config", work.task, key, value)
        for key in ended_keys(vdi, work.source.now()):
            await work.call("VDI.remove_from_other_config", vdi.ref, key)
        now = work.source.find(vdi.ref)
        if now is not None:  # somebody else may have connected meanwhile
            _check_free(call, Subject(work.source, now), connection.writes)
        await work.call("VDI.add_to_other_config", vdi.ref, connection.key, connection.value)
        await work.undo("VDI.remove_from_other_config", vdi.ref, connection.key)
        return {}

    return await call.jobs.several(call, CODES, CONNECT, body, about=vdi["uuid"])


@jobs.answers(CODES)
async def disconnect(call: Call, connection_handle: str | None) -> Result:
    """DisconnectFromDiskImage: the address of that connection is none any more. 4 for a handle of no connection."""
    found = [
        (version, one)
        for version in call.source.all("VDI").values()
        for one in connections(version.values)
        if one.handle == connection_handle
    ]
    if not found:
        raise invalid("ConnectionHandle is that of no connection")
    ((vdi, connection),) = found[:1]
    jobs.require(call, "VDI.remove_from_other_config")

    async def body(work: Work) -> Mapping[str, Any]:
        await work.call("VDI.remove_from_other_config", vdi.ref, connection.key)
        return {}

    return await call.jobs.several(call, CODES, DISCONNECT, body, about=vdi.values["uuid"])


CONNECT_TO_DISK = method(connect, out=("Job",))
DISCONNECT_FROM_DISK = method(disconnect, out=("Job",))
