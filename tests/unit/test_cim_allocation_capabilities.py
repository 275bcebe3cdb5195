"""What allocation capabilities tell is what the management service does: states, and defaults."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import elements, path_in, run
from cim_services import DISKS, GIB, MANAGEMENT, MEMORY, NICS, PROCESSORS, VSSD, Instance, Path, Site, site

from cim_provider.schema.objects import CIMV2

ENABLED = {"Running": 2, "Halted": 3, "Suspended": 6, "Paused": 9}
# Kind of pool -> settings of one more.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ProcessorPool": (PROCESSORS, {"VirtualQuantity": 1}),
    "MemoryPool": (MEMORY, {"VirtualQuantity": 1 << 20}),
    "StoragePool": (DISKS, {"VirtualQuantity": GIB}),
    "NetworkPool": (NICS, {}),
    "DisplayPool": ("Xen_DisplaySettingData", {}),
    "TPMPool": ("Xen_TPMSettingData", {}),
}


def capabilities(at: Site, kind: str) -> dict[str, Any]:
    name = "Xen_PrimordialAllocationCapabilities"
    return at.shown(Path.of(name, {"InstanceID": f"Xen:{kind}/Primordial"}, CIMV2))


async def machine(at: Site, state: str) -> str:
    memory = {"memory_static_min": GIB // 8, "memory_dynamic_min": GIB // 8, "memory_dynamic_max": GIB // 8}
    processors = {"VCPUs_max": 4, "VCPUs_at_startup": 1}
    if state == "Halted":
        return at.sim.add_vm("web", memory=GIB // 4, **memory, **processors)
    vm = await at.sim.running("web", memory=GIB // 4, **memory, **processors)
    if state != "Running":
        await at.sim.call({"Paused": "VM.pause", "Suspended": "VM.suspend"}[state], vm)
    return vm


@pytest.mark.parametrize("state", ENABLED)
@pytest.mark.parametrize("kind", KINDS)
async def test_resources_are_added_and_removed_in_exactly_the_states_that_capabilities_tell(
    kind: str, state: str
) -> None:
    async with site() as at:
        cls, values = KINDS[kind]
        if cls == NICS:
            values = {"PoolID": at.uuid(at.sim.network)}
        told, allowed = capabilities(at, kind), []
        for word in ("", "State"):
            vm = await machine(at, state)
            code, out = await at.ask(
                MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm, word),
                ResourceSettings=(Instance(cls, values),),
            )  # fmt: skip
            allowed.append(code == 0)
            if code == 0:
                (made,) = (path_in(each) for each in out["ResultingResourceSettings"].iter("INSTANCENAME"))
                defined = str(made.key("InstanceID")).replace("/State/", "/")  # the running machine loses it too
                path = Path.of(made.classname, {"InstanceID": defined}, CIMV2)
                code, _ = await at.ask(MANAGEMENT, "RemoveResourceSettings", ResourceSettings=(path,))
                assert (code == 0) == (ENABLED[state] in told["SupportedRemoveStates"]), code
        assert any(allowed) == (ENABLED[state] in told["SupportedAddStates"])


async def test_more_memory_than_a_running_machine_can_have_is_refused_and_nothing_changes() -> None:
    async with site() as at:
        vm = await machine(at, "Running")
        before = at.sim.picture()
        code, _ = await at.ask(
            MANAGEMENT, "AddResourceSettings", AffectedConfiguration=at.settings(vm, "State"),
            ResourceSettings=(Instance(MEMORY, {"VirtualQuantity": GIB}),),
        )  # fmt: skip
        assert code == 4
        assert at.sim.picture() == before


def default(at: Site, kind: str, ref: str) -> int:
    name = {"ProcessorPool": "Processor", "MemoryPool": "Memory", "StoragePool": "Storage"}[kind]
    path = Path.of(f"Xen_{name}CapabilitiesSettingData", {"InstanceID": f"Xen:{kind}/{at.uuid(ref)}/Default"}, CIMV2)
    return int(at.shown(path)["VirtualQuantity"])


async def test_a_machine_that_is_defined_without_amounts_has_the_default_ones() -> None:
    async with site() as at:
        settings = (Instance(PROCESSORS, {}), Instance(MEMORY, {}), Instance(DISKS, {}))
        code, out = await at.ask(
            MANAGEMENT, "DefineSystem", SystemSettings=Instance(VSSD, {}), ResourceSettings=settings
        )
        assert code == 0
        vm = at.store.get(at.made(out, "ResultingSystem", "VM"))
        host = at.sim.hosts[0]
        assert vm["VCPUs_max"] == default(at, "ProcessorPool", host)
        assert vm["memory_static_max"] == default(at, "MemoryPool", host)
        (vbd,) = (at.store.get(ref) for ref in at.store.related(vm.ref, "VBDs"))
        assert at.store.get(vbd["VDI"])["virtual_size"] == default(at, "StoragePool", at.sim.sr)


# Kinds of which a request needs a choice that only the client can make: of a network, of a group of devices.
CHOSEN = {"NetworkPool", "USBPool", "GPUPool"}
# What the default of a primordial pool makes, by ResourceType: the machine's list of it.
MADE = {17: "VBDs", 24: "consoles", 1: "VTPMs"}


async def test_the_default_settings_of_every_pool_can_be_asked_for() -> None:
    async with site() as at:
        pools = defaults(at)
        assert len({path.classname for path in pools}) == 5
        for path in pools:
            code, out = await at.ask(MANAGEMENT, "DefineSystem", ResourceSettings=(at.copy(path),))
            kind = str(path.key("InstanceID")).removeprefix("Xen:").removesuffix("/Default")
            assert code == 0, kind
            vm = at.made(out, "ResultingSystem", "VM")
            if path.classname == "Xen_PrimordialCapabilitiesSettingData":
                made = [name for name in MADE.values() if at.store.related(vm, name)]
                assert made == [name for kind, name in MADE.items() if kind == at.shown(path)["ResourceType"]]
            if path.classname == "Xen_StorageCapabilitiesSettingData":
                (vbd,) = (at.store.get(ref) for ref in at.store.related(vm, "VBDs"))
                of_discs = kind.endswith(at.uuid(at.sim.iso))
                assert (vbd["type"], vbd["mode"]) == (("CD", "RO") if of_discs else ("Disk", "RW"))


def defaults(at: Site) -> list[Path]:
    reply = run(at.pool.provider, "EnumerateInstanceNames", ClassName="CIM_ResourceAllocationSettingData")
    paths = [Path(one.classname, one.keys, CIMV2) for one in map(path_in, elements(reply.values))]
    return [path for path in paths if str(path.key("InstanceID")).endswith("/Default")]


async def test_only_kinds_that_need_a_choice_have_no_default_setting() -> None:
    async with site() as at:
        names = [str(path.key("InstanceID")).split("/") for path in defaults(at)]
        offered = {kind.removeprefix("Xen:") for kind, pool, _ in names if pool == "Primordial"}
        pools = run(at.pool.provider, "EnumerateInstanceNames", ClassName="Xen_PrimordialPool")
        kinds = {str(path_in(one).key("InstanceID")).split("/")[0] for one in elements(pools.values)}
        assert {kind.removeprefix("Xen:") for kind in kinds} - offered == CHOSEN


async def test_quantities_of_a_primordial_pool_are_in_their_unit() -> None:
    async with site() as at:
        name = "Xen_PrimordialCapabilitiesSettingData"
        units = {
            kind: at.shown(Path.of(name, {"InstanceID": f"Xen:{kind}/Primordial/Minimum"}, CIMV2))
            for kind in ("ProcessorPool", "MemoryPool", "StoragePool", "NetworkPool")
        }
        assert {kind: found["VirtualQuantityUnits"] for kind, found in units.items()} == {
            "ProcessorPool": "count", "MemoryPool": "byte", "StoragePool": "byte", "NetworkPool": "count"
        }  # fmt: skip
