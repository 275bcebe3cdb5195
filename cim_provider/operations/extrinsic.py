"""Extrinsic methods: maps a decoded call to the function a profile declared, and encodes its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from cim_provider import jobs
from cim_provider.compat.mode import Given, Request
from cim_provider.job_calls import Invocation
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.method import Call, DeclaredMethod, Result
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import VIEWS, View
from cim_provider.operations.api import MethodCall, MethodReply
from cim_provider.operations.namespaces import SERVER_METHODS
from cim_provider.schema.graph import CimClass, Method
from cim_provider.schema.objects import (
    INVALID_PARAMETER,
    METHOD_NOT_AVAILABLE,
    METHOD_NOT_FOUND,
    CimError,
    Path,
)
from cim_provider.wire.encode import encoder_of
from xenapi_core.clock import Later
from xenapi_core.errors import ApiError

if TYPE_CHECKING:
    from cim_provider.provider import CimProvider


async def invoke(call: MethodCall) -> MethodReply:
    """Run a method on an instance.

    CimError METHOD_NOT_FOUND: the class declares no such method; METHOD_NOT_AVAILABLE: no profile gives it a behaviour;
    INVALID_PARAMETER: an unknown parameter, or a path without all keys; NOT_FOUND: no such instance. An ApiError of the
    pool that the method did not turn into a return value becomes the CimError of jobs.cim_status.
    """
    provider = cast("CimProvider", call.provider)
    cls = provider.class_of(call.namespace, call.path.classname)
    declared = cls.methods.get(call.method.lower())
    if declared is None:
        raise CimError(METHOD_NOT_FOUND, f"{cls.name} has no method {call.method}")
    unknown = [name for name in call.params if name.lower() not in declared.parameters]
    if unknown:
        raise CimError(INVALID_PARAMETER, f"{declared.name} has no parameter {unknown[0]}")
    if call.path.keys is None and not provider.mode.on_class:
        raise CimError(METHOD_NOT_AVAILABLE, f"{declared.name} is invoked on instances")
    target = _of_coordinator(provider, cls) if call.path.keys is None else provider.find(call.path, call.namespace)
    if target is None:
        if provider.get(call.path, call.namespace) is not None:
            raise CimError(METHOD_NOT_AVAILABLE, f"{declared.name} of {cls.name} has no provider")
        raise provider.mode.missing(cls, call.path)
    own = SERVER_METHODS.get((target.view.cim, declared.name))
    if own is not None:
        return _reply(provider, call.namespace, declared, await own(call))
    behaviour = provider.extent(target.view).view.methods.get(declared.name)
    if behaviour is None:
        raise CimError(METHOD_NOT_AVAILABLE, f"{declared.name} of {cls.name} is not implemented")
    request = Request(provider, call.namespace, call.principal, target, declared.name)
    given = {name.lower(): param.value for name, param in call.params.items()}
    try:
        result = await _answer(provider, call, declared, behaviour, request, given)
    except CimError as refused:
        await provider.mode.answered(request, given, refused)
        raise
    await provider.mode.answered(request, given, None)
    return _reply(provider, call.namespace, declared, result)


async def _answer(
    provider: CimProvider, call: MethodCall, declared: Method, behaviour: DeclaredMethod, request: Request, given: Given
) -> Result:
    """The result of the method for parameters in the terms of the mode. CimError, also for refusals that the mode
    answers with one."""
    own = await provider.mode.inputs(request, given)
    arguments = {python: own.get(name) for name, python in behaviour.inputs.items()}
    try:
        result = await behaviour.function(_context(provider, call, request.target, declared), **arguments)
    except ApiError as error:
        raise CimError(jobs.cim_status(error), str(error)) from error
    refusal = provider.mode.refusal(request, result)
    if refusal is not None:
        raise refusal
    return result


def _of_coordinator(provider: CimProvider, cls: CimClass) -> Rendition | None:
    """The instance that a call on a class means: the coordinator's one, of those with a host."""
    masters = [pool.values["master"] for pool in provider.source.all("pool").values()]
    hosts = [version for version in map(provider.source.find, masters) if version is not None]
    for view in provider.views_of(cls.name):
        for host in hosts if view.of == "host" else ():
            return next(iter(provider.extent(view).of(host)), None)
    return None


def _context(provider: CimProvider, call: MethodCall, target: Rendition, declared: Method) -> Call:
    def path_of(cim: str, ref: str, item: Any = None) -> Path | None:
        version = provider.source.find(ref)
        shown = provider.extent(VIEWS[cim]).of(version) if version is not None else ()
        found = next((one for one in shown if one.item == item), shown[0] if shown else None)
        return found.path if found is not None else None

    async def shown(view: type[View]) -> Sequence[Rendition]:
        listing = provider.slices.run(provider.extent(view).listed())
        return cast("Sequence[Rendition]", (await listing if isinstance(listing, Later) else listing).shown)

    def views(classname: str) -> tuple[type[View], ...] | None:
        if provider.graph(call.namespace).find(classname) is None:
            return None
        return tuple(extent.view.declared for extent in provider.extents(call.namespace, classname))

    def exists(path: Path) -> bool:
        return provider.find(path, call.namespace) is not None

    subject = Subject(provider.source, target.version, target.item)
    names = {low: parameter.name for low, parameter in declared.parameters.items()}
    given = {names[name.lower()]: param.value for name, param in call.params.items()}
    types = {parameter.name: parameter.type for parameter in declared.parameters.values()}
    return Call(
        Invocation(declared.name, target.path, given, types, provider.graph(call.namespace).spaces),
        subject,
        call.principal,
        provider.source,
        provider.jobs.answering(provider.mode.waits(target.view.cim, declared.name)),
        path_of,
        provider.find_declared,
        exists,
        shown,
        views,
    )


def _reply(provider: CimProvider, namespace: str, declared: Method, result: Result) -> MethodReply:
    encoder = encoder_of(provider.graph(namespace))
    out = []
    for name, value in result.out.items():
        parameter = declared.parameters[name.lower()]
        out.append(encoder.param_value(parameter.name, parameter.type, value, parameter.array))
    return MethodReply(result.value, declared.return_type, out)
