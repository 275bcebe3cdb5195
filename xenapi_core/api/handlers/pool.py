"""pool: what one server can say of its pool."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles


@handles("pool.is_slave")
def is_slave(call: CallContext, host: str) -> bool:
    """Whether `host` follows another host as coordinator."""
    return all(pool["master"] != host for pool in call.store.all("pool").values())


@handles("pool.has_extension")
def has_extension(call: CallContext, ref: str, name: str) -> bool:
    """False: this server has no API extensions."""
    return False
