"""What a driver's failure means to a caller: the one table from DriverError kinds to Xen-API errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from xenapi_core.drivers.api import DriverError
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """What a driver call was about: references, for the parameters of errors."""

    vm: str = NULL_REF
    host: str = NULL_REF
    sr: str = NULL_REF
    vdi: str = NULL_REF
    device: str = NULL_REF
    operation: str = ""
    size: int = 0  # bytes asked for
    available: int = 0  # bytes there were


_Maker = Callable[[About, DriverError], ApiError]

# fmt: off
MACHINE: Final[Mapping[str, _Maker]] = {
    "not_found":   lambda a, e: E.VM_BAD_POWER_STATE(a.vm, "running", "halted"),
    "exists":      lambda a, e: E.DOMAIN_EXISTS(a.vm, "-1"),
    "bad_state":   lambda a, e: E.OPERATION_NOT_ALLOWED(e.text),
    "no_memory":   lambda a, e: E.HOST_NOT_ENOUGH_FREE_MEMORY(str(a.size), str(a.available)),
    "no_space":    lambda a, e: E.SR_FULL(str(a.size), str(a.available)),
    "in_use":      lambda a, e: E.OPERATION_NOT_ALLOWED(e.text),
    "unsupported": lambda a, e: E.VM_LACKS_FEATURE(a.vm),
    "timeout":     lambda a, e: E.VM_SHUTDOWN_TIMEOUT(a.vm, "1200"),
    "offline":     lambda a, e: E.HOST_OFFLINE(a.host),
    "failed":      lambda a, e: E.DOMAIN_BUILDER_ERROR(a.operation, "failed", e.text),
}
DEVICE: Final[Mapping[str, _Maker]] = {
    **MACHINE,
    "not_found":   lambda a, e: E.DEVICE_ALREADY_DETACHED(a.device),
    "in_use":      lambda a, e: E.DEVICE_ALREADY_EXISTS(a.device),
    "unsupported": lambda a, e: E.VM_MISSING_PV_DRIVERS(a.vm),
    "timeout":     lambda a, e: E.DEVICE_DETACH_REJECTED(a.operation, a.device, e.text),
    "failed":      lambda a, e: E.DEVICE_DETACH_REJECTED(a.operation, a.device, e.text),
}
STORAGE: Final[Mapping[str, _Maker]] = {
    "not_found":   lambda a, e: E.VDI_MISSING(a.sr, a.vdi),
    "exists":      lambda a, e: E.SR_BACKEND_FAILURE("exists", "", e.text),
    "bad_state":   lambda a, e: E.SR_BACKEND_FAILURE("bad_state", "", e.text),
    "no_memory":   lambda a, e: E.SR_BACKEND_FAILURE("no_memory", "", e.text),
    "no_space":    lambda a, e: E.SR_FULL(str(a.size), str(a.available)),
    "in_use":      lambda a, e: E.VDI_IN_USE(a.vdi, a.operation),
    "unsupported": lambda a, e: E.SR_OPERATION_NOT_SUPPORTED(a.sr),
    "timeout":     lambda a, e: E.SR_BACKEND_FAILURE("timeout", "", e.text),
    "failed":      lambda a, e: E.SR_BACKEND_FAILURE("failed", "", e.text),
}
# fmt: on


@contextmanager
def told_as(table: Mapping[str, _Maker], about: About) -> Iterator[None]:
    """Turn a DriverError of the block into its ApiError; the driver's words go to the log."""
    try:
        yield
    except DriverError as error:
        failure = table.get(error.kind, table["failed"])(about, error)
        log.info("driver refused %s: %s (%s) -> %s", about.operation, error.text, error.kind, failure.code)
        raise failure from error


def as_api_error(error: BaseException) -> ApiError | None:
    """The ApiError a failed step means; None if it is our bug."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, DriverError):
        return MACHINE.get(error.kind, MACHINE["failed"])(About(), error)
    return None
