"""message: notes about objects. The class has its own messages instead of the derived ones."""

from __future__ import annotations

from collections.abc import Callable

from xenapi_core.api.query import compile_filter
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.messages import post
from xenapi_core.errors import E
from xenapi_core.model.types import DATETIME, Mismatch
from xenapi_core.store.api import Txn, Version

# The class of the object a message is about, as messages spell it -> as the schema does.
CLASSES = {"Host": "host", "Pool": "pool"}


@handles("message.create")
def create(call: CallContext, name: str, priority: int, cls: str, obj_uuid: str, body: str) -> str:
    """A message about the object of that class and uuid. UUID_INVALID [class, uuid].

    When there are as many messages as are kept, the oldest goes: a client that writes many cannot fill the pool.
    """
    target = CLASSES.get(cls, cls)
    if target in call.services.schema.classes and call.store.by_uuid(target, obj_uuid) is None:
        raise E.UUID_INVALID(target, obj_uuid)
    txn = call.store.begin()
    ref = post(call.world, txn, name, priority, cls, obj_uuid, body)
    call.store.commit(txn)
    return ref


@handles("message.destroy")
def destroy(call: CallContext, ref: str) -> None:
    call.commit(lambda txn: txn.delete(ref))


@handles("message.destroy_many")
def destroy_many(call: CallContext, refs: tuple[str, ...]) -> None:
    """All of them or, if one does not exist, none: HANDLE_INVALID."""
    for ref in refs:
        call.get(ref, "message")

    def delete(txn: Txn) -> None:
        for ref in refs:
            txn.delete(ref)

    call.commit(delete)


def _instant(key: str, text: str) -> int:
    try:
        return DATETIME.accept(text)
    except Mismatch:
        raise E.INVALID_VALUE(key, text) from None


@handles("message.destroy_all")
def destroy_all(call: CallContext, filters: dict[str, str]) -> None:
    """Messages that fit all of: after, before (instants, exclusive), priority. INVALID_VALUE [key, value]."""
    for key, text in filters.items():
        if key not in ("after", "before", "priority"):
            raise E.INVALID_VALUE(key, text)
    after = _instant("after", filters["after"]) if "after" in filters else None
    before = _instant("before", filters["before"]) if "before" in filters else None
    priority = filters.get("priority")

    def fits(message: Version) -> bool:
        return (
            (after is None or message["timestamp"] > after)
            and (before is None or message["timestamp"] < before)
            and (priority is None or str(message["priority"]) == priority)
        )

    destroy_many(call, tuple(_matching(call, fits)))


def _matching(call: CallContext, test: Callable[[Version], bool]) -> dict[str, Version]:
    return {ref: message for ref, message in call.store.all("message").items() if test(message)}


@handles("message.get")
def get(call: CallContext, cls: str, obj_uuid: str, since: int) -> dict[str, Version]:
    """Messages about one object, written after `since`."""
    about = (cls, obj_uuid)
    return _matching(call, lambda m: (m["cls"], m["obj_uuid"]) == about and m["timestamp"] > since)


@handles("message.get_since")
def get_since(call: CallContext, since: int) -> dict[str, Version]:
    return _matching(call, lambda m: m["timestamp"] > since)


@handles("message.get_all")
def get_all(call: CallContext) -> tuple[str, ...]:
    return tuple(call.store.all("message"))


@handles("message.get_record")
def get_record(call: CallContext, ref: str) -> Version:
    return call.get(ref, "message")


@handles("message.get_by_uuid")
def get_by_uuid(call: CallContext, uuid: str) -> str:
    """UUID_INVALID ["message", uuid]."""
    found = call.store.by_uuid("message", uuid)
    if found is None:
        raise E.UUID_INVALID("message", uuid)
    return found.ref


@handles("message.get_all_records")
def get_all_records(call: CallContext) -> dict[str, Version]:
    return dict(call.store.all("message"))


@handles("message.get_all_records_where")
def get_all_records_where(call: CallContext, expr: str) -> dict[str, Version]:
    services = call.services
    wanted = compile_filter(services.schema["message"], expr, services.records.read)
    return _matching(call, wanted.matches)
