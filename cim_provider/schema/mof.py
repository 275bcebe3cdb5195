"""Compiles MOF text to plain declarations: what pywbem's compiler finds, as lists that JSON can hold.

Theory of operation
1. Texts come with their includes followed (mof_text.py); the compiler itself opens no file.
2. Declarations are kept as written: inheritance is applied by `graph_of` in compile.py, not here, so that the cached
   form stays small.
3. Qualifiers repeat a lot: each distinct one is stored once in a pool, and elements name it by its index.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path as File
from typing import Any

from pywbem import (
    BaseRepositoryConnection,
    CIMClass,
    CIMProperty,
    CIMQualifier,
    CIMQualifierDeclaration,
    MOFCompileError,
    MOFCompiler,
)

from cim_provider.schema.mof_text import MofError

_NAMESPACE = "schema"
_SCOPES = ("CLASS", "ASSOCIATION", "INDICATION", "PROPERTY", "REFERENCE", "METHOD", "PARAMETER")


class _Collector(BaseRepositoryConnection):  # type: ignore[misc]  # pywbem has no types
    """The compiler's repository: takes declarations in, and knows nothing else."""

    def __init__(self) -> None:
        self._namespace = _NAMESPACE
        self.conn_id = None
        self.classes: list[CIMClass] = []
        self.qualifiers: list[CIMQualifierDeclaration] = []

    def _getns(self) -> str:
        return self._namespace

    def _setns(self, value: str) -> None:
        self._namespace = value

    default_namespace = property(_getns, _setns)

    def CreateClass(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802 - pywbem calls it - pywbem's name
        self.classes.append(args[0] if args else kwargs["NewClass"])

    def SetQualifier(self, *args: Any, **kwargs: Any) -> None:  # noqa: N802 - pywbem's name
        self.qualifiers.append(args[0] if args else kwargs["QualifierDeclaration"])

    def EnumerateQualifiers(self, *args: Any, **kwargs: Any) -> list[CIMQualifierDeclaration]:  # noqa: N802
        return self.qualifiers

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise MofError("a schema holds classes and qualifier types only")

    EnumerateInstanceNames = CreateInstance = ModifyInstance = DeleteInstance = _refuse
    GetClass = ModifyClass = DeleteClass = GetQualifier = DeleteQualifier = _refuse


def declarations(texts: Iterable[tuple[File, str]], amending: Collection[File] = ()) -> dict[str, Any]:
    """Compile the texts in order. The result holds `qualifiers`, `pool` and `classes` (see `_class`).

    A class in one of the files `amending` that is declared already adds its properties and methods to it.

    MofError with file and line for what is no MOF, for a class that is declared twice, and for a superclass,
    a REF or an EmbeddedInstance that names a class which is nowhere declared.
    """
    collector = _Collector()
    compiler = MOFCompiler(collector, log_func=None)
    where: dict[str, tuple[File, str]] = {}
    for path, text in texts:
        before = len(collector.classes)
        try:
            compiler.compile_string(text, _NAMESPACE, filename=str(path))
        except MOFCompileError as error:
            raise MofError(f"{path}:{error.lineno or 1}: {error.msg}") from None
        except MofError as error:
            raise MofError(f"{path}:1: {error}") from None
        for cls in collector.classes[before:]:
            if cls.classname.lower() in where and path in amending:
                collector.classes.remove(cls)
                _amend(next(one for one in collector.classes if one.classname.lower() == cls.classname.lower()), cls)
                continue
            if cls.classname.lower() in where:
                first = where[cls.classname.lower()][0]
                raise MofError(f"{path}:{_line(text, cls.classname)}: {cls.classname} is declared in {first} already")
            where[cls.classname.lower()] = (path, text)
    _check_names(collector.classes, where)
    pool: dict[str, int] = {}
    rows: list[list[Any]] = []
    classes = [_class(cls, pool, rows) for cls in collector.classes]
    return {"qualifiers": [_qualifier_type(q) for q in collector.qualifiers], "pool": rows, "classes": classes}


def _amend(declared: CIMClass, more: CIMClass) -> None:
    for name, prop in more.properties.items():
        declared.properties[name] = prop
    for name, method in more.methods.items():
        declared.methods[name] = method


def _check_names(classes: list[CIMClass], where: dict[str, tuple[File, str]]) -> None:
    for cls in classes:
        needed = {} if not cls.superclass else {cls.superclass: "superclass"}
        elements: list[Any] = list(cls.properties.values())
        for method in cls.methods.values():
            elements += method.parameters.values()
        for element in elements:
            if element.reference_class:
                needed[element.reference_class] = f"class of reference {element.name}"
            embedded = element.qualifiers.get("EmbeddedInstance")
            if embedded is not None and embedded.value:
                needed[embedded.value] = f"class embedded in {element.name}"
        for name, role in needed.items():
            if name.lower() not in where:
                path, text = where[cls.classname.lower()]
                at = f"{path}:{_line(text, cls.classname)}"
                raise MofError(f"{at}: {name}, {role} of {cls.classname}, is not declared")
    above = {cls.classname.lower(): (cls.superclass or "").lower() for cls in classes}
    for cls in classes:
        seen, name = {cls.classname.lower()}, above[cls.classname.lower()]
        while name and name not in seen:
            seen.add(name)
            name = above[name]
        if name:
            path, text = where[cls.classname.lower()]
            raise MofError(f"{path}:{_line(text, cls.classname)}: {cls.classname} is its own superclass")


def _line(text: str, classname: str) -> int:
    match = re.search(rf"^\s*class\s+{re.escape(classname)}\b", text, re.IGNORECASE | re.MULTILINE)
    return text.count("\n", 0, match.end()) + 1 if match else 1


def _plain(value: Any) -> Any:
    """A pywbem value as JSON can hold it; datetimes become their text."""
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _qualifier_type(decl: CIMQualifierDeclaration) -> list[Any]:
    """[name, type, array, default, scopes, overridable, tosubclass, translatable]."""
    scopes = [s for s in _SCOPES if decl.scopes.get("ANY") or decl.scopes.get(s)]
    flavor = [decl.overridable is not False, decl.tosubclass is not False, bool(decl.translatable)]
    return [decl.name, decl.type, decl.is_array, _plain(decl.value), scopes, *flavor]


def _qualifiers(found: Iterable[CIMQualifier], pool: dict[str, int], rows: list[list[Any]]) -> list[int]:
    """Indices into the pool, whose rows are [name, type, value, overridable, tosubclass, translatable]."""
    indices = []
    for q in found:
        flavor = [q.overridable is not False, q.tosubclass is not False, bool(q.translatable)]
        row = [q.name, q.type, _plain(q.value), *flavor]
        key = repr(row)
        if key not in pool:
            pool[key] = len(rows)
            rows.append(row)
        indices.append(pool[key])
    return indices


def _property(prop: CIMProperty, pool: dict[str, int], rows: list[list[Any]]) -> list[Any]:
    """[name, type, array, array_size, reference_class, default, qualifiers]."""
    quals = _qualifiers(prop.qualifiers.values(), pool, rows)
    array = bool(prop.is_array)
    return [prop.name, prop.type, array, prop.array_size, prop.reference_class or "", _plain(prop.value), quals]


def _class(cls: CIMClass, pool: dict[str, int], rows: list[list[Any]]) -> list[Any]:
    """[name, superclass, qualifiers, properties, methods]; a method is [name, return type, qualifiers, parameters],
    a parameter [name, type, array, array_size, reference_class, qualifiers]."""
    properties = [_property(p, pool, rows) for p in cls.properties.values()]
    methods = []
    for method in cls.methods.values():
        parameters = [
            [p.name, p.type, bool(p.is_array), p.array_size, p.reference_class or "",
             _qualifiers(p.qualifiers.values(), pool, rows)]
            for p in method.parameters.values()
        ]  # fmt: skip
        quals = _qualifiers(method.qualifiers.values(), pool, rows)
        methods.append([method.name, method.return_type, quals, parameters])
    quals = _qualifiers(cls.qualifiers.values(), pool, rows)
    return [cls.classname, cls.superclass or "", quals, properties, methods]
