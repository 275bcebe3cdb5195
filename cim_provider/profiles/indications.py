"""DSP1054 Indications: the service, filters, destinations and subscriptions in the Interop namespace.

Filters, destinations and subscriptions of clients are stored (repository/); what this server offers ready-made is
computed like everything else. The rules for creating and changing them are in indications/subscriptions.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cim_provider.mapping.association import Association, Extents, Pairs
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import OWN_CLASS, computed, const
from cim_provider.mapping.subject import Pool, Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.interop_service import InteropService, every, on_host
from cim_provider.repository.instances import Repository
from cim_provider.repository.views import StoredInstances, StoredRelation, StoredView, kept
from cim_provider.schema.objects import CIMV2, INTEROP, Path

SERVICE_NAME = "xencim"
SERVICE_CLASS = "Xen_IndicationService"
SERVICE_PATH = Path.of(SERVICE_CLASS, {"Name": SERVICE_NAME}, INTEROP)  # where the repository keeps the settings
CAPABILITIES_CLASS = "Xen_IndicationServiceCapabilities"
CAPABILITIES_PATH = Path.of(CAPABILITIES_CLASS, {"Name": SERVICE_NAME}, INTEROP)
FILTER, COLLECTION = "CIM_IndicationFilter", "CIM_FilterCollection"
DESTINATIONS = ("CIM_ListenerDestinationCIMXML", "CIM_IndicationHandlerCIMXML")
SUBSCRIPTIONS = ("CIM_IndicationSubscription", "CIM_FilterCollectionSubscription")

MAX_INSTANCES = 1000  # of each class that clients create instances of

# What a client may set on the service, with the values it starts with.
# SubscriptionRemovalAction: 2 Remove, 3 Disable, 4 Ignore.
SETTINGS: Mapping[str, int] = {
    "DeliveryRetryAttempts": 3,
    "DeliveryRetryInterval": 20,
    "SubscriptionRemovalAction": 2,
    "SubscriptionRemovalTimeInterval": 30 * 24 * 3600,
}


def install(repository: Repository, durable: bool) -> None:
    """Put into a new repository what is there before any client came; `durable`: whether it will survive a restart."""
    repository.put(SERVICE_PATH, SETTINGS)
    repository.put(CAPABILITIES_PATH, {"SubscriptionsPersisted": durable})


@dataclass(frozen=True)
class StaticFilter:
    """A ready-made filter; `condition` follows SourceInstance ISA `source`."""

    title: str
    indication: str
    source: str
    condition: str = ""

    @property
    def name(self) -> str:
        return f"Xen:Indications:{self.title}"

    @property
    def query(self) -> str:
        more = f" AND {self.condition}" if self.condition else ""
        return f"SELECT * FROM {self.indication} WHERE SourceInstance ISA {self.source}{more}"  # noqa: S608 - no SQL


def _differs(classname: str, prop: str) -> str:
    return f"PreviousInstance.{classname}::{prop} <> SourceInstance.{classname}::{prop}"


_SYSTEM, _SETTING, _JOB = "CIM_ComputerSystem", "CIM_ResourceAllocationSettingData", "CIM_ConcreteJob"

FILTERS = (
    StaticFilter("SystemCreated", "CIM_InstCreation", _SYSTEM),
    StaticFilter("SystemStateChanged", "CIM_InstModification", _SYSTEM, _differs(_SYSTEM, "EnabledState")),
    StaticFilter("SystemDeleted", "CIM_InstDeletion", _SYSTEM),
    StaticFilter("SettingCreated", "CIM_InstCreation", _SETTING),
    StaticFilter("SettingChanged", "CIM_InstModification", _SETTING),
    StaticFilter("SettingDeleted", "CIM_InstDeletion", _SETTING),
    StaticFilter("JobCreated", "CIM_InstCreation", _JOB),
    StaticFilter("JobStateChanged", "CIM_InstModification", _JOB, _differs(_JOB, "JobState")),
    StaticFilter("JobDeleted", "CIM_InstDeletion", _JOB),
)


@dataclass(frozen=True)
class LifecycleClass:
    """A class of indications about instances of `source` only, which clients of older providers subscribe to by name.
    `kind` is the class it refines."""

    name: str
    kind: str
    source: str


# How the names say it (libvirt-cim's way, xs-cim's way), and the class they refine.
_KINDS = (
    ("Created", "Creation", "CIM_InstCreation"),
    ("Modified", "Modification", "CIM_InstModification"),
    ("Deleted", "Deletion", "CIM_InstDeletion"),
)

# By lower-case name.
LIFECYCLE_CLASSES: Mapping[str, LifecycleClass] = {
    row.name.lower(): row
    for past, noun, kind in _KINDS
    for row in (
        LifecycleClass(f"Xen_ComputerSystem{past}Indication", kind, "Xen_ComputerSystem"),
        LifecycleClass(f"Xen_ComputerSystem{noun}", kind, "Xen_ComputerSystem"),
        LifecycleClass(f"Xen_ResourceAllocationSettingData{past}Indication", kind, _SETTING),
        LifecycleClass(f"Xen_ComputerSystemMigrationJob{past}Indication", kind, "Xen_MigrationJob"),  # in a mode only
    )
}

# Collections: title, and the filters in them.
COLLECTIONS: Mapping[str, tuple[StaticFilter, ...]] = {
    "Systems": FILTERS[0:3],
    "Settings": FILTERS[3:6],
    "Jobs": FILTERS[6:9],
}


class IndicationService(InteropService, StoredView, cim=SERVICE_CLASS, namespace=INTEROP):
    """The one service; its settings are stored."""

    Name = const(SERVICE_NAME)
    ElementName = const("xencim indication service")
    Description = const("Delivers indications about a pool of virtualization hosts")
    FilterCreationEnabled = const(True)
    DeliveryRetryAttempts = kept("DeliveryRetryAttempts", "integer")
    DeliveryRetryInterval = kept("DeliveryRetryInterval", "integer")
    SubscriptionRemovalAction = kept("SubscriptionRemovalAction", "integer")
    SubscriptionRemovalTimeInterval = kept("SubscriptionRemovalTimeInterval", "integer")


class IndicationServiceCapabilities(StoredView, cim=CAPABILITIES_CLASS, namespace=INTEROP):
    """The settings can be changed, except whether clients may create filters."""

    InstanceID = const(f"Xen:IndicationService/{SERVICE_NAME}")
    ElementName = const("Capabilities of the indication service")
    FilterCreationEnabledIsSettable = const(False)
    DeliveryRetryAttemptsIsSettable = const(True)
    DeliveryRetryIntervalIsSettable = const(True)
    SubscriptionRemovalActionIsSettable = const(True)
    SubscriptionRemovalTimeIntervalIsSettable = const(True)
    MaxListenerDestinations = const(MAX_INSTANCES)
    MaxActiveSubscriptions = const(MAX_INSTANCES)
    SubscriptionsPersisted = kept("SubscriptionsPersisted", "boolean")


def static_filters(subject: Subject) -> Iterable[StaticFilter]:
    return FILTERS


def filter_name(subject: Subject) -> str:
    return str(subject.item.name)


def filter_title(subject: Subject) -> str:
    return str(subject.item.title)


def filter_query(subject: Subject) -> str:
    return str(subject.item.query)


class OfferedFilter(View, cim="Xen_IndicationFilter", items=static_filters, namespace=INTEROP):
    """A filter this server offers; the item is its row in FILTERS.

    Subscriptions hold its path, which must outlive any host: so its keys name the server and not the coordinator.
    """

    SystemCreationClassName = const("Xen_WBEMServer")
    SystemName = const(SERVICE_NAME)
    CreationClassName = OWN_CLASS
    Name = computed(filter_name)
    ElementName = computed(filter_title)
    SourceNamespaces = const((CIMV2,))
    SourceNamespace = const(CIMV2)
    IndividualSubscriptionSupported = const(True)
    Query = computed(filter_query)
    QueryLanguage = const("DMTF:CQL")


class ClientKeys(StoredView):
    """The keys that filters and destinations have in common; clients choose them."""

    SystemCreationClassName = kept("SystemCreationClassName", "string")
    SystemName = kept("SystemName", "string")
    CreationClassName = kept("CreationClassName", "string")
    Name = kept("Name", "string")
    Caption = kept("Caption", "string")
    Description = kept("Description", "string")
    ElementName = kept("ElementName", "string")


class IndicationFilter(ClientKeys, cim=FILTER, namespace=INTEROP):
    """A filter of a client."""

    SourceNamespace = kept("SourceNamespace", "string")
    SourceNamespaces = kept("SourceNamespaces", "string", array=True)
    IndividualSubscriptionSupported = const(True)
    Query = kept("Query", "string")
    QueryLanguage = kept("QueryLanguage", "string")


class Destination(ClientKeys):
    """The lines that destinations of both classes share."""

    PersistenceType = kept("PersistenceType", "integer")
    Destination = kept("Destination", "string")
    Protocol = const(2)


class ListenerDestination(Destination, cim=DESTINATIONS[0], namespace=INTEROP):
    """Where a client wants indications to be sent."""


class IndicationHandler(Destination, cim=DESTINATIONS[1], namespace=INTEROP):
    """A listener destination in the class that older schemas have for it."""

    Owner = kept("Owner", "string")


def offered_collections(subject: Subject) -> Iterable[str]:
    return COLLECTIONS


def collection_id(subject: Subject) -> str:
    return f"Xen:Indications:{subject.item}"


def collection_name(subject: Subject) -> str:
    return str(subject.item)


class OfferedCollection(View, cim="Xen_FilterCollection", items=offered_collections, namespace=INTEROP):
    """A group of filters this server offers; the item is its title in COLLECTIONS."""

    InstanceID = computed(collection_id)
    ElementName = computed(collection_name)
    CollectionName = computed(collection_id)


def filters_of(extents: Extents, collection: Rendition) -> Iterator[Rendition]:
    return (found for found in extents.extent(OfferedFilter) if found.item in COLLECTIONS[collection.item])


def collections_of(extents: Extents, offered: Rendition) -> Iterator[Rendition]:
    return (found for found in extents.extent(OfferedCollection) if offered.item in COLLECTIONS[found.item])


class FilterOfCollection(
    Association, cim="Xen_FilterOfCollection", left="Collection", right="Member", namespaces=(INTEROP,)
):
    """A ready-made filter belongs to a collection."""

    relations = (Pairs(OfferedCollection, OfferedFilter, filters_of, collections_of),)


class HostedIndicationService(
    Association, cim="Xen_HostedIndicationService", left="Antecedent", right="Dependent", namespaces=(INTEROP,)
):
    """The coordinator hosts the service. The association is in the service's namespace alone: in the host's, clients
    that ask for hosted dependencies look for machines."""

    relations = (on_host(IndicationService),)


class IndicationServiceElementCapabilities(
    Association,
    cim="Xen_IndicationServiceElementCapabilities",
    left="ManagedElement",
    right="Capabilities",
    namespaces=(INTEROP,),
):
    """The service and what it can do."""

    relations = (
        Pairs(
            IndicationService,
            IndicationServiceCapabilities,
            every(IndicationServiceCapabilities),
            every(IndicationService),
        ),
    )


class IndicationServiceAffectsElement(
    Association,
    cim="Xen_IndicationServiceAffectsElement",
    left="AffectedElement",
    right="AffectingElement",
    namespaces=(INTEROP,),
):
    """The service manages (5) filters, collections and destinations."""

    properties = {"ElementEffects": (5,)}
    relations = tuple(
        Pairs(view, IndicationService, every(IndicationService), every(view))
        for view in (OfferedFilter, IndicationFilter, OfferedCollection, ListenerDestination, IndicationHandler)
    )


class IndicationServiceOwnsCollection(
    Association,
    cim="Xen_IndicationServiceOwnsCollection",
    left="OwningElement",
    right="OwnedElement",
    namespaces=(INTEROP,),
):
    """The service owns its collections."""

    relations = (Pairs(IndicationService, OfferedCollection, every(OfferedCollection), every(IndicationService)),)


class Subscribed(StoredInstances):
    """What both kinds of subscriptions compute."""

    @classmethod
    def shown(cls, pool: Pool, values: Mapping[str, Any]) -> Mapping[str, Any]:
        ends = ends_at(values)
        if ends is None:
            return values
        return {**values, "SubscriptionTimeRemaining": max(0, ends - pool.now())}


def ends_at(values: Mapping[str, Any]) -> int | None:
    """When a subscription ends, seconds since the epoch; None if it does not. `Started` is kept beside the properties
    of the class: the same instant as SubscriptionStartTime."""
    duration = values.get("SubscriptionDuration")
    return None if duration is None else values["Started"] + duration


class IndicationSubscription(
    Subscribed, Association, cim=SUBSCRIPTIONS[0], left="Filter", right="Handler", namespaces=(INTEROP,)
):
    """A client wants what a filter lets through to be sent to a destination."""

    relations = tuple(
        StoredRelation(chosen, destination, SUBSCRIPTIONS[0])
        for chosen in (OfferedFilter, IndicationFilter)
        for destination in (ListenerDestination, IndicationHandler)
    )


class FilterCollectionSubscription(
    Subscribed, Association, cim=SUBSCRIPTIONS[1], left="Filter", right="Handler", namespaces=(INTEROP,)
):
    """A client wants what any filter of a collection lets through to be sent to a destination."""

    relations = tuple(
        StoredRelation(OfferedCollection, destination, SUBSCRIPTIONS[1])
        for destination in (ListenerDestination, IndicationHandler)
    )
