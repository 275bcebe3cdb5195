"""event: waiting for changes. The rules are in api/events.py."""

from __future__ import annotations

from xenapi_core.api.events import EventBatch, EventList
from xenapi_core.api.registry import CallContext, handles


@handles("event.from")
async def wait_from(call: CallContext, classes: tuple[str, ...], token: str, timeout: float) -> EventBatch:
    return await call.services.events.wait_from(call.caller, classes, token, timeout)


@handles("event.register")
def register(call: CallContext, classes: tuple[str, ...]) -> None:
    call.services.events.register(call.caller, classes)


@handles("event.unregister")
def unregister(call: CallContext, classes: tuple[str, ...]) -> None:
    call.services.events.unregister(call.caller, classes)


@handles("event.next")
async def wait_next(call: CallContext) -> EventList:
    return await call.services.events.wait_next(call.caller)


@handles("event.get_current_id")
def get_current_id(call: CallContext) -> int:
    return call.store.revision


@handles("event.inject")
def inject(call: CallContext, cls: str, ref: str) -> str:
    return call.services.events.inject(cls, ref)
