"""What clients write to a server process: MOF at the start, and what is left after kill -9."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstance
from server_process import start_server

PART = """
class LAB_Book : CIM_ManagedElement {
    [Key, Override("InstanceID")] string InstanceID; uint32 Pages = 10; [EmbeddedInstance("LAB_Note")] string Note;
};
class LAB_Note { string Text; };
[Association] class LAB_Follows { [Key] LAB_Book REF Before; [Key] LAB_Book REF After; };
"""
BOOKS = """
instance of LAB_Book as $one { InstanceID = "one"; Note = "instance of LAB_Note { Text = \\"hi\\"; };"; };
instance of LAB_Book as $two { InstanceID = "two"; Pages = 20; };
instance of LAB_Follows { Before = $one; After = $two; };
"""


@pytest.fixture
def start(tmp_path: Path):
    """start(*options) serves a small pool with its state in one directory; servers end with the test."""
    servers = []

    def serve(*options: str):
        server = start_server(tmp_path / f"run{len(servers)}", "--hosts", "1", "--vms", "1", "--state",
                              str(tmp_path / "state"), *options)  # fmt: skip
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.kill()


def connect(server, namespace: str) -> pywbem.WBEMConnection:
    return pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace=namespace, timeout=30
    )


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.mof").write_text(text)
    return folder


def test_mof_given_at_the_start_is_served_and_survives_with_the_rest(tmp_path: Path, start) -> None:
    folder = write(tmp_path, model='#pragma include ("part.mof")\n', part=PART, books=BOOKS)
    files = ("--mof", str(folder / "model.mof"), "--mof", str(folder / "books.mof"), "--namespace", "lab/model")
    server = start(*files)
    with connect(server, "lab/model") as client:
        (book,) = client.Associators(client.EnumerateInstanceNames("LAB_Book")[0])
        assert (book["InstanceID"], book["Pages"]) == ("two", 20)
        assert client.GetClass("LAB_Book").superclass == "CIM_ManagedElement"  # taken from the server's schema
        three = client.CreateInstance(CIMInstance("LAB_Book", {"InstanceID": "three"}))
        client.CreateInstance(CIMInstance("LAB_Follows", {"Before": book.path, "After": three}))
        client.CreateClass(pywbem.CIMClass("LAB_Atlas", superclass="LAB_Book"))
    with connect(server, "interop") as interop:
        interop.CreateInstance(CIMInstance("CIM_Namespace", {"Name": "lab/empty"}))
        (capabilities,) = interop.EnumerateInstances("CIM_IndicationServiceCapabilities")
        assert capabilities["SubscriptionsPersisted"] is True
        flt = interop.CreateInstance(
            CIMInstance("CIM_IndicationFilter", {"Query": "SELECT * FROM CIM_InstCreation", "QueryLanguage": "WQL"})
        )
        to = CIMInstance("CIM_ListenerDestinationCIMXML", {"Destination": "http://127.0.0.1:9"})
        ends = {"Filter": flt, "Handler": interop.CreateInstance(to)}
        subscription = interop.CreateInstance(CIMInstance("CIM_IndicationSubscription", ends))
    server.kill()  # what was acknowledged is durable
    server = start(*files)
    with connect(server, "lab/model") as client:
        assert sorted(p["InstanceID"] for p in client.EnumerateInstanceNames("LAB_Book")) == ["one", "three", "two"]
        assert client.GetClass("LAB_Atlas").superclass == "LAB_Book"
        assert [p["InstanceID"] for p in client.AssociatorNames(three)] == ["two"]
        (one,) = [i for i in client.EnumerateInstances("LAB_Book") if i["InstanceID"] == "one"]
        assert one["Note"]["Text"] == "hi"
    with connect(server, "interop") as interop:
        assert interop.GetInstance(subscription)["SubscriptionState"] == 2
        assert set(pywbem.WBEMServer(interop).namespaces) == {"root/cimv2", "interop", "lab/model", "lab/empty"}
        interop.DeleteInstance(subscription)
    assert server.stop() == 0
    server = start()
    with connect(server, "interop") as interop:
        assert interop.EnumerateInstanceNames("CIM_IndicationSubscription") == []
        assert len(interop.EnumerateInstanceNames("CIM_IndicationFilter")) >= 1


def test_nothing_of_it_is_there_without_state(tmp_path: Path) -> None:
    server = start_server(tmp_path / "run", "--hosts", "1", "--vms", "0")
    with connect(server, "interop") as interop:
        (capabilities,) = interop.EnumerateInstances("CIM_IndicationServiceCapabilities")
        assert capabilities["SubscriptionsPersisted"] is False
    assert server.stop() == 0


def test_wrong_mof_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "wrong.mof"
    file.write_text("\nclass LAB_A : LAB_Missing { [Key] string Id; };\n")
    command = [sys.executable, "-m", "xenapi_core.cli.main", "serve", "--demo", "--vms", "0", "--xenapi-port", "0"]
    command += ["--xenapi-tls-port", "-1", "--wbem-port", "0", "--wbem-tls-port", "-1"]
    command += ["--socket", str(tmp_path / "s"), "--mof", str(file), "--namespace", "lab"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert found.stderr == f"Error: {file}:2: there is no superclass LAB_Missing for LAB_A\n"
