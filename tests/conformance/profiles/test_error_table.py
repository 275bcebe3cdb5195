"""What clients are told of errors, asked through the provider: every error of the Xen-API that has a meaning of its own
in CIM, and every kind of mistake in a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from cim_pool import SmallPool, graph, instance_values
from cim_services import MANAGEMENT, POOLS, POWER, VSSD, Site, site
from lxml import etree

from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.provider import CimProvider
from cim_provider.schema.objects import (
    ACCESS_DENIED,
    CIMV2,
    FAILED,
    INVALID_CLASS,
    INVALID_NAMESPACE,
    INVALID_PARAMETER,
    METHOD_NOT_AVAILABLE,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    NOT_SUPPORTED,
    CimError,
    Instance,
    Path,
)
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.errors import E


class CimStatus(NamedTuple):
    """The answer is this CIM status, not a return value."""

    status: int


class RefusingPool:
    """A real pool that answers every message but those of tasks with one error, as another server's pool might."""

    def __init__(self, source: Source, *error: str) -> None:
        self._source = source
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def call(self, principal: Principal, method: str, *args: Any) -> Any:
        if method.startswith("task."):
            return await self._source.call(principal, method, *args)
        raise E.from_wire(list(self._error))


def refusing(at: Site, *error: str) -> None:
    """From now on the site's provider stands before a pool that refuses."""
    source: Any = RefusingPool(at.pool.source, *error)
    at.pool.provider = CimProvider(source, graph())


# Error of the Xen-API and its parameters -> return values of RequestStateChange, RequestPowerStateChange,
# DestroySystem, DefineSystem and DeleteResourcePool; or the CIM status that all of them answer. Last: the CIM status
# that a failed job tells.
# fmt: off
ERRORS: dict[tuple[str, ...], tuple[tuple[int, ...] | int, int]] = {
    ("HANDLE_INVALID", "VM", "x"):                (NOT_FOUND, NOT_FOUND),
    ("UUID_INVALID", "VM", "x"):                  (NOT_FOUND, NOT_FOUND),
    ("SESSION_INVALID", "x"):                     (ACCESS_DENIED, ACCESS_DENIED),
    ("SESSION_AUTHENTICATION_FAILED",):           (ACCESS_DENIED, ACCESS_DENIED),
    ("RBAC_PERMISSION_DENIED", "x", "y"):         (ACCESS_DENIED, ACCESS_DENIED),
    ("VM_BAD_POWER_STATE", "x", "halted", "running"):        ((4097, 4097, 5, 2, 4), FAILED),
    ("OPERATION_NOT_ALLOWED", "x"):                          ((4097, 4097, 5, 2, 4), FAILED),
    ("OTHER_OPERATION_IN_PROGRESS", "VM", "x", "start", "y"): ((4099, 4099, 5, 2, 6), FAILED),
    ("VM_MISSING_PV_DRIVERS", "x"):               ((1, 1, 1, 1, 1), FAILED),
    ("VM_LACKS_FEATURE", "x"):                    ((1, 1, 1, 1, 1), FAILED),
    ("FEATURE_REQUIRES_HVM", "x"):                ((1, 1, 1, 1, 1), FAILED),
    ("FIELD_TYPE_ERROR", "x"):                    ((5, 5, 4, 4, 5), INVALID_PARAMETER),
    ("VALUE_NOT_SUPPORTED", "f", "v", "r"):       ((5, 5, 4, 4, 5), INVALID_PARAMETER),
    ("INVALID_VALUE", "f", "v"):                  ((5, 5, 4, 4, 5), INVALID_PARAMETER),
    ("MEMORY_CONSTRAINT_VIOLATION", "x"):         ((5, 5, 4, 4, 5), INVALID_PARAMETER),
    ("INVALID_DEVICE", "x"):                      ((5, 5, 4, 4, 5), INVALID_PARAMETER),
    ("MAC_INVALID", "x"):                         ((5, 5, 4, 4, 5), INVALID_PARAMETER),
    ("SR_FULL", "1", "0"):                        ((4, 4, 2, 2, 8), FAILED),
    ("HOST_NOT_ENOUGH_FREE_MEMORY", "1", "0"):    ((4, 4, 2, 2, 8), FAILED),
    ("NO_HOSTS_AVAILABLE",):                      ((4, 4, 2, 2, 8), FAILED),
    ("DEVICE_ALREADY_ATTACHED", "x"):             ((6, 6, 5, 2, 6), FAILED),
    ("VDI_IN_USE", "x", "y"):                     ((6, 6, 5, 2, 6), FAILED),
    ("SR_HAS_PBD", "x"):                          ((6, 6, 5, 2, 6), FAILED),
    ("MESSAGE_METHOD_UNKNOWN", "x"):              ((1, 1, 1, 1, 1), NOT_SUPPORTED),
    ("NOT_IMPLEMENTED", "x"):                     ((1, 1, 1, 1, 1), NOT_SUPPORTED),
    ("VM_REVERT_FAILED", "x", "y"):               (FAILED, FAILED),
    ("AN_ERROR_OF_ANOTHER_SERVER", "x"):          (FAILED, FAILED),
}
# fmt: on


