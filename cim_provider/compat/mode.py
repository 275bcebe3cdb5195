"""Compatibility modes as values: how a server's classes, parameters and answers differ from the DMTF's profiles.

Theory of operation
1. A Mode is data: faces of views, views of its own, relations of associations, and a few functions at the places where
   a request comes in and an answer goes out. The profiles know nothing of modes; PLAIN, which changes nothing, is the
   DMTF way.
2. What clients see is made by the faces and those views. What methods get is what the profiles declare: `Inputs` turns
   references and settings in the words of the mode into those of the profiles before a method sees them.
3. A refusal of a method is a return value to the profiles; `Mode.refusal` may make a CIM error of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from cim_provider.mapping.association import ASSOCIATIONS, Association, Relation
from cim_provider.mapping.check import check
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.face import Face, related_by, variant
from cim_provider.mapping.method import Result
from cim_provider.mapping.view import VIEWS, View
from cim_provider.schema.graph import CimClass, ClassGraph
from cim_provider.schema.objects import INVALID_PARAMETER, NOT_FOUND, CimError, Path
from xenapi_core.bridge.source import Principal, Source
from xenapi_core.model.schema import Schema


class Shows(Protocol):
    """The part of a provider that translates between what is shown and what is declared."""

    source: Source

    def find(self, path: Path, namespace: str) -> Rendition | None:
        """The shown instance of a path."""

    def declared(self, shown: Rendition, item: Any = None) -> Rendition | None:
        """The rendition by the profile's view of what the mode shows as `shown`; for another item of the record if
        `item` is not None."""

    def views_of(self, classname: str) -> tuple[type[View], ...]:
        """The declared views whose instances are shown as instances of just this class."""


@dataclass(frozen=True)
class Request:
    """One method call before its method runs: `target` is the shown instance."""

    provider: Shows
    namespace: str
    principal: Principal
    target: Rendition
    method: str


Given = dict[str, Any]  # parameters by lower-case name


def not_there(cls: CimClass, path: Path) -> CimError:
    """Why a path leads to no instance of `cls`: INVALID_PARAMETER if it lacks a key or has too many, else NOT_FOUND."""
    given = {name for name, _ in path.keys or ()}
    if given and given != set(cls.keys):
        return CimError(INVALID_PARAMETER, f"the keys of {cls.name} are {', '.join(cls.keys)}")
    return CimError(NOT_FOUND, f"there is no such instance of {path.classname}")


async def as_given(request: Request, given: Given) -> Given:
    return given


def no_error(request: Request, result: Result) -> CimError | None:
    return None


async def nothing_more(request: Request, given: Given, refused: CimError | None) -> None:
    pass


def as_the_pool_says(classname: str, method: str) -> bool | None:
    return None


@dataclass(frozen=True)
class Mode:
    """One compatibility mode: what differs from the DMTF's profiles.

    mof        files of `mof/xen` whose classes add to the schema.
    faces      by declared view.
    views      views that are shown beside those of the profiles; the relations of the mode may speak of them.
    relations  by association; those not named here have the declared ones.
    spaces     canonical name of a namespace -> how it is written in replies.
    also       canonical name of a namespace -> others whose instances are seen in it too.
    on_class   whether a method invoked on a class means the coordinator's instance of it.
    inputs     the parameters of a call as the profiles take them. CimError, also for what the mode refuses itself.
    refusal    the CIM error for a return value that is told as one; None for those that are not.
    answered   what is done after a call whose answer is known, with the parameters as the client gave them: the CIM
               error it was refused with, None if it was met. It raises nothing of its own.
    missing    the error for a path that leads to no instance.
    waits      whether the answer of a method (class, name) waits for its work; None: as the pool says.
    """

    name: str = ""
    mof: tuple[str, ...] = ()
    faces: Mapping[type[View], Face] = field(default_factory=dict)
    views: tuple[type[View], ...] = ()
    relations: Mapping[type[Association], tuple[Relation, ...]] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on_class: bool = False
    inputs: Callable[[Request, Given], Awaitable[Given]] = as_given
    refusal: Callable[[Request, Result], CimError | None] = no_error
    answered: Callable[[Request, Given, CimError | None], Awaitable[None]] = nothing_more
    missing: Callable[[CimClass, Path], CimError] = not_there
    waits: Callable[[str, str], bool | None] = as_the_pool_says


PLAIN = Mode()


def shown_by(mode: Mode) -> dict[type[View], type[View]]:
    """Every view there is in a mode, and what is shown of it: itself, or the variant that its face describes."""
    faces = mode.faces
    return {
        view: variant(view, faces[view], mode.name) if view in faces else view
        for view in (*VIEWS.values(), *mode.views)
    }


def associations_of(mode: Mode) -> dict[str, type[Association]]:
    """The associations by the names of their classes, with the relations they have in a mode."""
    return {
        name: related_by(found, mode.relations[found]) if found in mode.relations else found
        for name, found in ASSOCIATIONS.items()
    }


def mistakes_in(mode: Mode, graph: ClassGraph, schema: Schema) -> list[str]:
    """Every mistake in the declarations of the profiles and of a mode, as a sentence each; see mapping/check.py."""
    shown = shown_by(mode)
    found = check(graph, schema, shown, associations_of(mode).values())
    found += check(graph, schema, (face for view, face in shown.items() if face is not view), ())
    return found + [
        f"{name} is no class below {face.cim}"
        for face in shown.values()
        for name in face.kinds
        if graph.find(name) is None or not graph.is_a(name, face.cim)
    ]
