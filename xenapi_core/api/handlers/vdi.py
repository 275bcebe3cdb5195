"""VDI: settings with rules, and messages that no storage here supports. Operations on the storage are plans of the
engine."""

from __future__ import annotations

from typing import Any, NoReturn

from xenapi_core.api.handlers.network import NBD
from xenapi_core.api.membership import place_of
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.device_lifecycle import check_vdi_operation
from xenapi_core.store.api import Version


@handles("VDI.get_nbd_info")
def get_nbd_info(call: CallContext, ref: str) -> tuple[dict[str, Any], ...]:
    """Where the disk can be read with NBD: by way of the hosts on a network for it that are connected to its storage.

    One process serves all hosts, so there is at most one place; none without `--nbd-port`. The name of the export holds
    the session. VDI_INCOMPATIBLE_TYPE for a disk that holds no data of its own.
    """
    vdi = call.get(ref, "VDI")
    if vdi["type"] == "cbt_metadata":
        raise E.VDI_INCOMPATIBLE_TYPE(ref, vdi["type"])
    around, place = call.services.surroundings, call.services.sessions.membership
    port, shown = around.nbd_port, around.certificate
    if port is None or not place.address or not _shares(call, vdi):
        return ()
    host = place_of(place.address)[1]
    name = f"/{vdi['uuid']}?session_id={call.caller.session}"
    certificate = shown.facts.pem if shown is not None else ""
    return ({"exportname": name, "address": host, "port": port, "cert": certificate, "subject": host},)


def _shares(call: CallContext, vdi: Version) -> bool:
    """Whether a host that is connected to the storage is on a network whose purpose is NBD."""
    store = call.store
    hosts = {pbd["host"] for pbd in map(store.get, store.related(vdi["SR"], "PBDs")) if pbd["currently_attached"]}
    pifs = (store.get(pif) for host in hosts for pif in store.related(host, "PIFs"))
    return any(pif["currently_attached"] and set(store.get(pif["network"])["purpose"]) & NBD.keys() for pif in pifs)


def _refuse(call: CallContext, ref: str, operation: str) -> NoReturn:
    """Raise what forbids it. NOT_IMPLEMENTED should the storage claim it: its driver has no call for that."""
    check_vdi_operation(call.store, call.get(ref, "VDI"), operation)
    raise E.NOT_IMPLEMENTED(call.wire_name)


@handles("VDI.generate_config")
def generate_config(call: CallContext, host: str, ref: str) -> str:
    """Raises: no storage lets a host attach a disk without this server."""
    _refuse(call, ref, "generate_config")
