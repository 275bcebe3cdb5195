"""Every public operation of pywbem's client classes, against a server process with a small model in `lab`.

Each operation is a row of CALLS; a test compares the rows with what pywbem has.
"""

from __future__ import annotations

import inspect
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pywbem
from clients import free_port, wait_until
from pywbem import CIMClass, CIMInstance, CIMInstanceName, CIMProperty, CIMQualifierDeclaration, Uint16, Uint32
from server_process import ServerProcess, start_server, until_done

MODEL = """
class LAB_Book { [Key] string InstanceID; uint32 Pages = 10; };
class LAB_Atlas : LAB_Book { real64 Scale; };
[Association] class LAB_Follows { [Key] LAB_Book REF Before; [Key] LAB_Book REF After; };
instance of LAB_Book as $one { InstanceID = "one"; };
instance of LAB_Atlas as $two { InstanceID = "two"; Pages = 20; };
instance of LAB_Follows { Before = $one; After = $two; };
"""
ONE = CIMInstanceName("LAB_Book", {"InstanceID": "one"}, namespace="lab")
LONG = "SELECT * FROM LAB_Book WHERE Pages > 15"

Client = pywbem.WBEMConnection


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "lab.mof").write_text(MODEL)
    words = ("--hosts", "1", "--vms", "2", "--mof", str(folder / "lab.mof"), "--namespace", "lab")
    yield from until_done(start_server(folder / "server", *words))


def connect(server: ServerProcess, namespace: str = "lab", **more: Any) -> Client:
    return Client(server.ready["wbem"], (server.user, server.password), default_namespace=namespace, timeout=30, **more)


@pytest.fixture
def client(lab: ServerProcess) -> Iterator[Client]:
    with connect(lab, use_pull_operations=True) as found:
        yield found


def ids(found: Any) -> list[str]:
    return sorted(one["InstanceID"] for one in found)


def status(call: Callable[..., Any], *args: Any, **more: Any) -> str:
    with pytest.raises(pywbem.CIMError) as error:
        call(*args, **more)
    return str(error.value.status_code_name).removeprefix("CIM_ERR_")


def pulled(opened: Any, pull: Callable[..., Any], kind: str = "instances") -> list[Any]:
    """Everything an enumeration gives; one object at a time."""
    found = list(getattr(opened, kind))
    while not opened.eos:
        opened = pull(opened.context, MaxObjectCount=1)
        found += getattr(opened, kind)
    return found


def shelf(name: str) -> CIMQualifierDeclaration:
    return CIMQualifierDeclaration(name, "string", scopes={"CLASS": True})


# ---- one function for each operation


def classes(client: Client) -> None:
    client.CreateClass(CIMClass("LAB_Made", superclass="LAB_Book"))
    assert client.GetClass("LAB_Made", LocalOnly=False).properties["Pages"].value == 10
    more = CIMClass("LAB_Made", superclass="LAB_Book", properties=[CIMProperty("More", None, "string")])
    client.ModifyClass(more)
    assert "More" in client.GetClass("LAB_Made").properties
    assert "LAB_Made" in client.EnumerateClassNames(ClassName="LAB_Book")
    assert "LAB_Made" in [cls.classname for cls in client.EnumerateClasses(ClassName="LAB_Book", LocalOnly=False)]
    client.DeleteClass("LAB_Made")
    assert status(client.GetClass, "LAB_Made") == "NOT_FOUND"


def qualifiers(client: Client) -> None:
    client.SetQualifier(shelf("Shelf"))
    assert client.GetQualifier("shelf").scopes["CLASS"] is True
    assert "Shelf" in [one.name for one in client.EnumerateQualifiers()]
    client.DeleteQualifier("Shelf")
    assert status(client.GetQualifier, "Shelf") == "NOT_FOUND"


def instances(client: Client) -> None:
    path = client.CreateInstance(CIMInstance("LAB_Book", {"InstanceID": "new", "Pages": Uint32(1)}))
    client.ModifyInstance(CIMInstance("LAB_Book", {"Pages": Uint32(2)}, path=path))
    assert client.GetInstance(path)["Pages"] == 2
    assert "new" in ids(client.EnumerateInstances("LAB_Book"))
    assert "new" in ids(client.EnumerateInstanceNames("LAB_Book"))
    client.DeleteInstance(path)
    assert status(client.GetInstance, path) == "NOT_FOUND"


def method(client: Client) -> None:
    (host,) = client.EnumerateInstanceNames("Xen_HostComputerSystem", namespace="root/cimv2")
    assert client.InvokeMethod("RequestStateChange", host, RequestedState=Uint16(9999))[0] != 0
    assert status(client.InvokeMethod, "NoSuchMethod", host) == "METHOD_NOT_FOUND"


def indication_sent_to_a_server(client: Client) -> None:
    with pytest.raises(pywbem.HTTPError) as error:
        client.ExportIndication(CIMInstance("CIM_AlertIndication"))
    assert error.value.cimerror == "unsupported-operation"  # a server is no listener


