"""What the interop tests share: waiting for the server, and finding one VM through each face."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pywbem
import XenAPI


def wait_until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `what()`; fails when it stays false for `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has now, for a listener that must be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def opened(stack: ExitStack, url: str, **options: Any) -> Any:
    """A PyPI XenAPI session that is not logged in; its sockets close with `stack`."""
    session = XenAPI.Session(url, **options)
    stack.callback(session("close"))
    return session


def logged_in(stack: ExitStack, url: str, user: str, password: str, **options: Any) -> Any:
    """The same, logged in."""
    session = opened(stack, url, **options)
    session.login_with_password(user, password, "2.21", "tests")
    return session


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
