"""Telemetry of the pool: its schedule and its identity, for a collector. This server sends none."""

from __future__ import annotations

from typing import Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.ids import is_null
from xenapi_core.model.types import format_datetime
from xenapi_core.store.api import Txn

DAY: Final = 86_400
# telemetry_frequency -> seconds between two collections.
PERIODS: Final = {"daily": DAY, "weekly": 7 * DAY, "monthly": 31 * DAY}


@handles("pool.set_telemetry_next_collection")
def set_next_collection(call: CallContext, ref: str, value: int) -> None:
    """TELEMETRY_NEXT_COLLECTION_TOO_LATE beyond two periods of telemetry_frequency."""
    period = PERIODS[call.get(ref, "pool")["telemetry_frequency"]]
    if value > call.now + 2 * period:
        raise E.TELEMETRY_NEXT_COLLECTION_TOO_LATE(format_datetime(value))
    call.update(ref, telemetry_next_collection=value)


@handles("pool.reset_telemetry_uuid")
def reset_uuid(call: CallContext, ref: str) -> None:
    """A new secret takes the place of the old one."""
    old = call.get(ref, "pool")["telemetry_uuid"]
    ids = call.services.ids

    def write(txn: Txn) -> None:
        secret = txn.create("secret", ids.ref(), {"uuid": ids.uuid(), "value": ids.uuid(), "other_config": {}})
        txn.update(ref, telemetry_uuid=secret)
        if not is_null(old) and txn.find(old) is not None:
            txn.delete(old)

    call.commit(write)