def enumeration_closed(client: Client) -> None:
    opened = client.OpenEnumerateInstances("LAB_Book", MaxObjectCount=0)
    client.CloseEnumeration(opened.context)
    assert status(client.PullInstancesWithPath, opened.context, MaxObjectCount=1) == "INVALID_ENUMERATION_CONTEXT"


def query(client: Client) -> None:
    assert ids(client.ExecQuery("DMTF:CQL", LONG)) == ["two"]
    assert ids(client.ExecQuery("WQL", LONG)) == ["two"]


def query_opened(client: Client) -> None:
    opened = client.OpenQueryInstances("DMTF:CQL", LONG, ReturnQueryResultClass=True, MaxObjectCount=0)
    assert opened.query_result_class.classname == "LAB_Book"
    assert ids(pulled(opened, client.PullInstances)) == ["two"]


def query_iterated(client: Client) -> None:
    found = client.IterQueryInstances("DMTF:CQL", LONG, ReturnQueryResultClass=True, MaxObjectCount=1)
    assert (found.query_result_class.classname, ids(found.generator)) == ("LAB_Book", ["two"])


def opened_instances(client: Client) -> None:
    everything = client.OpenEnumerateInstances("LAB_Book", MaxObjectCount=1)
    assert ids(pulled(everything, client.PullInstancesWithPath)) == ["one", "two"]


def opened_paths(client: Client) -> None:
    everything = client.OpenEnumerateInstancePaths("LAB_Book", MaxObjectCount=1)
    assert ids(pulled(everything, client.PullInstancePaths, "paths")) == ["one", "two"]


def plain(name: str, expected: list[str], *args: Any, **params: Any) -> Callable[[Client], None]:
    """An operation that returns instances or paths of books."""
    return lambda client: _same(ids(getattr(client, name)(*args, **params)), expected)


def links(name: str) -> Callable[[Client], None]:
    """An operation that returns the association of the books."""
    return lambda client: _same([one["After"]["InstanceID"] for one in getattr(client, name)(ONE)], ["two"])


def opened(name: str, role: str = "") -> Callable[[Client], None]:
    """An operation that opens an enumeration of what is around book one."""

    def call(client: Client) -> None:
        kind, pull = "instances", client.PullInstancesWithPath
        if name.endswith("Paths"):
            kind, pull = "paths", client.PullInstancePaths
        found = pulled(getattr(client, name)(ONE, MaxObjectCount=0), pull, kind)
        _same([one[role]["InstanceID"] if role else one["InstanceID"] for one in found], ["two"])

    return call


def _same(found: object, expected: object) -> None:
    assert found == expected


BOOKS = ["one", "two"]
CALLS: dict[str, Callable[[Client], None]] = {
    **dict.fromkeys(
        ("CreateClass", "ModifyClass", "DeleteClass", "GetClass", "EnumerateClasses", "EnumerateClassNames"), classes
    ),
    **dict.fromkeys(("SetQualifier", "GetQualifier", "EnumerateQualifiers", "DeleteQualifier"), qualifiers),
    **dict.fromkeys(("CreateInstance", "ModifyInstance", "DeleteInstance", "GetInstance"), instances),
    "EnumerateInstances": plain("EnumerateInstances", BOOKS, "LAB_Book"),
    "EnumerateInstanceNames": plain("EnumerateInstanceNames", BOOKS, "LAB_Book"),
    "Associators": plain("Associators", ["two"], ONE),
    "AssociatorNames": plain("AssociatorNames", ["two"], ONE),
    "References": links("References"),
    "ReferenceNames": links("ReferenceNames"),
    "ExecQuery": query,
    "InvokeMethod": method,
    "ExportIndication": indication_sent_to_a_server,
    "OpenEnumerateInstances": opened_instances,
    "PullInstancesWithPath": opened_instances,
    "OpenEnumerateInstancePaths": opened_paths,
    "PullInstancePaths": opened_paths,
    "OpenAssociatorInstances": opened("OpenAssociatorInstances"),
    "OpenAssociatorInstancePaths": opened("OpenAssociatorInstancePaths"),
    "OpenReferenceInstances": opened("OpenReferenceInstances", "After"),
    "OpenReferenceInstancePaths": opened("OpenReferenceInstancePaths", "After"),
    "OpenQueryInstances": query_opened,
    "PullInstances": query_opened,
    "CloseEnumeration": enumeration_closed,
    "IterEnumerateInstances": plain("IterEnumerateInstances", BOOKS, "LAB_Book", MaxObjectCount=1),
    "IterEnumerateInstancePaths": plain("IterEnumerateInstancePaths", BOOKS, "LAB_Book", MaxObjectCount=1),
    "IterAssociatorInstances": plain("IterAssociatorInstances", ["two"], ONE, MaxObjectCount=1),
    "IterAssociatorInstancePaths": plain("IterAssociatorInstancePaths", ["two"], ONE, MaxObjectCount=1),
    "IterReferenceInstances": links("IterReferenceInstances"),
    "IterReferenceInstancePaths": links("IterReferenceInstancePaths"),
    "IterQueryInstances": query_iterated,
}


