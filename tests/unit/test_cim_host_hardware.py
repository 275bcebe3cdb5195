"""What hosts are made of (processors, memory), and the ports of consoles: instances for some records, and none for
others."""

from __future__ import annotations

import pytest
from cim_pool import SmallPool, elements, key_values, path_in


@pytest.fixture
def pool() -> SmallPool:
    found = SmallPool()
    found.vm("web", power_state="Running", resident_on=found.refs["host-0"])
    return found


@pytest.mark.parametrize(
    ("location", "port"),
    [
        ("https://host/console?uuid=1", 443),
        ("http://host/console", 80),
        ("http://10.0.0.1:8080/console", 8080),
        ("https://[fe80::1]:5989/console", 5989),
        ("https://[fe80::1/console", None),
        ("https://host:99999/console", None),
        ("https://host:port/console", None),
        ("vnc://host/", None),
        ("", None),
    ],
)
def test_the_port_of_a_console_is_that_of_its_address(pool: SmallPool, location: str, port: int | None) -> None:
    pool.add("console", "screen", VM=pool.refs["web"], protocol="rfb", location=location)
    found = [one.values["PortNumber"] for one in pool.renditions("Xen_ConsolePort", "screen")]
    assert found == ([] if port is None else [port])


def test_a_console_of_either_kind_binds_to_its_port_alone(pool: SmallPool) -> None:
    pool.equip("web")
    for name, cls in (("rfb", "Xen_KVMRedirectionSAP"), ("vt100", "Xen_TextRedirectionSAP")):
        (port,) = pool.renditions("Xen_ConsolePort", name)
        reply = pool.run("AssociatorNames", ObjectName=port.path, AssocClass="CIM_BindsTo")
        (found,) = [path_in(one) for one in elements(reply.values)]
        assert (found.classname, found.key("Name")) == (cls, pool.uuid(name))
        back = pool.run("AssociatorNames", ObjectName=found, AssocClass="CIM_BindsTo")
        assert [key_values(one)["Name"] for one in elements(back.values)] == [pool.uuid(name)]


def test_processors_share_the_capabilities_of_their_host(pool: SmallPool) -> None:
    pool.equip("web")
    pool.add("host_cpu", "second", host=pool.refs["host-0"], number=1)
    (shared,) = pool.renditions("Xen_HostProcessorCapabilities", "host-0")
    assert pool.renditions("Xen_HostProcessorCapabilities", "host-1") == ()
    reply = pool.run("AssociatorNames", ObjectName=shared.path, AssocClass="CIM_ElementCapabilities")
    found = [path_in(one) for one in elements(reply.values)]
    assert {one.key("DeviceID") for one in found} == {pool.uuid("cpu"), pool.uuid("second")}
    assert (shared.values["NumberOfProcessorCores"], shared.values["NumberOfHardwareThreads"]) == (1, 1)


def test_the_memory_of_a_host_is_one_piece_of_hardware_that_tells_its_size_alone(pool: SmallPool) -> None:
    (hardware,) = pool.renditions("Xen_PhysicalMemory", "host-0")
    memory = pool.values("Xen_HostMemory", "host-0")
    assert hardware.values["Tag"] == f"Xen:{pool.uuid('host-0')}/physicalMemory"
    assert (hardware.values["Capacity"], memory["BlockSize"] * memory["NumberOfBlocks"]) == (64 << 30, 64 << 30)
    assert (hardware.values["FormFactor"], hardware.values["MemoryType"]) == (0, 0)
    reply = pool.run("AssociatorNames", ObjectName=hardware.path, AssocClass="CIM_Realizes")
    assert [key_values(one)["DeviceID"] for one in elements(reply.values)] == [memory["DeviceID"]]
    pool.set("host-0/metrics", memory_total=96 << 30)
    assert pool.values("Xen_PhysicalMemory", "host-0")["Capacity"] == 96 << 30
    pool.set("host-0", metrics="OpaqueRef:NULL")
    assert pool.values("Xen_PhysicalMemory", "host-0")["Capacity"] == 0
