"""Indications as pywbem sees them: its subscription manager against the server, its listener at the other end."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import pywbem
from clients import free_port

STATE_CHANGED = (
    "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ComputerSystem AND "
    "PreviousInstance.CIM_ComputerSystem::EnabledState <> SourceInstance.CIM_ComputerSystem::EnabledState"
)


class Listener:
    """A WBEMListener on a free port; what it receives, in order."""

    def __init__(self) -> None:
        self.received: queue.Queue[pywbem.CIMInstance] = queue.Queue()
        self.listener = pywbem.WBEMListener("127.0.0.1", http_port=free_port())
        self.listener.add_callback(lambda indication, host: self.received.put(indication))
        self.listener.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.http_port}"

    def next(self) -> pywbem.CIMInstance:
        return self.received.get(timeout=20)

    def until(self, wanted: Any) -> list[pywbem.CIMInstance]:
        """Everything up to the first indication for which `wanted(indication)` is true."""
        found = [self.next()]
        while not wanted(found[-1]):
            found.append(self.next())
        return found


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.listener.stop()


@pytest.fixture
def manager(server) -> Iterator[tuple[pywbem.WBEMSubscriptionManager, str]]:
    """pywbem's subscription manager, and its name for the server; what it owns is removed at the end."""
    connection = pywbem.WBEMConnection(server.ready["wbem"], (server.user, server.password), timeout=30)
    with pywbem.WBEMSubscriptionManager("tests") as found:
        yield found, found.add_server(pywbem.WBEMServer(connection))
    connection.close()


def subscribe(manager, listener_url: str, query: str, name: str = "f", language: str = "DMTF:CQL"):
    owner, server_id = manager
    destination = owner.add_destination(server_id, listener_url, owned=True, destination_id=f"d-{name}")
    chosen = owner.add_filter(server_id, ["root/cimv2"], query, language, owned=True, filter_id=name)
    return owner.add_subscriptions(server_id, chosen.path, destination.path, owned=True)[0]


def new_vm(xenapi, name: str) -> str:
    """A copy of a halted VM of the demo pool."""
    return xenapi.VM.clone(halted(xenapi), name)


def halted(xenapi) -> str:
    records = xenapi.VM.get_all_records()
    return next(
        ref for ref, vm in records.items()
        if vm["power_state"] == "Halted" and not (vm["is_a_template"] or vm["is_a_snapshot"])
    )  # fmt: skip


def test_a_vm_that_is_started_is_a_modification_with_both_instances(xenapi, manager, listener):
    vm = halted(xenapi)
    subscribe(manager, listener.url, STATE_CHANGED)
    xenapi.VM.start(vm, False, False)
    found = listener.until(lambda indication: indication["SourceInstance"]["EnabledState"] == 2)
    uuid = xenapi.VM.get_uuid(vm)
    (master,) = (pool["master"] for pool in xenapi.pool.get_all_records().values())
    for indication in found:
        assert indication.classname == "CIM_InstModification"
        source, previous = indication["SourceInstance"], indication["PreviousInstance"]
        assert source.classname == previous.classname == "Xen_ComputerSystem"
        assert source["Name"] == previous["Name"] == uuid
        assert source["EnabledState"] != previous["EnabledState"]
        assert uuid in indication["SourceInstanceModelPath"]
        assert indication["SourceInstanceHost"] == xenapi.host.get_address(master)
        assert "EnabledState" in indication["ChangedPropertyNames"]
    assert found[0]["PreviousInstance"]["EnabledState"] == 3
    xenapi.VM.hard_shutdown(vm)


def test_created_and_destroyed_vms_are_creations_and_deletions_in_order(xenapi, manager, listener):
    query = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA Xen_ComputerSystem"
    subscribe(manager, listener.url, query, language="WQL")
    made = [new_vm(xenapi, f"made-{n}") for n in range(3)]
    uuids = [xenapi.VM.get_uuid(ref) for ref in made]
    for ref in made:
        xenapi.VM.destroy(ref)
    last = lambda i: i.classname == "CIM_InstDeletion" and i["SourceInstance"]["Name"] == uuids[-1]  # noqa: E731
    found = listener.until(last)
    kinds = {"CIM_InstCreation": [], "CIM_InstDeletion": [], "CIM_InstModification": []}
    for indication in found:
        kinds[indication.classname].append(indication["SourceInstance"]["Name"])
    assert [u for u in kinds["CIM_InstCreation"] if u in uuids] == uuids
    assert [u for u in kinds["CIM_InstDeletion"] if u in uuids] == uuids
    assert [int(indication["SequenceNumber"]) for indication in found] == list(range(len(found)))
    assert len({indication["SequenceContext"] for indication in found}) == 1
    assert {indication["IndicationFilterName"] for indication in found} == {"pywbemfilter:tests:f"}


def test_a_dead_listener_does_not_delay_a_live_one(xenapi, manager, listener):
    with socket.socket() as silent:  # accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        query = "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA CIM_ComputerSystem"
        for name, url in (
            ("silent", f"http://127.0.0.1:{silent.getsockname()[1]}"),
            ("closed", f"http://127.0.0.1:{free_port()}"),
            ("live", listener.url),
        ):
            subscribe(manager, url, query, name)
        for n in range(3):
            ref = new_vm(xenapi, f"beside-{n}")
            assert listener.next()["SourceInstance"]["ElementName"] == f"beside-{n}"
            xenapi.VM.destroy(ref)
        owner, server_id = manager
        owner.remove_subscriptions(server_id, [s.path for s in owner.get_owned_subscriptions(server_id)])


def test_older_clients_subscribe_to_class_names_through_older_handlers(xenapi, server, listener):
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace="root/interop", timeout=30
    ) as client:
        keys = {"SystemCreationClassName": "CIM_ComputerSystem", "SystemName": "client"}
        handler = client.CreateInstance(
            pywbem.CIMInstance(
                "CIM_IndicationHandlerCIMXML",
                {**keys, "CreationClassName": "CIM_IndicationHandlerCIMXML", "Name": "h", "Destination": listener.url},
            )
        )
        chosen = client.CreateInstance(
            pywbem.CIMInstance(
                "CIM_IndicationFilter",
                {
                    **keys, "CreationClassName": "CIM_IndicationFilter", "Name": "f", "QueryLanguage": "WQL",
                    "Query": "SELECT * FROM Xen_ComputerSystemCreatedIndication", "SourceNamespace": "root/cimv2",
                },
            )
        )  # fmt: skip
        subscription = client.CreateInstance(
            pywbem.CIMInstance("CIM_IndicationSubscription", {"Filter": chosen, "Handler": handler})
        )
        ref = new_vm(xenapi, "named")
        indication = listener.next()
        assert indication.classname == "Xen_ComputerSystemCreatedIndication"
        assert indication["SourceInstance"]["Name"] == xenapi.VM.get_uuid(ref)
        xenapi.VM.destroy(ref)
        with pytest.raises(pywbem.CIMError) as error:
            client.DeleteInstance(chosen)
        assert error.value.status_code == pywbem.CIM_ERR_FAILED
        for path in (subscription, chosen, handler):
            client.DeleteInstance(path)
        assert client.EnumerateInstanceNames("CIM_IndicationSubscription") == []
