"""user: names of local accounts, kept for clients of the first versions. Nobody logs in with them: see subject."""

from __future__ import annotations

from typing import Any

from xenapi_core.api.registry import CallContext, handles


@handles("user.create")
def create(call: CallContext, values: dict[str, Any]) -> str:
    """A record that names somebody; it lets nobody in."""
    return call.create("user", values)


@handles("user.destroy")
def destroy(call: CallContext, ref: str) -> None:
    call.commit(lambda txn: txn.delete(ref))
