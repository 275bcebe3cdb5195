"""Translates failures of drivers to Xen-API errors: one table for each sort of call.

Rule 1: one table for each sort of call, because the same kind means different things: a call about a guest, about a
        disk that is attached, or about a host without any VM. Each table knows every kind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from xenapi_core.drivers.api import GUEST_PATIENCE, DriverError
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
    device_type: str = ""  # class of the device
    operation: str = ""
    size: int = 0  # bytes asked for
    available: int = 0  # bytes there were


_Maker = Callable[[About, DriverError], ApiError]
_PATIENCE: Final = f"{GUEST_PATIENCE:.0f}"  # as errors spell it


def _failed(about: About, error: DriverError) -> ApiError:
    return E.DOMAIN_BUILDER_ERROR(about.operation, error.kind, error.text)


def _not_allowed(about: About, error: DriverError) -> ApiError:
    return E.OPERATION_NOT_ALLOWED(error.text)


def _rejected(about: About, error: DriverError) -> ApiError:
    return E.DEVICE_DETACH_REJECTED(about.device_type, about.device, error.text)


# fmt: off
# Calls about a machine that exists.
MACHINE: Final[Mapping[str, _Maker]] = {
    "not_found":   lambda a, e: E.VM_BAD_POWER_STATE(a.vm, "running", "halted"),
    "exists":      lambda a, e: E.DOMAIN_EXISTS(a.vm, "-1"),
    "bad_state":   _not_allowed,
    "no_memory":   lambda a, e: E.HOST_NOT_ENOUGH_FREE_MEMORY(str(a.size), str(a.available)),
    "no_space":    lambda a, e: E.SR_FULL(str(a.size), str(a.available)),
    "in_use":      _not_allowed,
    "unsupported": lambda a, e: E.VM_LACKS_FEATURE(a.vm),
    "timeout":     _failed,
    "offline":     lambda a, e: E.HOST_OFFLINE(a.host),
    "failed":      _failed,
}
# A machine that is to be built; what is not found is one of its volumes.
START: Final[Mapping[str, _Maker]] = {**MACHINE, "not_found": _failed}
# A machine whose memory is in the volume `vdi`.
RESUME: Final[Mapping[str, _Maker]] = {**MACHINE, "not_found": lambda a, e: E.SUSPEND_IMAGE_NOT_ACCESSIBLE(a.vdi)}
# A guest that is asked to end, or to let itself be saved.
SHUTDOWN: Final[Mapping[str, _Maker]] = {**MACHINE, "timeout": lambda a, e: E.VM_SHUTDOWN_TIMEOUT(a.vm, _PATIENCE)}
SUSPEND: Final[Mapping[str, _Maker]] = {**MACHINE, "timeout": lambda a, e: E.VM_SUSPEND_TIMEOUT(a.vm, _PATIENCE)}
# A device that a machine has.
DEVICE: Final[Mapping[str, _Maker]] = {
    **MACHINE,
    "not_found":   lambda a, e: E.DEVICE_ALREADY_DETACHED(a.device),
    "unsupported": lambda a, e: E.VM_MISSING_PV_DRIVERS(a.vm),
}
ATTACH: Final[Mapping[str, _Maker]] = {
    **DEVICE,
    "not_found":   _failed,
    "exists":      lambda a, e: E.DEVICE_ALREADY_ATTACHED(a.device),
    "in_use":      lambda a, e: E.DEVICE_ALREADY_EXISTS(a.device),
    "timeout":     lambda a, e: E.DEVICE_ATTACH_TIMEOUT(a.device_type, a.device),
}
DETACH: Final[Mapping[str, _Maker]] = {
    **DEVICE,
    "in_use":      _rejected,
    "timeout":     lambda a, e: E.DEVICE_DETACH_TIMEOUT(a.device_type, a.device),
    "failed":      _rejected,
}
# A host, without any VM.
HOST: Final[Mapping[str, _Maker]] = {
    **MACHINE,
    "not_found":   _not_allowed,
    "exists":      _not_allowed,
    "unsupported": _not_allowed,
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
    "offline":     lambda a, e: E.SR_BACKEND_FAILURE("offline", "", e.text),
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
        return HOST.get(error.kind, HOST["failed"])(About(), error)
    return None