def methods(at: Site) -> tuple[Callable[[], Awaitable[tuple[int, dict[str, Any]]]], ...]:
    """The five methods of ERRORS, on things that are there and in a state that allows them."""
    vm, network = at.sim.add_vm("web"), at.sim.add("network", name_label="lan")
    pool = Path.of("Xen_NetworkPool", {"InstanceID": f"Xen:NetworkPool/{at.uuid(network)}"}, CIMV2)
    system, new = at.system(vm), Instance(VSSD, {"ElementName": "new"})
    return (
        lambda: at.invoke(system, "RequestStateChange", RequestedState=2),
        lambda: at.ask(POWER, "RequestPowerStateChange", PowerState=2, ManagedElement=system),
        lambda: at.ask(MANAGEMENT, "DestroySystem", AffectedSystem=system),
        lambda: at.ask(MANAGEMENT, "DefineSystem", SystemSettings=new),
        lambda: at.ask(POOLS, "DeleteResourcePool", Pool=pool),
    )


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error[0])
async def test_an_error_of_the_pool_is_the_return_value_or_status_of_the_table(error: tuple[str, ...]) -> None:
    async with site() as at:
        calls = methods(at)
        refusing(at, *error)
        expected, _ = ERRORS[error]
        if isinstance(expected, int):
            for call in calls:
                with pytest.raises(CimError) as raised:
                    await call()
                assert (raised.value.status, raised.value.text) == (expected, str(E.from_wire(list(error))))
        else:
            assert tuple([(await call())[0] for call in calls]) == expected


def told_by_job(at: Site, task: str) -> dict[str, Any]:
    """What the job of a task shows."""
    (found,) = at.pool.provider.extent(ConcreteJob).of(at.store.get(task))
    return dict(found.values)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error[0])
async def test_a_job_that_fails_tells_the_status_and_the_words_of_the_table(error: tuple[str, ...]) -> None:
    async with site(mode="always") as at:
        *_, define, _ = methods(at)
        refusing(at, *error)
        value, out = await define()
        assert value == 4096
        task = await at.ended(out)
        shown = told_by_job(at, task.ref)
        assert (shown["JobState"], shown["ErrorCode"]) == (10, ERRORS[error][1])
        assert shown["ErrorDescription"] == " ".join(error)
        job = Path.of("Xen_ConcreteJob", {"InstanceID": shown["InstanceID"]}, CIMV2)
        value, told = await at.invoke(job, "GetError")
        lines = instance_values(etree.fromstring(told["Error"].findtext("VALUE").encode()))
        assert (value, lines["CIMStatusCode"], lines["MessageID"]) == (0, str(ERRORS[error][1]), error[0])
        assert lines["MessageArguments"] == list(error[1:]) if error[1:] else not lines.get("MessageArguments")


# Mistakes in a request

NOWHERE = "00000000-0000-4000-8000-000000000000"


def system_path(uuid: str, **more: Any) -> Path:
    return Path.of("Xen_ComputerSystem", {"CreationClassName": "Xen_ComputerSystem", "Name": uuid, **more}, CIMV2)


