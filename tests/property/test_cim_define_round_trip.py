"""What DefineSystem is asked for is what the Xen-API shows, and what the next DefineSystem from that machine gives."""

from __future__ import annotations

from typing import Any

from cim_services import DISKS, MANAGEMENT, MEMORY, NICS, PROCESSORS, VSSD, Instance, Path, Site, in_time, site
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

MIB = 1 << 20
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
# Properties that are of the machine or pool and not of its definition.
OWN = {"InstanceID", "VirtualSystemIdentifier", "CreationTime", "Address", "HostExtentName", "HostResource"}


@st.composite
def systems(draw: st.DrawFn) -> dict[str, Any]:
    given = {
        "ElementName": draw(WORDS),
        "Description": draw(WORDS),
        "Notes": tuple(sorted(draw(st.sets(WORDS, max_size=3)))),
        "AutomaticStartupAction": draw(st.sampled_from([None, 2, 4])),
        "AutomaticShutdownAction": draw(st.sampled_from([None, 2, 3, 4])),
        "AutomaticRecoveryAction": draw(st.sampled_from([None, 2, 3])),
        "AutomaticStartupActionSequenceNumber": draw(st.none() | st.integers(0, 1000)),
        "VirtualSystemType": draw(st.sampled_from([None, "DMTF:Xen:HVM", "DMTF:Xen:PV"])),
        "PV_Args": draw(st.none() | st.sampled_from(["console=hvc0", "ro quiet"])),
    }
    return {name: value for name, value in given.items() if value is not None}


@st.composite
def memory(draw: st.DrawFn) -> dict[str, Any]:
    size = draw(st.integers(16, 4096))
    unit, factor = draw(st.sampled_from([("byte", MIB), ("byte*2^20", 1), ("MegaBytes", 1), ("byte * 2^10", 1024)]))
    low = draw(st.integers(8, size))
    high = draw(st.integers(low, size))
    found = {"VirtualQuantity": size * factor, "AllocationUnits": unit}
    return found | draw(st.sampled_from([{}, {"Reservation": low * factor, "Limit": high * factor}]))


@st.composite
def processors(draw: st.DrawFn) -> dict[str, Any]:
    most = draw(st.integers(1, 8))
    given = {
        "VirtualQuantity": most,
        "VCPUsAtStartup": draw(st.none() | st.integers(1, most)),
        "Weight": draw(st.none() | st.integers(1, 65535)),
        "Limit": draw(st.none() | st.integers(1, 800)),
    }
    return {name: value for name, value in given.items() if value is not None}


@st.composite
def disks(draw: st.DrawFn) -> dict[str, Any]:
    given = {
        "VirtualQuantity": draw(st.integers(1, 16)) * 4 * MIB,  # storage rounds up to even MiB
        "Access": draw(st.sampled_from([None, 1, 3])),
        "Bootable": draw(st.none() | st.booleans()),
    }
    return {name: value for name, value in given.items() if value is not None}


NIC = st.fixed_dictionaries({}, optional={"Limit": st.integers(1, 4096), "SourceMACFilteringEnabled": st.just(True)})
RESOURCES = st.tuples(memory(), processors(), st.lists(disks(), max_size=2), st.lists(NIC, max_size=2))


def shown(at: Site, vm: str) -> list[tuple[str, dict[str, Any]]]:
    """The configuration of a machine, without what is its own."""
    parts = [at.settings(vm), *at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")]
    found = []
    for path in parts:
        values = {name: value for name, value in at.shown(path).items() if name not in OWN}
        found.append((path.classname, values))
    return sorted(found, key=lambda one: (one[0], str(one[1].get("AddressOnParent"))))


def check_system(at: Site, path: Path, asked: dict[str, Any]) -> None:
    told = at.shown(path)
    assert {name: told[name] for name in asked} == asked


async def define(at: Site, **params: Any) -> str:
    value, out = await at.ask(MANAGEMENT, "DefineSystem", **params)
    assert value == 0
    return at.made(out, "ResultingSystem", "VM")


async def round_trip(at: Site, system: dict[str, Any], resources: Any) -> None:
    ram, cpu, images, nics = resources
    network = {"PoolID": at.uuid(at.sim.network), "AllocationUnits": "byte/second*2^10"}
    asked = (
        Instance(MEMORY, ram), Instance(PROCESSORS, cpu), *(Instance(DISKS, each) for each in images),
        *(Instance(NICS, {**each, **network}) for each in nics),
    )  # fmt: skip
    vm = await define(at, SystemSettings=Instance(VSSD, system), ResourceSettings=asked)
    check_system(at, at.settings(vm), system)
    told = at.shown(at.settings(vm, "Processor", PROCESSORS))
    assert {name: told[name] for name in cpu} == cpu
    record = at.store.get(vm)
    unit = {"byte": 1, "byte*2^20": MIB, "MegaBytes": MIB, "byte * 2^10": 1024}[ram["AllocationUnits"]]
    assert record["memory_static_max"] == ram["VirtualQuantity"] * unit
    if "Limit" in ram:
        assert record["memory_dynamic_min"] == ram["Reservation"] * unit
        assert record["memory_dynamic_max"] == ram["Limit"] * unit
    vbds = [at.store.get(ref) for ref in at.store.related(vm, "VBDs")]
    sizes = sorted(at.store.get(vbd["VDI"])["virtual_size"] for vbd in vbds)
    assert sizes == sorted(each["VirtualQuantity"] for each in images)
    rates = sorted(at.store.get(ref)["qos_algorithm_params"].get("kbps", "") for ref in at.store.related(vm, "VIFs"))
    assert rates == sorted(str(each["Limit"]) if "Limit" in each else "" for each in nics)
    # The same again from the machine as reference: alone, and with all it shows.
    before = shown(at, vm)
    clone = await define(at, ReferenceConfiguration=at.settings(vm))
    parts = at.related(at.settings(vm), "Xen_VirtualSystemSettingDataComponent")
    all_of_it = {"SystemSettings": at.copy(at.settings(vm)), "ResourceSettings": tuple(at.copy(p) for p in parts)}
    other = await define(at, ReferenceConfiguration=at.settings(vm), **all_of_it)
    assert shown(at, clone) == shown(at, other) == before
    assert shown(at, vm) == before
    for made in (vm, clone, other):
        assert (await at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=at.system(made)))[0] == 0


@settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(systems(), RESOURCES)
def test_a_definition_comes_back_as_it_was_asked_for(system: dict[str, Any], resources: Any) -> None:
    async def work() -> None:
        async with site() as at:
            await round_trip(at, system, resources)
            assert set(at.store.all("VM")) == set()
            assert [vdi for vdi in at.store.all("VDI").values() if vdi["type"] == "user"] == []

    in_time(work())
