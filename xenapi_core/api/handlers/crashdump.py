"""crashdump: the memory of VMs that crashed, kept on disks."""

from __future__ import annotations

from xenapi_core.api.registry import CallContext, handles


@handles("crashdump.destroy")
async def destroy(call: CallContext, ref: str) -> None:
    """The dump goes with its disk; it stays if the disk cannot go: what VDI.destroy says."""
    vdi = call.get(ref, "crashdump")["VDI"]
    if call.store.find(vdi) is not None:
        await call.services.engine.perform("VDI.destroy", (vdi,), call.caller)
    call.commit(lambda txn: txn.delete(ref))