# What is asked of a pool with the machine "web", and the status.
# fmt: off
MISTAKES: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "a namespace there is not": ("EnumerateInstances", {"ClassName": "CIM_System"}, "root/none", INVALID_NAMESPACE),
    "a class there is not":     ("EnumerateInstances", {"ClassName": "CIM_None"}, CIMV2, INVALID_CLASS),
    "a machine there is not":   ("GetInstance", {"InstanceName": system_path(NOWHERE)}, CIMV2, NOT_FOUND),
    "settings there are not":   (
        "GetInstance", {"InstanceName": Path.of(VSSD, {"InstanceID": f"Xen:{NOWHERE}"}, CIMV2)}, CIMV2, NOT_FOUND),
    "an InstanceID of another form": (
        "GetInstance", {"InstanceName": Path.of(VSSD, {"InstanceID": "web"}, CIMV2)}, CIMV2, NOT_FOUND),
    "a walk from what is not there": ("Associators", {"ObjectName": system_path(NOWHERE)}, CIMV2, NOT_FOUND),
    "names of a walk from what is not there":
        ("AssociatorNames", {"ObjectName": system_path(NOWHERE)}, CIMV2, NOT_FOUND),
    "references of what is not there": ("References", {"ObjectName": system_path(NOWHERE)}, CIMV2, NOT_FOUND),
    "creating what a profile shows": (
        "CreateInstance", {"NewInstance": Instance("Xen_ComputerSystem", {"ElementName": "new"})}, CIMV2,
        NOT_SUPPORTED),
}
# fmt: on


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_operation_has_its_status(mistake: str) -> None:
    operation, params, namespace, status = MISTAKES[mistake]
    pool = SmallPool()
    pool.vm("web")
    with pytest.raises(CimError) as raised:
        pool.run(operation, namespace, **params)
    assert raised.value.status == status


@pytest.mark.parametrize("operation", ["DeleteInstance", "ModifyInstance"])
def test_what_a_profile_shows_is_not_written(operation: str) -> None:
    pool = SmallPool()
    pool.vm("web")
    path = pool.path("web")
    given: dict[str, Any] = {"InstanceName": path}
    if operation == "ModifyInstance":
        given = {"ModifiedInstance": Instance(path.classname, {"ElementName": "other"}, path)}
    with pytest.raises(CimError) as raised:
        pool.run(operation, **given)
    assert raised.value.status == NOT_SUPPORTED
    assert pool.version("web")["name_label"] == "web"


# Class, method and parameters of a call on an instance there is -> CIM status, or return value.
# fmt: off
CALLS: dict[str, tuple[str, str, dict[str, Any], int | CimStatus]] = {
    "a method there is not":       ("system", "Explode", {}, CimStatus(METHOD_NOT_FOUND)),
    "a method without behaviour":  (POWER, "SetPowerState", {}, CimStatus(METHOD_NOT_AVAILABLE)),
    "no old PowerState":           ("system", "SetPowerState", {}, 5),
    "a parameter there is not":    ("system", "RequestStateChange", {"State": 2}, CimStatus(INVALID_PARAMETER)),
    "no RequestedState":           ("system", "RequestStateChange", {}, 5),
    "a machine there is not":      ("nowhere", "RequestStateChange", {"RequestedState": 2}, CimStatus(NOT_FOUND)),
    "no PowerState":               (POWER, "RequestPowerStateChange", {}, 5),
    "no AffectedSystem":           (MANAGEMENT, "DestroySystem", {}, 4),
    "destroying what is not there": (
        MANAGEMENT, "DestroySystem", {"AffectedSystem": system_path(NOWHERE)}, CimStatus(NOT_FOUND)),
    "no ResourceSettings":         (MANAGEMENT, "ModifyResourceSettings", {}, 4),
    "no SystemSettings":           (MANAGEMENT, "ModifySystemSettings", {}, 4),
    "settings of another class":   (
        MANAGEMENT, "DefineSystem", {"SystemSettings": Instance("Xen_MemorySettingData", {})}, 4),
    "no Pool":                     (POOLS, "DeleteResourcePool", {}, 5),
}
# fmt: on


@pytest.mark.parametrize("mistake", CALLS)
async def test_a_mistake_in_a_method_call_has_its_status_or_return_value(mistake: str) -> None:
    on, method, params, expected = CALLS[mistake]
    async with site() as at:
        vm = at.sim.add_vm("web")
        paths = {"system": at.system(vm), "nowhere": system_path(NOWHERE)}
        path, before = paths.get(on) or at.service(on), at.sim.picture()
        if isinstance(expected, CimStatus):
            with pytest.raises(CimError) as raised:
                await at.invoke(path, method, **params)
            assert raised.value.status == expected.status
        else:
            assert (await at.invoke(path, method, **params))[0] == expected
        assert at.sim.picture() == before
