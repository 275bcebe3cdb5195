"""The screens of VMs: CONNECT /console, GET /console in a WebSocket, and /vncsnapshot.

Rule 1: `uuid` or `ref` names a console, or a VM and thereby its first console. A VM that is not live has none.
Rule 2: a viewer may look as long as the session it came with exists; it is let out when the console ends.
"""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.power import PAUSED, RUNNING, bad_power_state
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.console import picture
from xenapi_core.server.console.viewer import Describe, Viewer
from xenapi_core.server.console.websocket import WebSocketLink
from xenapi_core.server.routes import Response
from xenapi_core.server.tunnel import Tunnel
from xenapi_core.store.api import Store, Version
from xenapi_core.wire import websocket as ws

_MIB = 1 << 20


def _console(call: ActionCall) -> Version:
    """The console that `uuid` or `ref` names (rule 1). HANDLE_INVALID, UUID_INVALID, VM_BAD_POWER_STATE;
    NOT_IMPLEMENTED for what is not RFB."""
    store, wanted = call.store, call.text("uuid", "ref")
    found = store.find(wanted) or store.by_uuid("console", wanted)
    if found is None or found.cls != "console":
        vm = call.object("VM", "uuid", "ref")
        consoles = [store.get(ref) for ref in store.related(vm.ref, "consoles")]
        found = next((one for one in consoles if one["protocol"] == "rfb"), None)
        if found is None:
            raise bad_power_state(vm, (RUNNING, PAUSED))
    vm = store.get(found["VM"], "VM")
    if vm["power_state"] not in (RUNNING, PAUSED):
        raise bad_power_state(vm, (RUNNING, PAUSED))
    if found["protocol"] != "rfb":
        raise E.NOT_IMPLEMENTED(f"a console of type {found['protocol']}")
    return found


def _screen(store: Store, console: str, session: str) -> Describe:
    """The text of the screen, while the console exists and the viewer's session ("" or null: it has none)."""

    def lines() -> list[str] | None:
        record = store.find(console)
        vm = store.find(record["VM"]) if record is not None else None
        if vm is None or vm["power_state"] not in (RUNNING, PAUSED):
            return None
        if session and not is_null(session) and store.find(session) is None:
            return None
        return told(store, vm)

    return lines


def told(store: Store, vm: Version) -> list[str]:
    """A machine in words."""
    host, guest, metrics = (store.find(vm[name]) for name in ("resident_on", "guest_metrics", "metrics"))
    networks = guest["networks"] if guest is not None else {}
    system = guest["os_version"].get("name", "") if guest is not None else ""
    vcpus = metrics["VCPUs_number"] if metrics is not None else vm["VCPUs_at_startup"]
    memory = metrics["memory_actual"] if metrics is not None else vm["memory_dynamic_max"]
    return [
        vm["name_label"],
        "",
        f"State:     {vm['power_state']}",
        f"Host:      {host['name_label'] if host is not None else ''}",
        f"UUID:      {vm['uuid']}",
        f"VCPUs:     {vcpus}",
        f"Memory:    {memory // _MIB} MiB",
        f"Guest:     {system or 'no report of its tools yet'}",
        f"Addresses: {', '.join(networks[key] for key in sorted(networks) if key.endswith('/ip'))}",
        "",
        "This is a simulated machine: it has no other screen.",
    ]


@serves("connect_console")
async def connect(call: ActionCall) -> Response:
    """RFB on the connection itself, after the reply."""
    console = _console(call)
    store, name = call.store, call.store.get(console["VM"])["name_label"]
    describe = _screen(store, console.ref, call.caller.session)

    async def talk(tunnel: Tunnel) -> None:
        await Viewer(tunnel, store, name, describe).serve()

    return Response(200, (NO_CACHE,), tunnel=talk)


@serves("connect_console_ws")
async def connect_websocket(call: ActionCall) -> Response:
    """RFB in a WebSocket; subprotocol binary, base64 or none. 500 with the reason for what is no handshake."""
    console = _console(call)
    try:
        headers, chosen = ws.accept(call.request.headers)
    except ws.WebSocketError as error:
        raise E.INVALID_VALUE("WebSocket", str(error)) from None
    store, name = call.store, call.store.get(console["VM"])["name_label"]
    describe = _screen(store, console.ref, call.caller.session)

    async def talk(tunnel: Tunnel) -> None:
        link = WebSocketLink(tunnel, chosen == "base64")
        await Viewer(link, store, name, describe).serve()
        await link.end()

    return Response(101, headers, tunnel=talk)


@serves("get_vncsnapshot")
async def snapshot(call: ActionCall) -> Response:
    """The screen as it is now, as a PNG."""
    console = _console(call)
    image = picture.png(picture.draw(told(call.store, call.store.get(console["VM"]))))
    return Response(200, (NO_CACHE, ("Content-Type", "image/png")), image)
