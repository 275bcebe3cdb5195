"""The available modes, by the names that `--cim-compat` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from cim_provider.compat import libvirt_cim, xs_cim
from cim_provider.compat.mode import PLAIN, Mode
from xenapi_core.bridge.source import Source

MODES: Mapping[str, Callable[[Source], Mode]] = {
    libvirt_cim.NAME: libvirt_cim.libvirt_cim,
    xs_cim.NAME: xs_cim.xs_cim,
}


def for_no_pool(name: str) -> Mode:
    """The declarations of a mode, which look at the pool only when something is shown."""
    return MODES[name](cast("Source", None))


def mode_named(name: str, source: Source) -> Mode:
    """The mode of that name for one pool; the plain one for no name. KeyError for a name that is none."""
    return MODES[name](source) if name else PLAIN
