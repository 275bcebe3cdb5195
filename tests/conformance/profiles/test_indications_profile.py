"""DSP1054 with pywbem as the client: the service and what belongs to it, found by walking from the profile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pywbem
from cim_pool import SmallPool, graph
from wbem_in_process import connected

from cim_provider.indications.service import Indications
from cim_provider.indications.subscriptions import compiled
from cim_provider.profiles.indications import FILTERS, LIFECYCLE_CLASSES


@pytest.fixture(scope="module")
def connection() -> Iterator[pywbem.WBEMConnection]:
    pool = SmallPool()
    Indications(pool.provider, pool.clock)
    with connected(pool.provider, "interop") as found:
        yield found


@pytest.fixture
def service(connection: pywbem.WBEMConnection) -> pywbem.CIMInstance:
    (registered,) = pywbem.WBEMServer(connection).get_selected_profiles("DMTF", "Indications", "1.2.0")
    (found,) = connection.Associators(registered.path, AssocClass="CIM_ElementConformsToProfile")
    return found


def test_the_central_instance_is_the_one_service_with_its_required_properties(connection, service) -> None:
    assert [i["Name"] for i in connection.EnumerateInstances("CIM_IndicationService")] == [service["Name"]]
    for name in (
        "SystemCreationClassName", "SystemName", "CreationClassName", "Name", "ElementName", "FilterCreationEnabled",
        "DeliveryRetryAttempts", "DeliveryRetryInterval", "SubscriptionRemovalAction",
        "SubscriptionRemovalTimeInterval",
    ):  # fmt: skip
        assert service[name] is not None, name


def test_the_host_named_in_the_keys_hosts_the_service(connection, service) -> None:
    (host,) = connection.AssociatorNames(service.path, AssocClass="CIM_HostedService")
    assert (host["CreationClassName"], host["Name"]) == (service["SystemCreationClassName"], service["SystemName"])


def test_the_capabilities_tell_what_can_be_set(connection, service) -> None:
    (capabilities,) = connection.Associators(service.path, AssocClass="CIM_ElementCapabilities")
    for name, settable in capabilities.items():
        if name.endswith("IsSettable"):
            changed = service.copy()
            prop = name.removesuffix("IsSettable")
            value = changed[prop]
            changed[prop] = not value if isinstance(value, bool) else type(value)(value % 3 + 2)
            if settable:
                connection.ModifyInstance(changed, PropertyList=[prop])
                assert connection.GetInstance(service.path)[prop] == changed[prop]
            else:
                with pytest.raises(pywbem.CIMError):
                    connection.ModifyInstance(changed, PropertyList=[prop])


def test_every_ready_made_filter_is_valid_and_is_in_a_collection_of_the_service(connection, service) -> None:
    offered = connection.EnumerateInstances("Xen_IndicationFilter")
    assert {f["Query"] for f in offered} == {row.query for row in FILTERS}
    for found in offered:
        compiled(graph(), found["Name"], found["QueryLanguage"], found["Query"])
        (collection,) = connection.AssociatorNames(found.path, AssocClass="CIM_MemberOfCollection")
        (owner,) = connection.AssociatorNames(collection, AssocClass="CIM_OwningCollectionElement")
        affecting = connection.AssociatorNames(found.path, AssocClass="CIM_ServiceAffectsElement")
        assert [owner] == affecting == [service.path]


def test_lifecycle_classes_are_declared_below_the_class_they_refine() -> None:
    declared = [row for row in LIFECYCLE_CLASSES.values() if graph().find(row.name) is not None]
    assert len(declared) == 9  # the others are of compatibility modes, as is what they are about
    for row in LIFECYCLE_CLASSES.values():
        assert (graph().find(row.source) is not None) == (row in declared)
    for row in declared:
        assert graph().is_a(row.name, row.kind)


def test_what_a_client_creates_is_affected_by_the_service_too(connection, service) -> None:
    new = pywbem.CIMInstance(
        "CIM_IndicationFilter", {"Name": "mine", "Query": FILTERS[0].query, "QueryLanguage": "DMTF:CQL"}
    )
    path = connection.CreateInstance(new)
    assert connection.AssociatorNames(path, AssocClass="CIM_ServiceAffectsElement") == [service.path]
    assert connection.GetInstance(path)["Query"] == FILTERS[0].query
    connection.DeleteInstance(path)
    with pytest.raises(pywbem.CIMError) as error:
        connection.GetInstance(path)
    assert error.value.status_code == pywbem.CIM_ERR_NOT_FOUND
