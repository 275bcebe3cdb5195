"""DSP1103: jobs of method calls tell the call: JobInParameters, JobOutParameters and CIM_MethodResult."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cim_pool import elements, instance_values, path_in, run
from cim_services import CIMV2, MANAGEMENT, SNAPSHOTS, VSSD, FaultRule, Instance, Path, Site, site
from lxml import etree

from cim_provider.ended_jobs import KEEP
from cim_provider.job_calls import LARGEST, MOST, Invocation, JobCalls, call_of, parameters
from cim_provider.jobs import SYSTEMS, results_of
from cim_provider.profiles.job_control import ConcreteJob
from cim_provider.profiles.method_results import MethodResult

NAME = "Xen_MethodResult"


def result_of(at: Site, out: dict[str, Any]) -> Path:
    """The result of the job that a method gave; the job is found from it."""
    job = path_in(out["Job"])
    (path,) = at.related(job, "CIM_AssociatedJobMethodResult")
    assert at.related(path, "CIM_AssociatedJobMethodResult") == [job]
    return path


def embedded(text: str | None) -> tuple[str, dict[str, Any]]:
    """The class and the values of an embedded instance."""
    assert text is not None
    instance = etree.fromstring(text.encode())
    return instance.get("CLASSNAME"), instance_values(instance)


def got(at: Site, path: Path) -> dict[str, Any]:
    """An instance as a client reads it."""
    (found,) = elements(run(at.pool.provider, "GetInstance", InstanceName=path).values)
    return instance_values(found)


async def test_a_job_tells_the_method_call_that_started_it_and_what_came_of_it() -> None:
    async with site(mode="always") as at:
        asked = Instance(VSSD, {"ElementName": "new", "Notes": ("ours",)})
        told = {"ElementName": "new", "Notes": ["ours"]}
        _, out = await at.ask(MANAGEMENT, "DefineSystem", SystemSettings=asked)
        path = result_of(at, out)
        ended = await at.ended(out)
        result = got(at, path)
        assert result["InstanceID"] == f"Xen:{ended['uuid']}/MethodResult"
        before, after = (embedded(result[name]) for name in ("PreCallIndication", "PostCallIndication"))
        assert (before[0], after[0]) == ("CIM_InstMethodCall", "CIM_InstMethodCall")
        assert {one["MethodName"] for _, one in (before, after)} == {"DefineSystem"}
        service = at.service(MANAGEMENT)
        assert before[1]["SourceInstanceModelPath"].startswith(f"root/cimv2:{MANAGEMENT}.CreationClassName=")
        assert embedded(before[1]["SourceInstance"]) == (MANAGEMENT, dict(service.keys or ()))
        assert (before[1]["PreCall"], before[1]["ReturnValue"]) == ("true", None)
        assert (after[1]["PreCall"], after[1]["ReturnValue"]) == ("false", "0")
        name, given = embedded(before[1]["MethodParameters"])
        assert (name, list(given)) == ("__MethodParameters", ["SystemSettings"])
        assert embedded(given["SystemSettings"]) == (VSSD, told)
        name, gave = embedded(after[1]["MethodParameters"])
        uuid = at.uuid(results_of(ended)[0])
        system = f'root/cimv2:Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{uuid}"'
        assert (name, gave) == ("__MethodParameters", {"ResultingSystem": system})
        job = got(at, path_in(out["Job"]))
        name, given = embedded(job["JobInParameters"])
        assert (name, embedded(given["SystemSettings"])) == ("__JobInParameters", (VSSD, told))
        name, gave = embedded(job["JobOutParameters"])
        assert (name, gave) == ("__JobOutParameters", {"ResultingSystem": system, "__ReturnValue": "0"})


async def test_what_comes_of_a_call_is_not_known_before_its_job_has_ended() -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm()
        _, out = await at.pool.call(at.system(vm), "RequestStateChange", RequestedState=2)
        path, job = result_of(at, out), path_in(out["Job"])
        assert got(at, path)["PostCallIndication"] is None
        assert got(at, job)["JobOutParameters"] is None
        given = embedded(embedded(got(at, path)["PreCallIndication"])[1]["MethodParameters"])
        assert given == ("__MethodParameters", {"RequestedState": "2"})
        await at.ended(out)
        after = embedded(got(at, path)["PostCallIndication"])[1]
        assert (after["ReturnValue"], embedded(after["MethodParameters"])[1]) == ("0", {})
        assert embedded(got(at, job)["JobOutParameters"])[1] == {"__ReturnValue": "0"}


async def test_a_call_whose_job_failed_by_an_error_of_cim_has_no_return_value() -> None:
    async with site(mode="always") as at:
        vm = at.sim.add_vm()
        at.faulty(FaultRule("create"))
        _, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        assert (await at.ended(out))["status"] == "failure"
        assert embedded(got(at, result_of(at, out))["PostCallIndication"])[1]["ReturnValue"] is None


async def test_a_call_whose_job_failed_has_the_return_value_of_its_class_of_methods() -> None:
    async with site(mode="always") as at:
        vm, huge = at.sim.add_vm(), 1 << 50
        at.sim.change(vm, memory_static_max=huge, memory_dynamic_max=huge, memory_dynamic_min=huge)
        _, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        assert (await at.ended(out))["status"] == "failure"
        after = embedded(got(at, result_of(at, out))["PostCallIndication"])[1]
        at.mode("never")
        waited, _ = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        assert (after["ReturnValue"], waited) == ("4", 4)
        assert got(at, path_in(out["Job"]))["JobOutParameters"] is None


async def test_a_call_that_was_cancelled_has_failed() -> None:
    async with site(mode="always") as at:
        vm = await at.sim.running("web")
        _, out = await at.pool.call(
            at.service(SNAPSHOTS), "CreateSnapshot", AffectedSystem=at.system(vm), SnapshotType=2
        )
        job = path_in(out["Job"])
        await at.pool.call(job, "RequestStateChange", RequestedState=4)
        assert (await at.ended(out))["status"] == "cancelled"
        after = embedded(got(at, result_of(at, out))["PostCallIndication"])[1]
        assert (after["ReturnValue"], embedded(after["MethodParameters"])[1]) == ("2", {})


async def test_jobs_of_xen_api_clients_have_no_method_call() -> None:
    async with site(mode="always") as at:
        other = {"other_config": {"cim-method": "DefineSystem"}}
        ref = at.sim.add("task", name_label="mine", status="success", **other)
        version = at.store.get(ref)
        assert at.pool.provider.extent(MethodResult).of(version) == ()
        (job,) = at.pool.provider.extent(ConcreteJob).of(version)
        assert (job.values["JobInParameters"], job.values["JobOutParameters"]) == (None, None)


@pytest.mark.parametrize("gone", [False, True])
async def test_a_result_stays_as_long_as_its_job(gone: bool) -> None:
    async with site(mode="always") as at:
        at.pool.provider.jobs.start()
        await asyncio.sleep(0)
        vm = at.sim.add_vm()
        _, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        ended, path = await at.ended(out), result_of(at, out)
        if gone:
            await at.pool.source.call(at.pool.principal, "task.destroy", ended.ref)
            await at.pool.clock.settle()
        assert got(at, path)["ElementName"] == "RequestStateChange"
        await at.pool.clock.advance(ended["finished"] + KEEP - at.pool.clock.now())
        assert list(at.pool.provider.extent(MethodResult)) == []
        assert (at.pool.provider.jobs.ended.calls.find(ended.ref) is None) == gone


async def test_a_job_that_is_deleted_takes_its_result_with_it() -> None:
    async with site(mode="always") as at:
        at.pool.provider.jobs.start()
        await asyncio.sleep(0)
        vm = at.sim.add_vm()
        _, out = await at.invoke(at.system(vm), "RequestStateChange", RequestedState=2)
        ended = await at.ended(out)
        await at.pool.source.call(at.pool.principal, "task.destroy", ended.ref)
        await at.pool.clock.settle()
        run(at.pool.provider, "DeleteInstance", principal=at.pool.principal, InstanceName=path_in(out["Job"]))
        assert list(at.pool.provider.extent(MethodResult)) == []
        assert at.pool.provider.jobs.ended.calls.find(ended.ref) is None


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Name", "web", {"Name": "web"}),
        ("Name", None, {"Name": None}),
        ("Password", "x", {}),
        ("RootPasswd", ("x",), {}),
        ("Notes", "password=x", {}),
        ("Notes", 'chapPassword": "x"', {}),
        ("Notes", "the password is not here", {"Notes": "the password is not here"}),
        ("Address", "nfs://root:x@host/share", {}),
        ("Address", "nfs://host/share", {"Address": "nfs://host/share"}),
        ("Settings", Instance("C", {"Name": "n", "CHAPSecret": "x"}), {"Settings": {"Name": "n"}}),
        ("Settings", (Instance("C", {"Notes": "token: x", "Name": "n"}),), {"Settings": ({"Name": "n"},)}),
        ("Hosts", ("host", "http://a:b@host"), {"Hosts": ("host",)}),
        ("System", Path.of("C", {"Name": 'a"b'}, CIMV2), {"System": 'root/cimv2:C.Name="a\\"b"'}),
        ("Class", Path("C", None, CIMV2), {"Class": "root/cimv2:C"}),
    ],
)
def test_passwords_are_not_kept_and_references_become_text(name: str, value: Any, kept: dict[str, Any]) -> None:
    def plain(one: Any) -> Any:
        if isinstance(one, tuple):
            return tuple(map(plain, one))
        return one.values if isinstance(one, Instance) else one

    found = parameters({name: value}, {name: "string"}, {})
    assert {key: plain(one) for key, one in found.values.items()} == kept


def test_the_largest_parameters_of_a_call_are_left_out_if_it_is_too_long() -> None:
    found = parameters({"Small": "x" * 100, "Large": "x" * LARGEST, "Flags": (1, 2)}, {"Large": "string"}, {})
    assert set(found.values) == {"Small", "Flags"}


def test_only_so_many_calls_are_kept() -> None:
    calls = JobCalls()
    invocation = Invocation("M", Path.of("C", {}, CIMV2), {}, {}, {})
    for number in range(MOST + 2):
        calls.note(str(number), call_of(invocation, SYSTEMS))
    known = [number for number in range(MOST + 2) if calls.find(str(number)) is not None]
    assert known == list(range(2, MOST + 2))
    calls.gave("1", {"Job": None})
    assert calls.find("1") is None
