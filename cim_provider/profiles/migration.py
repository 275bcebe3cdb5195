"""DSP1081 Virtual System Migration within the pool: live, by suspend and resume, or with a restart.

Settings change on the way as migration_settings.py says. A host of another pool is none of ours: nothing in these
methods can say in whose name a machine should be received there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cim_provider import jobs
from cim_provider.jobs import Work
from cim_provider.mapping.association import Association, Owned, Reversed, SameRecord, Where
from cim_provider.mapping.method import Call, Function, Result, method
from cim_provider.mapping.refusal import Kind, RefusedError, invalid
from cim_provider.mapping.rule import const, field, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.host_service import (
    HOME_READS,
    HostedService,
    HostService,
    ServiceAffectsElement,
    as_jobs,
    at_once,
    home_of,
    machines_of,
)
from cim_provider.profiles.job_relations import OwningJobElement, jobs_of
from cim_provider.profiles.migration_settings import Arrival, apply, maps, read
from cim_provider.profiles.system_virtualization import ElementCapabilities
from cim_provider.profiles.virtual_system import ElementSettingData
from cim_provider.schema.objects import Instance, Path
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.errors import ApiError

# MigrationType: all start from a machine that runs, and it runs afterwards.
TYPES = LIVE, RESUME, RESTART = 2, 3, 4

# What MigrationSettingData may say besides, because it is so anyway. BandwidthUnit says nothing without a Bandwidth.
_USUAL: Mapping[str, tuple[Any, ...]] = {"Priority": (0,), "Bandwidth": (0,), "TransportType": (0,)}
_ONLY_SHOWN = frozenset({"InstanceID", "ElementName", "Caption", "Description", "BandwidthUnit"})


def migration_type(settings: Instance | None) -> int:
    """The requested MigrationType; live without one. RefusedError."""
    given = {} if settings is None else {k: v for k, v in settings.values.items() if v is not None}
    kind = given.pop("MigrationType", LIVE)
    for name, value in given.items():
        if name not in _ONLY_SHOWN and value not in _USUAL.get(name, ()):
            raise RefusedError(Kind.NOT_SUPPORTED, f"{name} {value} is not supported")
    if kind not in TYPES:
        raise RefusedError(Kind.NOT_SUPPORTED, f"MigrationType {kind} is not supported")
    return int(kind)


# A name and a port, or an IPv6 address in brackets with or without one. An address without brackets has no port.
_WITH_PORT = re.compile(r"\[(?P<address>[^\]]+)\](?::\d+)?|(?P<name>[^:]+):\d+", re.ASCII)


def _host_named(call: Call, name: str | None) -> Subject:
    """The host of a DestinationHost: its host name, address, name or uuid, with or without a port or scheme."""
    if not name:
        raise invalid("DestinationHost is missing")
    plain = name.rpartition("://")[2].partition("/")[0].lower()
    found = _WITH_PORT.fullmatch(plain)
    asked = {plain, "" if found is None else found["address"] or found["name"]} - {""}
    for host in call.source.all("host").values():
        names = (host.values[key].lower() for key in ("hostname", "address", "name_label", "uuid"))
        if not asked.isdisjoint(names):
            return Subject(call.source, host)
    raise invalid(f"there is no host {name} in this pool; VM.migrate_send reaches others")


@dataclass(frozen=True)
class Move:
    """The migration that a client requests. `to` is the end of the method's name: Host or System, the kind of its
    destination parameter."""

    vm: Subject
    host: Subject
    settings: Instance | None
    arrival: Arrival
    to: str


async def _assert_possible(call: Call, move: Move, kind: int) -> None:
    """RefusedError or ApiError for a migration that cannot be."""
    vm, host, arrival = move.vm, move.host, move.arrival
    if arrival.on_the_way and kind != LIVE:
        raise RefusedError(Kind.NOT_SUPPORTED, "only a running machine changes its storage or networks on the way")
    if vm["power_state"] != "Running":
        raise RefusedError(Kind.INVALID_STATE, f"the machine is {vm['power_state']}")
    if vm["resident_on"] == host.ref and not arrival.on_the_way:
        raise RefusedError(Kind.INVALID_STATE, "the machine is on that host already")
    if arrival.on_the_way:
        await call.source.call(call.principal, "VM.assert_operation_valid", vm.ref, "migrate_send")
        async with received(call.source, call.principal, host) as there:
            await call.source.call(call.principal, "VM.assert_can_migrate", vm.ref, there, True, *maps(arrival))
        return
    await call.source.call(call.principal, "VM.assert_can_boot_here", vm.ref, host.ref)
    operation = {LIVE: "pool_migrate", RESUME: "suspend", RESTART: "clean_shutdown"}[kind]
    await call.source.call(call.principal, "VM.assert_operation_valid", vm.ref, operation)


@contextlib.asynccontextmanager
async def received(source: Source, principal: Principal, host: Subject) -> AsyncIterator[Mapping[str, str]]:
    """Where VM.migrate_send sends a machine that `host` will take; the session that this opens is closed at the end.

    RefusedError if the host has no management interface.
    """
    pif = next((pif for pif in host.each("PIFs") if pif["management"]), None)
    if pif is None:
        raise RefusedError(Kind.FAILED, "the host has no management interface")
    there = await source.call(principal, "host.migrate_receive", host.ref, pif["network"], {})
    try:
        yield there
    finally:
        with contextlib.suppress(ApiError):
            await source.call(replace(principal, session=there["session_id"]), "session.logout")


async def check(call: Call, move: Move) -> Result:
    """CheckVirtualSystemIsMigratable...: 0 and the answer; what the pool says against it makes it false."""
    try:
        await _assert_possible(call, move, migration_type(move.settings))
    except RefusedError as refused:
        if refused.kind is Kind.INVALID_PARAMETER:
            raise
        return Result(jobs.DONE, {"IsMigratable": False})
    except ApiError as error:
        if error.code == "RBAC_PERMISSION_DENIED":
            raise
        return Result(jobs.DONE, {"IsMigratable": False})
    return Result(jobs.DONE, {"IsMigratable": True})


async def migrate(call: Call, move: Move) -> Result:
    """MigrateVirtualSystem...: ToSystem tells NewComputerSystem too, which is the machine, as before."""
    vm, host, arrival = move.vm, move.host, move.arrival
    kind = migration_type(move.settings)
    needed = {LIVE: ("VM.pool_migrate",), RESUME: ("VM.suspend", "VM.resume_on"),
              RESTART: ("VM.clean_shutdown", "VM.start_on")}[kind]  # fmt: skip
    jobs.require(call, *needed)
    if arrival.on_the_way:
        jobs.require(call, "VM.migrate_send", "host.migrate_receive")
    await _assert_possible(call, move, kind)
    origin = vm["resident_on"]

    async def body(work: Work) -> Mapping[str, Any]:
        if kind != RESTART:
            await apply(work, vm.version, arrival)
        if arrival.on_the_way:
            async with received(work.source, work.principal, host) as there:
                await work.run("VM.migrate_send", vm.ref, there, True, *maps(arrival))
        elif kind == LIVE:
            await work.run("VM.pool_migrate", vm.ref, host.ref, {"live": "true"})
        elif kind == RESUME:
            work.expected = 2
            await work.run("VM.suspend", vm.ref)
            await work.undo("VM.resume_on", vm.ref, origin, False, False)
            await work.run("VM.resume_on", vm.ref, host.ref, False, False)
        else:
            work.expected = 2
            await work.run("VM.clean_shutdown", vm.ref)
            await work.undo("VM.start_on", vm.ref, origin, False, False)
            await apply(work, vm.version, arrival)
            await work.run("VM.start_on", vm.ref, host.ref, False, False)
        return {"NewComputerSystem": call.path_of(ComputerSystem.cim, vm.ref)}

    label = f"CIM.MigrateVirtualSystemTo{move.to}"
    found = await call.jobs.several(call, jobs.SYSTEMS, label, body, about=vm["uuid"])
    if move.to == "System":
        return found
    return Result(found.value, {name: value for name, value in found.out.items() if name == "Job"})


def to_host(do: Callable[[Call, Move], Awaitable[Result]]) -> Function:
    """The method of CIM_VirtualSystemMigrationService that does this, with the destination host given by name."""

    async def function(
        call: Call,
        computer_system: Path | None,
        destination_host: str | None,
        migration_setting_data: Instance | None,
        new_system_setting_data: Instance | None,
        new_resource_setting_data: tuple[Instance, ...] | None,
    ) -> Result:
        vm = call.target(computer_system, "ComputerSystem", ComputerSystem.cim)
        arrival = read(call, vm, new_system_setting_data, new_resource_setting_data)
        host = _host_named(call, destination_host)
        return await do(call, Move(vm, host, migration_setting_data, arrival, "Host"))

    function.__name__ = f"{do.__name__}_to_host"  # for the log
    return jobs.answers(jobs.SYSTEMS)(function)


def to_system(do: Callable[[Call, Move], Awaitable[Result]]) -> Function:
    """The method of CIM_VirtualSystemMigrationService that does this, with the destination host given by reference."""

    async def function(
        call: Call,
        computer_system: Path | None,
        destination_system: Path | None,
        migration_setting_data: Instance | None,
        new_system_setting_data: Instance | None,
        new_resource_setting_data: tuple[Instance, ...] | None,
    ) -> Result:
        vm = call.target(computer_system, "ComputerSystem", ComputerSystem.cim)
        arrival = read(call, vm, new_system_setting_data, new_resource_setting_data)
        host = call.target(destination_system, "DestinationSystem", HostComputerSystem.cim)
        return await do(call, Move(vm, host, migration_setting_data, arrival, "System"))

    function.__name__ = f"{do.__name__}_to_system"
    return jobs.answers(jobs.SYSTEMS)(function)


class VirtualSystemMigrationService(HostService, cim="Xen_VirtualSystemMigrationService", of="host"):
    """What moves machines between the hosts of the pool."""

    ElementName = const("Virtual system migration")

    CheckVirtualSystemIsMigratableToHost = method(to_host(check), out=("IsMigratable",))
    CheckVirtualSystemIsMigratableToSystem = method(to_system(check), out=("IsMigratable",))
    MigrateVirtualSystemToHost = method(to_host(migrate), out=("Job",))
    MigrateVirtualSystemToSystem = method(to_system(migrate), out=("NewComputerSystem", "Job"))


# MigrateToHost, MigrateToSystem; and the checks, which answer at once in any case.
MIGRATE, CHECK = (2, 3), (4, 5)


class VirtualSystemMigrationCapabilities(View, cim="Xen_VirtualSystemMigrationCapabilities", of="host"):
    """The capabilities of the migration service of a host."""

    InstanceID = xen_id(field("uuid"), "VirtualSystemMigrationCapabilities")
    ElementName = const("Virtual system migration")
    SynchronousMethodsSupported = at_once(*MIGRATE, always=CHECK)
    AsynchronousMethodsSupported = as_jobs(*MIGRATE)
    DestinationHostFormatsSupported = const((2, 3, 4))


class VirtualSystemMigrationSettingData(View, cim="Xen_VirtualSystemMigrationSettingData", of="host"):
    """How a machine is moved when nothing else is said."""

    InstanceID = xen_id(field("uuid"), "MigrationSettingData")
    ElementName = const("Default migration settings")
    MigrationType = const(LIVE)
    Priority = const(0)


class SettingsDefineMigration(
    Association, cim="Xen_SettingsDefineMigrationCapabilities", left="GroupComponent", right="PartComponent"
):
    """The default settings of a migration service."""

    relations = (SameRecord(VirtualSystemMigrationCapabilities, VirtualSystemMigrationSettingData),)
    properties = {"PropertyPolicy": 0, "ValueRole": 0, "ValueRange": 0}


HostedService.also(SameRecord(HostComputerSystem, VirtualSystemMigrationService))
ElementCapabilities.also(SameRecord(VirtualSystemMigrationService, VirtualSystemMigrationCapabilities))
ServiceAffectsElement.also(machines_of(VirtualSystemMigrationService))
OwningJobElement.also(jobs_of(VirtualSystemMigrationService))
# How a machine moves next if nothing else is said: as its host's service does it.
ElementSettingData.also(
    Where(
        Reversed(Owned(VirtualSystemMigrationSettingData, ComputerSystem, home_of, HOME_READS)),
        properties={"IsDefault": 1, "IsCurrent": 2, "IsNext": 1},
    )
)
