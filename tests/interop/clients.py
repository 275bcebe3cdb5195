"""What the interop tests share: waiting for the server, and finding one VM through each face."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pywbem


def wait_until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `what()`; fails when it stays false for `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.02)
    return value


def vm_named(xenapi: Any, name: str) -> str:
    """The reference of the one VM called `name`."""
    (ref,) = xenapi.VM.get_by_name_label(name)
    return ref


def cs_path(xenapi: Any, ref: str) -> pywbem.CIMInstanceName:
    """The CIM path of a VM."""
    return pywbem.CIMInstanceName(
        "Xen_ComputerSystem",
        {"CreationClassName": "Xen_ComputerSystem", "Name": xenapi.VM.get_uuid(ref)},
        namespace="root/cimv2",
    )
