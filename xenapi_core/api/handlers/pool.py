"""pool: messages that one server can answer alone; pool_roles.py and pool_join.py have those about its members."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles


@handles("pool.get_license_state")
def get_license_state(call: CallContext, ref: str) -> dict[str, str]:
    """The edition all hosts have, and the earliest expiry; "never" where no licence ends."""
    hosts = list(call.store.all("host").values())
    editions = sorted({host["edition"] for host in hosts})
    expiries = sorted(host["license_params"]["expiry"] for host in hosts if host["license_params"].get("expiry"))
    return {"edition": editions[0] if editions else "", "expiry": expiries[0] if expiries else "never"}


@handles("pool.has_extension")
def has_extension(call: CallContext, ref: str, name: str) -> bool:
    """False: this server has no API extensions."""
    return False
