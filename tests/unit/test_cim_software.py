"""Software identities: what the versions that hosts and guests tell become, and whose software it is."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import SmallPool, elements, instance_values, path_in

from cim_provider.mapping.extent import Rendition
from cim_provider.profiles.profile_registration import PROFILES
from cim_provider.profiles.wbem_server import VERSION
from cim_provider.schema.objects import CIMV2, INTEROP, Path

HOST, GUEST = "Xen_HostSoftwareIdentity", "Xen_GuestSoftwareIdentity"
TOLD = {
    "product_brand": "XCP-ng", "product_version": "8.3.0", "build_number": "cloud", "platform_name": "XCP",
    "platform_version": "3.4.0", "xapi": "24.19", "xen": "4.17.5-13", "linux": "4.19.0+1", "hostname": "localhost",
}  # fmt: skip


def by_word(pool: SmallPool, classname: str, name: str) -> dict[str, Rendition]:
    """The software of a record, by the last word of its InstanceID."""
    return {one.values["InstanceID"].rpartition("/")[2]: one for one in pool.renditions(classname, name)}


def numbers(shown: Rendition) -> list[int | None]:
    return [shown.values[name] for name in ("MajorVersion", "MinorVersion", "RevisionNumber", "BuildNumber")]


def guest(pool: SmallPool, **told: Any) -> SmallPool:
    pool.vm("web", guest_metrics=pool.add("VM_guest_metrics", "told", **told))
    return pool


def test_a_host_has_the_software_whose_versions_it_tells() -> None:
    pool = SmallPool()
    pool.set("host-0", software_version=TOLD)
    found = by_word(pool, HOST, "host-0")
    assert {word: (one.values["ElementName"], one.values["VersionString"]) for word, one in found.items()} == {
        "product": ("XCP-ng", "8.3.0"), "platform": ("XCP", "3.4.0"), "xapi": ("xapi", "24.19"),
        "xen": ("Xen", "4.17.5-13"), "linux": ("Linux", "4.19.0+1"),
    }  # fmt: skip
    assert [numbers(one) for one in found.values()] == [
        [8, 3, 0, None], [3, 4, 0, None], [24, 19, None, None], [4, 17, 5, None], [4, 19, 0, None],
    ]  # fmt: skip
    assert all(one.values["IsEntity"] is True for one in found.values())
    assert by_word(pool, HOST, "host-1") == {}


@pytest.mark.parametrize(
    ("version", "build", "expected"),
    [
        ("8.3.0", "1234", [8, 3, 0, 1234]),
        ("8", "", [8, None, None, None]),
        ("65535.65536.1", "65536", [65535, None, 1, None]),
        ("123456", "-1", [None, None, None, None]),
        ("trunk", "0x1f", [None, None, None, None]),
        ("8.x", "", [8, None, None, None]),
    ],
)
def test_numbers_are_told_where_the_version_has_them(version: str, build: str, expected: list[int | None]) -> None:
    pool = SmallPool()
    pool.set("host-0", software_version={"product_version": version, "build_number": build})
    (found,) = by_word(pool, HOST, "host-0").values()
    assert (found.values["VersionString"], found.values["ElementName"]) == (version, "Product")
    assert numbers(found) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"name": "Debian GNU/Linux 12 (bookworm)", "major": "12", "minor": "5"}, "12.5"),
        ({"name": "Debian GNU/Linux 12 (bookworm)", "minor": "5", "uname": "6.1.0"}, "6.1.0"),
        ({"distro": "debian", "major": "12"}, "12"),
        ({"name": "Debian"}, None),
        ({"major": "12"}, None),
        ({}, None),
    ],
)
def test_the_system_of_a_guest_needs_a_name_and_a_version(told: dict[str, str], expected: str | None) -> None:
    pool = guest(SmallPool(), os_version=told)
    found = [one.values["VersionString"] for one in by_word(pool, GUEST, "web").values()]
    assert found == ([] if expected is None else [expected])


def test_the_name_of_a_system_ends_where_its_paths_begin() -> None:
    pool = guest(SmallPool(), os_version={"name": r"Windows Server|C:\Windows|\Device", "major": "10", "minor": "0"})
    assert by_word(pool, GUEST, "web")["system"].values["ElementName"] == "Windows Server"


def test_guest_tools_have_the_version_and_build_they_tell() -> None:
    version = {"major": "7", "minor": "30", "micro": "0", "build": "12"}
    found = by_word(guest(SmallPool(), PV_drivers_version=version), GUEST, "web")
    assert list(found) == ["tools"]
    assert (found["tools"].values["VersionString"], numbers(found["tools"])) == ("7.30.0", [7, 30, 0, 12])


def test_templates_and_machines_without_tools_show_no_software() -> None:
    pool = guest(SmallPool(), PV_drivers_version={"major": "7"})
    pool.vm("db")
    assert pool.renditions(GUEST, "db") == ()
    pool.set("web", is_a_template=True)
    assert pool.renditions(GUEST, "web") == ()


def states(pool: SmallPool, path: Path, namespace: str = CIMV2) -> list[list[str]]:
    reply = pool.run("References", namespace, ObjectName=path, ResultClass="CIM_ElementSoftwareIdentity")
    return [instance_values(one)["ElementSoftwareStatus"] for one in elements(reply.values)]


def test_software_is_installed_on_its_system_and_current_while_that_runs() -> None:
    pool = guest(SmallPool(), PV_drivers_version={"major": "7"})
    pool.set("host-0", software_version={"xen": "4.17"})
    (tools,) = pool.renditions(GUEST, "web")
    for path, software in ((pool.path("web"), tools), (pool.path("host-0", "Xen_HostComputerSystem"), None)):
        reply = pool.run("AssociatorNames", ObjectName=path, AssocClass="CIM_InstalledSoftwareIdentity")
        (found,) = [path_in(one) for one in elements(reply.values)]
        assert software is None or found.key("InstanceID") == software.values["InstanceID"]
    assert states(pool, tools.path) == [["6"]]
    pool.set("web", power_state="Running")
    assert states(pool, tools.path) == [["2", "6"]]
    assert states(pool, pool.path("host-0", "Xen_HostComputerSystem")) == [["2", "6"]]


def test_this_server_is_the_software_that_implements_every_profile() -> None:
    pool = SmallPool()
    (server,) = elements(pool.run("EnumerateInstances", INTEROP, ClassName="CIM_SoftwareIdentity").values)
    assert instance_values(server)["VersionString"] == VERSION
    path = Path.of("Xen_ServerSoftwareIdentity", {"InstanceID": "Xen:Software/xencim"}, INTEROP)
    reply = pool.run("AssociatorNames", INTEROP, ObjectName=path, AssocClass="CIM_ElementSoftwareIdentity")
    found = {path_in(one).key("InstanceID") for one in elements(reply.values)}
    assert found == {profile.instance_id for profile in PROFILES}


@pytest.mark.parametrize(
    ("collection", "profile"),
    [("Systems", "Virtual System"), ("Settings", "Resource Allocation"), ("Jobs", "Job Control")],
)
def test_ready_made_filters_lead_to_the_profile_they_are_about(collection: str, profile: str) -> None:
    pool = SmallPool()
    path = Path.of("Xen_FilterCollection", {"InstanceID": f"Xen:Indications:{collection}"}, INTEROP)
    reply = pool.run("Associators", INTEROP, ObjectName=path, AssocClass="CIM_ConcreteDependency", Role="Dependent")
    (found,) = [instance_values(one) for one in elements(reply.values)]
    assert found["RegisteredName"] == profile
