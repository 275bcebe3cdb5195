"""secret: passwords that other records refer to by uuid. Only roles that may read them see them; they cause no
events."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E


@handles("secret.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    return call.create("secret", values)


@handles("secret.introduce")
def introduce(call: CallContext, uuid: str, value: str, other_config: dict[str, str]) -> str:
    """A secret under the uuid by which other records name it. INVALID_VALUE for an empty uuid or one in use."""
    if not uuid or call.store.by_uuid("secret", uuid) is not None:
        raise E.INVALID_VALUE("uuid", uuid)
    ref = call.services.ids.ref()
    call.commit(lambda txn: txn.create("secret", ref, {"uuid": uuid, "value": value, "other_config": other_config}))
    return ref


@handles("secret.destroy")
def destroy(call: CallContext, ref: str) -> None:
    call.commit(lambda txn: txn.delete(ref))
