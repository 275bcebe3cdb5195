"""Methods of the compatibility modes over HTTP with pywbem, and what they leave: disks served, states remembered."""

from __future__ import annotations

import base64
import contextlib
import ssl
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from clients import logged_in, wait_until
from server_process import ServerProcess, start_bridge, start_server, until_done

MIB = 1 << 20


@pytest.fixture(scope="module")
def xs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from until_done(start_server(tmp_path_factory.mktemp("xs"), "--speed", "50", "--cim-compat", "xs-cim"))


@contextlib.contextmanager
def faces(server: ServerProcess, namespace: str) -> Iterator[tuple[pywbem.WBEMConnection, Any]]:
    """A connection to the WBEM server, and one to the Xen-API."""
    account = (server.user, server.password)
    with contextlib.ExitStack() as stack:
        wbem = pywbem.WBEMConnection(server.ready["wbem"], account, default_namespace=namespace, timeout=30)
        yield stack.enter_context(wbem), logged_in(stack, server.ready["xenapi"], *account).xenapi


def service(wbem: pywbem.WBEMConnection, name: str) -> pywbem.CIMInstanceName:
    return wbem.EnumerateInstanceNames(name)[0]


def bytes_at(server: ServerProcess, job: pywbem.CIMInstance, data: bytes | None = None) -> tuple[int, bytes]:
    """What the address of a connection answers to a GET, or to a PUT of `data`, over TLS that the job vouches for."""
    context = ssl.create_default_context(cadata=job["SSLCertificate"])
    context.check_hostname = False
    login = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    request = urllib.request.Request(
        job["TargetURI"], data, {"Authorization": f"Basic {login}"}, method="GET" if data is None else "PUT"
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def ended(wbem: pywbem.WBEMConnection, out: Any) -> pywbem.CIMInstance:
    job = wait_until(lambda: (found := wbem.GetInstance(out["Job"]))["JobState"] > 4 and found)
    assert job["JobState"] == 7, job["ErrorDescription"]
    return job


def test_a_connected_disk_image_is_written_and_read_until_it_is_disconnected(xs: ServerProcess) -> None:
    with faces(xs, "root/cimv2") as (wbem, xenapi):
        storage = service(wbem, "Xen_StoragePoolManagementService")
        sr = xenapi.pool.get_default_SR(xenapi.pool.get_all()[0])
        setting = pywbem.CIMInstance(
            "Xen_DiskSettingData",
            {"ResourceType": pywbem.Uint16(17), "PoolID": xenapi.SR.get_uuid(sr), "ElementName": "moved",
             "VirtualQuantity": pywbem.Uint64(4 * MIB), "AllocationUnits": "Bytes"},
        )  # fmt: skip
        value, out = wbem.InvokeMethod("CreateDiskImage", storage, ResourceSetting=setting)
        assert (value, out["ResultingDiskImage"]) == (0, out["Resource"])
        image = out["ResultingDiskImage"]
        value, out = wbem.InvokeMethod("ConnectToDiskImage", storage, DiskImage=image, UseSSL=True)
        assert (value, out["Job"].classname) == (4096, "Xen_ConnectToDiskImageJob")
        job = ended(wbem, out)
        content = b"shop" * 1024
        assert bytes_at(xs, job, content)[0] == 200
        status, data = bytes_at(xs, job)
        assert (status, len(data), data[: len(content)]) == (200, 4 * MIB, content)
        handle = job["ConnectionHandle"]
        ended(wbem, wbem.InvokeMethod("DisconnectFromDiskImage", storage, ConnectionHandle=handle)[1])
        assert [bytes_at(xs, job, data)[0] for data in (None, content)] == [404, 404]
        value, out = wbem.InvokeMethod("ConnectToDiskImage", storage, DiskImage=image, UseSSL=True, ReadOnly=True)
        job = ended(wbem, out)
        assert bytes_at(xs, job)[1][: len(content)] == content
        assert bytes_at(xs, job, content)[0] == 500
        ended(wbem, wbem.InvokeMethod("DisconnectFromDiskImage", storage, ConnectionHandle=job["ConnectionHandle"])[1])
        assert wbem.InvokeMethod("DeleteDiskImage", storage, DiskImage=image) == (0, {})


def test_measurements_of_a_machine_are_told_as_xml(xs: ServerProcess) -> None:
    with faces(xs, "root/cimv2") as (wbem, xenapi):
        vm = next(one for one in xenapi.VM.get_all_records().values()
                  if one["power_state"] == "Running" and not one["is_control_domain"])  # fmt: skip
        keys = {"CreationClassName": "Xen_ComputerSystem", "Name": vm["uuid"]}
        system = pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/cimv2")

        def rows() -> list[ElementTree.Element]:
            value, out = wbem.InvokeMethod(
                "GetPerformanceMetricsForSystem", service(wbem, "Xen_MetricService"), System=system,
                TimeDuration=pywbem.Uint32(10),
            )  # fmt: skip
            assert value == 0
            document = ElementTree.fromstring(out["Metrics"])
            legend = [one.text or "" for one in document.findall("meta/legend/entry")]
            assert all(vm["uuid"] in one for one in legend)
            return document.findall("data/row")

        found = wait_until(rows)
        assert len(found[0].findall("v")) > 0


@pytest.fixture(scope="module")
def bridged(xs: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The same pool, shown by another server in the same mode."""
    directory = tmp_path_factory.mktemp("bridge")
    yield from until_done(start_bridge(directory, xs.ready["xenapi"], "--cim-compat", "xs-cim"))


def test_a_bridge_tells_measurements_and_serves_no_disks(xs: ServerProcess, bridged: ServerProcess) -> None:
    account = (xs.user, xs.password)
    with pywbem.WBEMConnection(bridged.ready["wbem"], account, default_namespace="root/cimv2", timeout=30) as wbem:
        for name in ("Xen_HostComputerSystem", "Xen_ComputerSystem"):
            found = wbem.EnumerateInstances(name)
            system = next(one for one in found if one["EnabledState"] == 2 and one["Caption"] != "XenServer Host")

            def columns(system: pywbem.CIMInstance = system) -> list[str]:
                value, out = wbem.InvokeMethod(
                    "GetPerformanceMetricsForSystem", service(wbem, "Xen_MetricService"), System=system.path,
                    TimeDuration=pywbem.Uint32(10),
                )  # fmt: skip
                document = ElementTree.fromstring(out["Metrics"])
                assert value == 0
                return [one.text or "" for one in document.findall("meta/legend/entry")]

            assert all(system["Name"] in one for one in wait_until(columns))
        image = wbem.EnumerateInstanceNames("Xen_DiskImage")[0]
        storage = service(wbem, "Xen_StoragePoolManagementService")
        assert wbem.InvokeMethod("ConnectToDiskImage", storage, DiskImage=image, ReadOnly=True)[0] == 1


def test_a_refused_state_outlives_the_server(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--cim-compat", "libvirt-cim")
    server = start_server(tmp_path / "one", *options)
    for _ in until_done(server):
        with faces(server, "root/virt") as (wbem, _):
            name = next(
                one["Name"] for one in wbem.EnumerateInstances("Xen_ComputerSystem") if one["EnabledState"] == 3
            )
            keys = {"CreationClassName": "Xen_ComputerSystem", "Name": name}
            path = pywbem.CIMInstanceName("Xen_ComputerSystem", keys, namespace="root/virt")
            with pytest.raises(pywbem.CIMError):
                wbem.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(9))
            assert wbem.GetInstance(path)["RequestedState"] == 9
    again = start_server(tmp_path / "two", *options)
    for _ in until_done(again):
        with faces(again, "root/virt") as (wbem, _):
            assert wbem.GetInstance(path)["RequestedState"] == 9