def test_every_operation_of_the_client_has_a_row() -> None:
    there = {name for name, _ in inspect.getmembers(Client, callable) if name[0].isupper()}
    assert set(CALLS) == there


@pytest.mark.parametrize("name", CALLS)
def test_an_operation_of_the_client_works(client: Client, name: str) -> None:
    CALLS[name](client)


@pytest.mark.parametrize("pulls", [True, False])
def test_iterations_are_the_same_with_and_without_pulls(lab: ServerProcess, pulls: bool) -> None:
    with connect(lab, use_pull_operations=pulls) as client:
        for name in (name for name in CALLS if name.startswith("Iter") and name != "IterQueryInstances"):
            CALLS[name](client)
        assert ids(client.IterQueryInstances("DMTF:CQL", LONG).generator) == ["two"]


# ---- what is built on the operations


def test_the_server_object_finds_everything_about_the_server(client: Client) -> None:
    server = pywbem.WBEMServer(client)
    assert (server.interop_ns, server.namespace_classname) == ("interop", "CIM_Namespace")
    assert set(server.namespaces) == {"interop", "root/cimv2", "lab"}
    assert {path["Name"] for path in server.namespace_paths} == set(server.namespaces)
    assert (server.brand, server.cimom_inst["Name"]) == ("xencim WBEM server", "xencim")
    assert server.version is None or "." in server.version
    assert server.url == client.url
    assert server.create_namespace("lab/made") == "lab/made"
    assert "lab/made" in server.namespaces
    server.delete_namespace("lab/made")
    assert "lab/made" not in pywbem.WBEMServer(client).namespaces


def test_the_server_object_finds_the_central_instances_of_every_profile(client: Client) -> None:
    server = pywbem.WBEMServer(client)
    names = [profile["RegisteredName"] for profile in server.profiles]
    assert len(names) > 15
    for profile in server.profiles:
        (selected,) = server.get_selected_profiles("DMTF", profile["RegisteredName"], profile["RegisteredVersion"])
        assert selected.path == profile.path
        central = server.get_central_instances(profile.path)
        assert central or profile["RegisteredName"] == "Job Control", profile["RegisteredName"]  # no jobs, none central
        for path in central:
            assert client.GetInstance(path).path.classname == path.classname


@pytest.fixture
def heard() -> Iterator[tuple[str, queue.Queue[CIMInstance]]]:
    """The URL of a pywbem listener, and what it hears."""
    received: queue.Queue[CIMInstance] = queue.Queue()
    listener = pywbem.WBEMListener("127.0.0.1", http_port=free_port())
    listener.add_callback(lambda indication, host: received.put(indication))
    listener.start()
    yield f"http://127.0.0.1:{listener.http_port}", received
    listener.stop()


def test_the_subscription_manager_and_the_listener_do_all_they_can(
    client: Client, heard: tuple[str, queue.Queue[CIMInstance]]
) -> None:
    url, received = heard
    with pywbem.WBEMSubscriptionManager("whole") as manager:
        name = manager.add_server(pywbem.WBEMServer(client))
        query = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA LAB_Book"
        for owned, more in ((True, "_id"), (False, "")):
            named = {"destination_id": "d"} if more else {"name": "permanent"}
            destination = manager.add_destination(name, url, owned=owned, persistence_type="permanent", **named)
            named = {"filter_id": "f"} if more else {"name": "permanent"}
            chosen = manager.add_filter(name, ["lab"], query, "DMTF:CQL", owned=owned, **named)
            manager.add_subscriptions(name, chosen.path, destination.path, owned=owned)
        assert len(manager.get_owned_destinations(name)) == len(manager.get_owned_filters(name)) == 1
        assert len(manager.get_owned_subscriptions(name)) == 1
        assert len(manager.get_all_subscriptions(name)) == 2
        assert len(manager.get_all_destinations(name)) == 2
        everything = {one["Name"] for one in manager.get_all_filters(name)}
        assert {chosen["Name"] for chosen in manager.get_owned_filters(name)} < everything
        instances(client)
        events = [received.get(timeout=20) for _ in range(6)]
        kinds = sorted(event.classname for event in events)
        assert kinds == sorted(["CIM_InstCreation", "CIM_InstModification", "CIM_InstDeletion"] * 2)
        changed = next(event for event in events if event.classname == "CIM_InstModification")
        assert [changed[name]["Pages"] for name in ("PreviousInstance", "SourceInstance")] == [1, 2]
        (permanent,) = [one for one in manager.get_all_filters(name) if one["Name"] == "permanent"]
        (destination,) = [one for one in manager.get_all_destinations(name) if one["Name"] == "permanent"]
        for subscription in manager.get_all_subscriptions(name):
            manager.remove_subscriptions(name, subscription.path)
        manager.remove_filter(name, permanent.path)
        manager.remove_destinations(name, destination.path)
        manager.remove_all_servers()
    for classname in ("CIM_IndicationSubscription", "CIM_ListenerDestinationCIMXML"):
        wait_until(lambda classname=classname: not client.EnumerateInstanceNames(classname, namespace="interop"))
