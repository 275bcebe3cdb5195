"""Capabilities in modes that decide themselves which methods answer with jobs, whatever the pool's setting."""

from __future__ import annotations

from collections.abc import Collection

from cim_provider.compat.single import Faces
from cim_provider.mapping.face import Face
from cim_provider.mapping.rule import Rule, computed, const
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles import migration, pool_configuration, snapshot, system_virtualization

# Capabilities, the numbers of the methods that take time, and of those that answer at once in any case.
SERVICES: tuple[tuple[type[View], tuple[int, ...], tuple[int, ...]], ...] = (
    (system_virtualization.VirtualSystemManagementCapabilities, system_virtualization.METHODS, ()),
    (migration.VirtualSystemMigrationCapabilities, migration.MIGRATE, migration.CHECK),
    (pool_configuration.ResourcePoolConfigurationCapabilities, pool_configuration.METHODS, ()),
    (snapshot.VirtualSystemSnapshotServiceCapabilities, (2, 3, 4), ()),
)
AT_ONCE = "SynchronousMethodsSupported"
LATER = ("AsynchronousMethodsSupported", "AynchronousMethodsSupported")  # the second as the schema spells it


def nothing(host: Subject) -> tuple[int, ...]:
    return ()


def _list(methods: tuple[int, ...]) -> Rule:
    return const(methods) if methods else computed(nothing)


def capability_faces(with_jobs: Collection[type[View]]) -> Faces:
    """The methods of these capabilities give jobs, those of the others wait for their work."""
    found = {}
    for view, methods, always in SERVICES:
        later = next(name for name in LATER if name in view.rules)
        jobs = view in with_jobs
        lines = {AT_ONCE: _list(always if jobs else (*methods, *always)), later: _list(methods if jobs else ())}
        found[view] = Face(lines=lines)
    return found


EVERYTHING = tuple(view for view, _, _ in SERVICES)
