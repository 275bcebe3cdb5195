"""host: control of transcendent memory (API 1.0). The pages that guests put there are known to the hypervisor alone.

Rule 1: a domain that is not on the host, or whose guest uses no transcendent memory, is INVALID_VALUE [domid]; xend
        said yes to that and did nothing. A driver without such memory is OPERATION_NOT_ALLOWED.
Rule 2: what guests have there counts as free memory of the host in records, because it is given back to whoever starts
        a VM there; only the host's data sources tell it from memory that is unused.
Rule 3: settings are the domain's and go with it; VM.tmem has them for a simulator that starts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.drivers.api import Hypervisor
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.specs import vm_with_domid
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Txn

ALL: Final = -1  # the domid that stands for all guests
KIB: Final = 1 << 10
MIB: Final = 1 << 20
MOST: Final = 2**31 - 1  # of a setting, which is 32 bits wide in Xen
ANSWER_WITHIN: Final = 20.0  # seconds of real time
_SETTINGS: Final = {
    "host.tmem_set_weight": ("weight", MOST),
    "host.tmem_set_cap": ("cap", MOST),
    "host.tmem_set_compress": ("compress", 1),
}

T = TypeVar("T")


@handles("host.tmem_freeze", "host.tmem_thaw")
async def freeze(call: CallContext, ref: str, domid: int) -> None:
    """Guests that are frozen find what they have there, and can bring nothing new."""
    frozen = call.wire_name == "host.tmem_freeze"
    await _change(call, ref, domid, lambda driver, machine: driver.tmem_freeze(machine, frozen))


@handles("host.tmem_flush")
async def flush(call: CallContext, ref: str, domid: int, kib: int) -> int:
    """Free at least that many KiB of clean pages, or what there is. The value is what was freed, in KiB.

    INVALID_VALUE ["pages"] for less than nothing.
    """
    size = _checked_range("pages", kib, MOST) * KIB
    return await _ask(call, ref, domid, lambda driver, machine: driver.tmem_flush(machine, size)) // KIB


@handles("host.tmem_destroy")
async def destroy(call: CallContext, ref: str, domid: int) -> None:
    """Swapped pages are dropped too. Xen announces that, and only thaws the guest."""
    await _change(call, ref, domid, lambda driver, machine: driver.tmem_destroy(machine))


@handles("host.tmem_list")
async def list_tmem(call: CallContext, ref: str, domid: int, long: bool) -> str:
    """Lines of the host (G=), its shared pools (S=), guests (C=) and their pools (P=); for one domain, its own."""
    return await _ask(call, ref, domid, lambda driver, machine: driver.tmem_list(machine, long))


@handles(*_SETTINGS)
async def set_setting(call: CallContext, ref: str, domid: int, value: int) -> None:
    """INVALID_VALUE for a number the setting cannot have."""
    name, most = _SETTINGS[call.wire_name]
    _checked_range("value", value, most)
    await _change(call, ref, domid, lambda driver, machine: driver.tmem_set(machine, name, value))


@handles("host.tmem_query_freeable_mb")
async def query_freeable(call: CallContext, ref: str) -> int:
    """Whole MiB that host.tmem_flush could free."""
    return await _ask(call, ref, ALL, lambda driver, machine: driver.tmem_freeable()) // MIB


@handles("host.tmem_shared_auth")
async def share(call: CallContext, ref: str, domid: int, uuid: str, auth: int) -> None:
    """It counts when a guest asks for a pool of that uuid; one it shares already it keeps.

    INVALID_VALUE for what is no uuid, or an `auth` other than 0 and 1. For all guests (-1) the uuid is not looked at,
    as in Xen.
    """
    allowed = _checked_range("auth", auth, 1) == 1
    if domid != ALL:
        try:
            uuid = str(UUID(uuid))
        except ValueError:
            raise E.INVALID_VALUE("uuid", uuid) from None
    await _change(call, ref, domid, lambda driver, machine: driver.tmem_share(machine, uuid, allowed))


async def _change(
    call: CallContext, ref: str, domid: int, change: Callable[[Hypervisor, str | None], Awaitable[None]]
) -> None:
    """Change settings of the machine with that domid, or of all; then write what the domains have now into the records
    of their VMs. Raises what `_ask` does."""
    await _ask(call, ref, domid, change)
    domains = await _ask(call, ref, ALL, lambda driver, machine: driver.domains())
    settings = {domain.uuid: dict(domain.tmem) for domain in domains}

    def note(txn: Txn) -> None:
        for vm in map(call.get, call.store.related(ref, "resident_VMs")):
            if vm["uuid"] in settings:
                txn.update(vm.ref, tmem=settings[vm["uuid"]])

    call.commit(note)


def _checked_range(name: str, value: int, most: int) -> int:
    """INVALID_VALUE unless 0 <= value <= most."""
    if not 0 <= value <= most:
        raise E.INVALID_VALUE(name, str(value))
    return value


async def _ask(
    call: CallContext, ref: str, domid: int, question: Callable[[Hypervisor, str | None], Awaitable[T]]
) -> T:
    """The answer of a host's driver about the machine with that domid, or about all (rule 1). HOST_OFFLINE."""
    check_live(call.store, ref)
    unknown = E.INVALID_VALUE("domid", str(domid))
    machine = None
    if domid != ALL:
        vm = vm_with_domid(call.store, ref, domid)
        if vm is None:
            raise unknown
        machine = vm["uuid"]
    driver = call.services.engine.hypervisors.get(ref)
    if driver is None:
        raise E.HOST_OFFLINE(ref)
    try:
        with told_as({**HOST, "not_found": lambda about, error: unknown}, About(host=ref, operation="tmem")):
            async with asyncio.timeout(ANSWER_WITHIN):
                return await question(driver, machine)
    except TimeoutError:
        raise E.HOST_OFFLINE(ref) from None
