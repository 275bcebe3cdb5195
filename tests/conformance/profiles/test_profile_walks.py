"""Each profile as a client finds it: from its registration to the central instances, and from there along every
mandatory association to every mandatory property, in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool, elements, graph, instance_values, path_in
from walk_rows import LIMIT, ROWS, Row, asked

from cim_provider.profiles.profile_registration import PROFILES
from cim_provider.schema.objects import CIMV2, INTEROP, Path


@pytest.fixture(scope="module")
def pool() -> SmallPool:
    pool = SmallPool()
    pool.set("host-0", cpu_info={"cpu_count": "8"})
    pool.set("host-1", cpu_info={"cpu_count": "8"})
    pool.set("sr", physical_size=1 << 40, physical_utilisation=1 << 30)
    pool.vm(
        "web",
        power_state="Running",
        resident_on=pool.refs["host-0"],
        affinity=pool.refs["host-1"],
        metrics={"VCPUs_number": 2, "memory_actual": 1 << 30},
    )
    pool.vm("db")
    pool.vm("template", is_a_template=True)
    pool.disk("disk", "web")
    pool.disk("cd", "web", type="CD", mode="RO", userdevice="3")
    pool.nic("nic", "web")
    pool.disk("db-disk", "db")
    pool.equip("web")
    office = pool.add("network", "office", name_label="office")
    pool.add("PIF", "tagged", host=pool.refs["host-0"], network=office, device="eth0", VLAN=7, currently_attached=True)
    return pool


def found(pool: SmallPool, path: Path, hop: str) -> dict[Path, dict[str, Any]]:
    """What one hop leads to. Every hop back must lead to where it came from."""
    association, role, cls = hop.split()
    reply = pool.run("Associators", path.namespace, ObjectName=path, AssocClass=association, Role=role, ResultClass=cls)
    result = {path_in(one): instance_values(one.find("INSTANCE")) for one in elements(reply.values)}
    for other in result:
        back = pool.run("AssociatorNames", other.namespace, ObjectName=other, AssocClass=association, ResultRole=role)
        assert path in [path_in(one) for one in elements(back.values)], f"{other} does not lead back to {path}"
    return result


def central(pool: SmallPool, name: str) -> dict[Path, dict[str, Any]]:
    """The central instances of a registered profile."""
    registered = [
        one
        for one in elements(pool.run("EnumerateInstances", INTEROP, ClassName="CIM_RegisteredProfile").values)
        if instance_values(one)["RegisteredName"] == name
    ]
    (profile,) = registered
    path = Path.of("Xen_RegisteredProfile", {"InstanceID": instance_values(profile)["InstanceID"]}, INTEROP)
    return found(pool, path, "CIM_ElementConformsToProfile ConformantStandard CIM_ManagedElement")


def test_every_registered_profile_has_rows_or_a_test_of_its_own() -> None:
    elsewhere = {
        "Indications", "Profile Registration", "Job Control", "Power State Management", "Virtual System Migration",
    }  # fmt: skip
    assert {row.profile for row in ROWS} | elsewhere == {profile.name for profile in PROFILES}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " > ".join((row.profile, *(h.split()[2] for h in row.hops))))
def test_mandatory_classes_are_reached_and_say_what_they_must(pool: SmallPool, row: Row) -> None:
    here = central(pool, row.profile)
    for hop in row.hops:
        here = {path: values for start in here for path, values in found(pool, start, hop).items()}
        assert here, f"nothing at the end of {hop}"
    for path, values in here.items():
        cls = hop.split()[2] if row.hops else path.classname
        assert graph().is_a(path.classname, cls)
        missing = [name for name in row.properties if values[name] is None]
        assert missing == [], path


def test_pool_ids_of_settings_name_the_pool_they_are_taken_from(pool: SmallPool) -> None:
    seen = 0
    for path, shown in central(pool, "Resource Allocation").items():
        for values in found(pool, path, asked("CIM_ResourceAllocationSettingData")).values():
            assert values["PoolID"] == shown["PoolID"]
            seen += 1
    assert seen > 10


def test_what_is_now_comes_from_the_host_it_is_on_and_what_is_defined_from_the_preferred_one(pool: SmallPool) -> None:
    hosts = {name: pool.uuid(name) for name in ("host-0", "host-1")}
    for classname in ("Xen_ProcessorSettingData", "Xen_MemorySettingData"):
        assert pool.state_values(classname, "web")["PoolID"] == hosts["host-0"]
        assert pool.values(classname, "web")["PoolID"] == hosts["host-1"]
        assert pool.values(classname, "db")["PoolID"] == "Primordial"


# Capabilities without a default: a request must name a network, or a group of devices.
NO_DEFAULT = {f"Xen:{kind}/Primordial" for kind in ("NetworkPool", "USBPool", "GPUPool")}


def test_each_capability_has_limits_and_a_default_that_can_be_asked_for(pool: SmallPool) -> None:
    for view in ("Processor", "Memory", "Storage", "Network", "Primordial"):
        for one in elements(pool.run("EnumerateInstanceNames", ClassName=f"Xen_{view}AllocationCapabilities").values):
            path = Path.of(path_in(one).classname, {"InstanceID": path_in(one).key("InstanceID")}, CIMV2)
            links = elements(
                pool.run("References", ObjectName=path, ResultClass="CIM_SettingsDefineCapabilities").values
            )
            meaning = {(v["ValueRole"], v["ValueRange"]) for v in map(instance_values, links)}
            default = set() if path.key("InstanceID") in NO_DEFAULT else {("0", "0")}
            assert meaning == default | {("3", "1"), ("3", "2"), ("3", "3")}
            quantities = {
                values["ElementName"]: int(values["VirtualQuantity"])
                for values in found(pool, path, LIMIT).values()
                if values["VirtualQuantity"] is not None
            }
            usual = quantities.get("Default", quantities["Minimum"])
            assert quantities["Minimum"] <= usual <= quantities.get("Maximum", usual)
