"""Pools shown in a compatibility mode: one that can only be read, and one whose services work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any

from cim_pool import SmallPool
from cim_services import Site, site

from cim_provider.compat.modes import mode_named
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.view import VIEWS
from cim_provider.provider import CimProvider
from cim_provider.schema.compile import load_graph, mof_root
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import CIMV2, CimError, Path
from xenapi_core.bridge.source import Source


@cache
def graph(*files: str) -> ClassGraph:
    """The class graph of a mode, loaded once for all tests."""
    plain = [mof_root() / "dmtf" / "xencim_dmtf.mof", mof_root() / "xen" / "xencim.mof"]
    return load_graph(plain, amending=[mof_root() / "xen" / name for name in files])


def provider_in(name: str, source: Source) -> CimProvider:
    mode = mode_named(name, source)
    return CimProvider(source, graph(*mode.mof), mode=mode)


class ModePool(SmallPool):
    """Machines in each power state, `web` with a disk, a drive, an interface and a screen, and a template."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.provider = provider_in(mode, self.source)
        for name, state in (("web", "Running"), ("off", "Halted"), ("held", "Paused"), ("asleep", "Suspended")):
            self.vm(name, power_state=state, metrics={"memory_actual": 2 << 30} if state == "Running" else {})
        self.disk("web-disk", "web", device="xvda")
        self.disk("off-disk", "off")
        self.disk("off-cd", "off", type="CD", mode="RO", userdevice="3")
        self.nic("web-nic", "web", qos_algorithm_type="ratelimit", qos_algorithm_params={"kbps": "100"})
        self.nic("off-nic", "off", MAC="52:54:00:AB:CD:01")
        self.equip("web")
        self.vm("template", is_a_template=True)
        self.disk("template-disk", "template")
        self.vm("dom0", is_control_domain=True, power_state="Running", resident_on=self.refs["host-0"])
        tools = self.add("VM_guest_metrics", "web/tools", PV_drivers_detected=True, PV_drivers_version={"major": "9"})
        self.set("web", guest_metrics=tools)
        self.set("host-0", software_version={"xen": "4.17"})
        self.set("pool", default_SR=self.refs["sr"])
        self.set("sr", physical_size=100 << 30)

    def one(self, view: str, record: str) -> Rendition:
        """What a declared view is shown as, of one record."""
        (found,) = self.renditions(view, record)
        return found  # type: ignore[no-any-return]

    def values(self, classname: str, name: str) -> Mapping[str, Any]:
        return self.one(classname, name).values

    def shown(self, classname: str) -> list[Rendition]:
        """All instances of a class, as EnumerateInstances gives them."""
        return [one for extent in self.provider.extents(CIMV2, classname) for one in extent]

    def shown_in(self, classname: str) -> list[Rendition]:
        """As `shown`, without what is of other classes."""
        graph = self.provider.graph(CIMV2)
        return [one for one in self.shown(classname) if graph.is_a(one.path.classname, classname)]

    def shown_as(self, view: str, record: str, classname: str) -> Rendition:
        """What a declared view is shown as: an instance of `classname`, which EnumerateInstances gives too."""
        found = self.one(view, record)
        assert found.path.classname == classname
        assert found.path in [one.path for one in self.shown(classname)]
        return found

    def state(self, record: str, *properties: str) -> tuple[Any, ...]:
        """These properties of a machine."""
        values = self.values("Xen_ComputerSystem", record)
        return tuple(values[name] for name in properties)

    def ends(self, association: str, view: str, record: str, role: str) -> list[Rendition]:
        """The other ends of the links in which the one instance plays `role`."""
        found = next(a for a in self.provider.associations(CIMV2) if a.cim == association)
        one = self.one(view, record)
        return [link.right if role == found.left else link.left for link in found.links_of(self.provider, one, role)]


@contextlib.asynccontextmanager
async def mode_site(mode: str, hosts: int = 1) -> AsyncIterator[Site]:
    """A working pool shown in a mode; what its pool says about jobs is "always"."""
    async with site(hosts=hosts, mode="always") as found:
        found.pool.provider = provider_in(mode, found.pool.source)
        try:
            yield found
        finally:
            await found.pool.provider.jobs.close()


def path_of(at: Site, ref: str, view: str) -> Path:
    """The path a record is shown under."""
    (found,) = at.pool.provider.extent(VIEWS[view]).of(at.store.get(ref))
    return found.path


__all__ = ["CIMV2", "CimError", "ModePool", "Path", "mode_site", "path_of", "provider_in"]
