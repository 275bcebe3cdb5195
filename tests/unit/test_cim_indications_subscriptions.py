"""Filters, destinations and subscriptions: who may write them, what is refused, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import ROOT, SmallPool, classes, elements, instance_values, path_in

from cim_provider.indications.service import Indications
from cim_provider.schema.objects import (
    ACCESS_DENIED,
    ALREADY_EXISTS,
    FAILED,
    INTEROP,
    INVALID_PARAMETER,
    INVALID_QUERY,
    NO_SUCH_PROPERTY,
    NOT_FOUND,
    NOT_SUPPORTED,
    QUERY_LANGUAGE_NOT_SUPPORTED,
    SERVER_LIMITS_EXCEEDED,
    CimError,
    Instance,
    Path,
)
from xenapi_core.bridge.source import Principal
from xenapi_core.model.schema import POOL_OPERATOR, VM_ADMIN

FILTER = {"Name": "f", "Query": "SELECT * FROM CIM_InstCreation", "QueryLanguage": "WQL"}
DESTINATION = {"Name": "d", "Destination": "http://127.0.0.1:5990"}


class World(SmallPool):
    """A pool whose provider takes subscriptions; nothing is started."""

    def __init__(self) -> None:
        super().__init__()
        self.indications = Indications(self.provider, self.clock)

    def create(self, classname: str, principal: Principal = ROOT, **values: Any) -> Path:
        new = Instance(classname, values)
        (name,) = elements(self.run("CreateInstance", INTEROP, principal, NewInstance=new).values)
        found = path_in(name)
        if classname.endswith("Subscription"):
            ends = {role: values[role] for role in ("Filter", "Handler")}
            return Path.of(classname, ends, INTEROP)
        return Path(found.classname, found.keys, INTEROP)

    def filter(self, **values: Any) -> Path:
        return self.create("CIM_IndicationFilter", **{**FILTER, **values})

    def destination(self, **values: Any) -> Path:
        return self.create("CIM_ListenerDestinationCIMXML", **{**DESTINATION, **values})

    def subscription(self, **values: Any) -> Path:
        ends = {"Filter": self.filter(), "Handler": self.destination()}
        return self.create("CIM_IndicationSubscription", **{**ends, **values})

    def get(self, path: Path) -> dict[str, Any]:
        (element,) = elements(self.run("GetInstance", INTEROP, InstanceName=path).values)
        return instance_values(element)

    def modify(self, path: Path, names: tuple[str, ...] | None = None, **values: Any) -> None:
        changed = Instance(path.classname, values, path)
        self.run("ModifyInstance", INTEROP, ModifiedInstance=changed, PropertyList=names)

    def delete(self, path: Path, principal: Principal = ROOT) -> None:
        self.run("DeleteInstance", INTEROP, principal, InstanceName=path)


@pytest.fixture
def world() -> World:
    return World()


def status(call: Any, *args: Any, **values: Any) -> int:
    with pytest.raises(CimError) as error:
        call(*args, **values)
    return error.value.status


def test_a_filter_is_kept_with_the_keys_and_namespaces_the_client_left_out(world):
    found = world.get(world.filter())
    assert found["Query"] == FILTER["Query"]
    assert found["SourceNamespaces"] == ["root/cimv2"]
    assert found["CreationClassName"] == "CIM_IndicationFilter"
    assert found["SystemName"] == world.uuid("host-0")
    nameless = world.get(world.filter(Name=None))
    assert nameless["Name"].startswith("xencim:")


def test_only_what_was_written_since_is_rendered_again(world):
    paths = world.filter(Name="kept"), world.filter(Name="changed"), world.filter(Name="gone")
    kept, changed, gone = (world.provider.find(path, INTEROP) for path in paths)
    world.modify(paths[1], ("ElementName",), ElementName="x")
    world.delete(paths[2])
    assert world.provider.find(paths[0], INTEROP) is kept
    assert world.provider.find(paths[1], INTEROP) is not changed
    assert world.get(paths[1])["ElementName"] == "x"
    assert gone is not None
    assert world.provider.find(paths[2], INTEROP) is None


def test_two_instances_with_the_same_keys_cannot_be(world):
    world.filter()
    assert status(world.filter) == ALREADY_EXISTS
    world.destination()
    assert status(world.destination) == ALREADY_EXISTS


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"QueryLanguage": "SQL"}, QUERY_LANGUAGE_NOT_SUPPORTED),
        ({"QueryLanguage": None}, INVALID_PARAMETER),
        ({"Query": "SELECT"}, INVALID_QUERY),
        ({"Query": "SELECT * FROM CIM_ComputerSystem"}, INVALID_QUERY),
        ({"Query": None}, INVALID_PARAMETER),
        ({"SourceNamespaces": ("root/none",)}, INVALID_PARAMETER),
        ({"SourceNamespace": "root/none"}, INVALID_PARAMETER),
        ({"CreationClassName": "CIM_Other"}, INVALID_PARAMETER),
        ({"Name": ""}, INVALID_PARAMETER),
        ({"Name": "x" * 5000}, INVALID_PARAMETER),
        ({"IndividualSubscriptionSupported": False}, INVALID_PARAMETER),
        ({"TemplateVariable": ("a",)}, INVALID_PARAMETER),
    ],
)
def test_a_filter_that_would_not_work_is_refused(world, values, expected):
    assert status(world.filter, **values) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"Destination": None},
        {"Destination": "file:///etc/passwd"},
        {"Destination": "http://"},
        {"Destination": "http://user:secret@127.0.0.1/"},
        {"Destination": "http://127.0.0.1:99999"},
        {"Destination": "http://127.0.0.1/\r\nX: y"},
        {"Destination": "http://[::1"},
        {"PersistenceType": 1},
        {"Protocol": 4},
        {"password": "secret"},
    ],
)
def test_a_destination_that_would_not_work_is_refused(world, values):
    assert status(world.destination, **values) == INVALID_PARAMETER


def test_a_subscription_has_defaults_and_a_start(world):
    found = world.get(world.subscription(SubscriptionDuration=60))
    assert (found["OnFatalErrorPolicy"], found["RepeatNotificationPolicy"], found["SubscriptionState"]) == ("2",) * 3
    assert found["SubscriptionStartTime"] == "20260101000000.000000+000"
    assert found["SubscriptionTimeRemaining"] == "60"


@pytest.mark.parametrize(
    "values",
    [
        {"OnFatalErrorPolicy": 1},
        {"RepeatNotificationPolicy": 1},
        {"RepeatNotificationPolicy": 3, "RepeatNotificationCount": 1},
        {"RepeatNotificationPolicy": 4, "RepeatNotificationCount": 1, "RepeatNotificationInterval": 9},
        {"SubscriptionState": 3},
        {"AlertOnStateChange": True},
        {"Filter": None},
        {"Handler": Path.of("CIM_ListenerDestinationCIMXML", {"Name": "none"}, INTEROP)},
    ],
)
def test_a_subscription_that_would_not_work_is_refused(world, values):
    assert status(world.subscription, **values) == INVALID_PARAMETER


def test_filter_and_handler_must_be_of_the_right_kind(world):
    destination, chosen = world.destination(), world.filter()
    ends = {"Filter": destination, "Handler": chosen}
    assert status(world.create, "CIM_IndicationSubscription", **ends) == INVALID_PARAMETER
    ends = {"Filter": chosen, "Handler": destination}
    assert status(world.create, "CIM_FilterCollectionSubscription", **ends) == INVALID_PARAMETER


def test_what_a_subscription_uses_cannot_be_deleted_before_it(world):
    subscription = world.subscription()
    chosen, destination = subscription.key("Filter"), subscription.key("Handler")
    assert status(world.delete, chosen) == FAILED
    assert status(world.delete, destination) == FAILED
    for path in (subscription, chosen, destination):
        world.delete(path)
        assert status(world.get, path) == NOT_FOUND
        assert status(world.delete, path) == NOT_FOUND


def test_writing_needs_the_role_of_a_pool_operator(world):
    subscription = world.subscription()
    admin = Principal("a", frozenset({VM_ADMIN}), "wbem")
    for classname, values in (("CIM_IndicationFilter", FILTER), ("CIM_ListenerDestinationCIMXML", DESTINATION)):
        assert status(world.create, classname, admin, **{**values, "Name": "other"}) == ACCESS_DENIED
    for path in (subscription, subscription.key("Filter"), subscription.key("Handler")):
        assert status(world.delete, path, admin) == ACCESS_DENIED
    world.delete(subscription, Principal("o", frozenset({POOL_OPERATOR}), "wbem"))


def test_a_subscription_is_walked_from_both_ends(world):
    subscription = world.subscription()
    chosen, destination = subscription.key("Filter"), subscription.key("Handler")
    for source, other in ((chosen, destination), (destination, chosen)):
        found = world.run("AssociatorNames", INTEROP, ObjectName=source, AssocClass="CIM_IndicationSubscription")
        assert classes(elements(found.values)) == [other.classname]
    names = world.run("EnumerateInstanceNames", INTEROP, ClassName="CIM_AbstractIndicationSubscription")
    assert len(elements(names.values)) == 1
    (element,) = elements(
        world.run("References", INTEROP, ObjectName=chosen, ResultClass=subscription.classname).values
    )
    assert instance_values(element)["SubscriptionState"] == "2"


def test_a_subscription_is_disabled_and_enabled_by_modification(world):
    path = world.subscription()
    assert [one.path for one in world.indications.subscriptions.enabled()] == [path]
    world.modify(path, ("SubscriptionState",), SubscriptionState=4, SubscriptionInfo="not listed")
    assert world.indications.subscriptions.enabled() == []
    found = world.get(path)
    assert (found["SubscriptionState"], found["SubscriptionInfo"]) == ("4", None)
    world.modify(path, SubscriptionState=2)
    assert [one.path for one in world.indications.subscriptions.enabled()] == [path]


def test_modifications_are_checked_like_creations(world):
    path = world.filter()
    assert status(world.modify, path, Query="SELECT") == INVALID_QUERY
    assert status(world.modify, path, Name="other") == INVALID_PARAMETER
    assert status(world.modify, path, ("NoSuch",)) == NO_SUCH_PROPERTY
    assert world.get(path)["Query"] == FILTER["Query"]
    world.modify(path, Query="SELECT * FROM CIM_InstDeletion")
    assert world.get(path)["Query"] == "SELECT * FROM CIM_InstDeletion"
    destination = world.destination()
    assert status(world.modify, destination, Destination="gopher://x") == INVALID_PARAMETER
    world.modify(destination, Destination="https://[::1]:5991/there")
    assert world.get(destination)["Destination"] == "https://[::1]:5991/there"


async def ended(world: World) -> None:
    await world.clock.advance(60)


def test_a_subscription_ends_after_its_duration(world):
    import asyncio

    path = world.subscription(SubscriptionDuration=60)
    asyncio.run(ended(world))
    assert world.indications.subscriptions.enabled() == []
    world.indications.subscriptions.expire()
    assert status(world.get, path) == NOT_FOUND


def test_there_is_an_end_to_what_clients_may_create(world):
    for n in range(1000):
        world.filter(Name=f"f{n}")
    assert status(world.filter, Name="one more") == SERVER_LIMITS_EXCEEDED


def test_settings_of_the_service_can_be_changed_and_nothing_else(world):
    (element,) = elements(world.run("EnumerateInstances", INTEROP, ClassName="CIM_IndicationService").values)
    keys = instance_values(element)
    path = Path.of(
        "Xen_IndicationService",
        {n: keys[n] for n in ("CreationClassName", "Name", "SystemCreationClassName", "SystemName")},
        INTEROP,
    )
    world.modify(path, ("DeliveryRetryAttempts",), DeliveryRetryAttempts=7)
    assert world.get(path)["DeliveryRetryAttempts"] == "7"
    assert world.indications.subscriptions.settings()["DeliveryRetryAttempts"] == 7
    assert status(world.modify, path, SubscriptionRemovalAction=9) == INVALID_PARAMETER
    assert status(world.modify, path, FilterCreationEnabled=False) == NOT_SUPPORTED
    assert status(world.delete, path) == NOT_SUPPORTED


def test_ready_made_filters_can_be_subscribed_to_alone_and_as_a_collection(world):
    names = elements(world.run("EnumerateInstances", INTEROP, ClassName="Xen_IndicationFilter").values)
    offered = [instance_values(name) for name in names]
    keys = ("CreationClassName", "Name", "SystemCreationClassName", "SystemName")
    one = Path.of("Xen_IndicationFilter", {key: offered[1][key] for key in keys}, INTEROP)
    destination = world.destination()
    world.create("CIM_IndicationSubscription", Filter=one, Handler=destination)
    collection = Path.of("Xen_FilterCollection", {"InstanceID": "Xen:Indications:Jobs"}, INTEROP)
    world.create("CIM_FilterCollectionSubscription", Filter=collection, Handler=destination)
    found = [[f.name for f in one.filters] for one in world.indications.subscriptions.enabled()]
    jobs = [f"Xen:Indications:Job{what}" for what in ("Created", "StateChanged", "Deleted")]
    assert found == [["Xen:Indications:SystemStateChanged"], jobs]
    assert status(world.delete, one) == NOT_SUPPORTED
