"""One configuration per machine, for modes of providers that do not separate Defined and State; and combining faces.

Rule 1: the one configuration has the identifiers of the Defined one; it also says what the machine is now.
Rule 2: processors and memory are of the host the machine is on, or of the coordinator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cim_provider.mapping.association import Association, Owned, Relation, Where
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.face import Face
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import VIEWS, View
from cim_provider.profiles import configuration
from cim_provider.profiles.host_service import HOME_READS, home_of
from cim_provider.profiles.memory import MemorySettingData
from cim_provider.profiles.processor import ProcessorSettingData
from cim_provider.profiles.resource_allocation import ResourceAllocationFromPool
from cim_provider.profiles.resource_pool import MemoryPool, PrimordialPool, ProcessorPool
from cim_provider.profiles.virtual_system import ElementSettingData, SettingsDefineState

Faces = Mapping[type[View], Face]

ITEMS = (configuration.of_system, configuration.of_built_in, configuration.of_plugged, configuration.of_present)
CONDITIONS = (configuration.of_state, configuration.of_definition, configuration.state_of_definition)
THE_ONE = {"IsDefault": 1, "IsCurrent": 1, "IsNext": 1}


def the_definition(subject: Subject) -> Iterable[Any]:
    return (None,)


def single_faces() -> Faces:
    """No State settings."""
    return {view: Face(items=the_definition) for view in VIEWS.values() if view.items in ITEMS}


def together(*several: Faces) -> Faces:
    """Faces on faces: what a later one says counts, lines and methods add up."""
    found: dict[type[View], Face] = {}
    for faces in several:
        for view, face in faces.items():
            old = found.get(view, Face())
            found[view] = Face(
                face.cim or old.cim,
                {**old.lines, **face.lines},
                face.where or old.where,
                face.items or old.items,
                face.kinds or old.kinds,
                {**old.methods, **face.methods},
            )
    return found


def always(left: Rendition, right: Rendition) -> bool:
    return True


def _single(relation: Relation) -> Relation:
    if not isinstance(relation, Where) or relation.holds not in CONDITIONS:
        return relation
    itself = relation.holds is configuration.state_of_definition
    return Where(relation.relation, always, THE_ONE if itself else relation.properties)


HOST_POOLS = (ProcessorPool, MemoryPool)
PARTS = (ProcessorSettingData, MemorySettingData)


def single_relations() -> Mapping[type[Association], tuple[Relation, ...]]:
    """The configuration defines the state, and is its own definition; it draws on the pools of rule 2."""
    kept = tuple(r for r in ResourceAllocationFromPool.relations if r.right not in PARTS or r.left not in _SOURCES)
    owned = tuple(Owned(pool, part, home_of, HOME_READS) for pool, part in zip(HOST_POOLS, PARTS, strict=True))
    return {
        SettingsDefineState: tuple(map(_single, SettingsDefineState.relations)),
        ElementSettingData: tuple(map(_single, ElementSettingData.relations)),
        ResourceAllocationFromPool: (*owned, *kept),
    }


_SOURCES = (*HOST_POOLS, PrimordialPool)


def home(vm: Subject) -> Subject | None:
    """The host of rule 2."""
    here = vm.follow("resident_on")
    if here is not None:
        return here
    pool = vm.only("pool")
    return None if pool is None else pool.follow("master")
