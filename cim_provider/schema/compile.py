"""Compiles MOF files to the class graph once, and keeps the result in a cache.

Theory of operation
1. The cache is one JSON file per state of the MOF texts: its name holds their hash and FORMAT, so a changed text or a
   changed program never reads an old entry.
2. It is data, never code: a cache directory that someone else can write to may give a wrong schema, not a take-over.
   Anything that does not read as expected is recompiled and replaced.
3. It is written to a temporary file and renamed; readers see the old entry or the new one. No cache is no error.
4. Inheritance is applied at load. An inherited element is one object shared by all subclasses that do not override it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from pathlib import Path as File
from typing import Any

import orjson

from cim_provider.schema.graph import (
    CimClass,
    ClassGraph,
    Method,
    Parameter,
    Property,
    Qualifier,
    QualifierDeclaration,
)

FORMAT = 1

# Cache entries kept: a checkout with its branches, and the user's own MOF files.
KEPT = 8
Qualifiers = dict[str, Qualifier]


def mof_root() -> File:
    """The folder that holds `dmtf/` and `xen/`: beside this package in a checkout, inside it when installed."""
    installed = File(str(resources.files("cim_provider"))) / "mof"
    return installed if installed.is_dir() else installed.parent.parent / "mof"


def cache_folder() -> File:
    """The user's cache folder for xencim (XDG Base Directory rules: an unset or relative variable means ~/.cache)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (File(home) if os.path.isabs(home) else File.home() / ".cache") / "xencim"


def load_graph(paths: Iterable[File], cache: File | None = None, amending: Collection[File] = ()) -> ClassGraph:
    """The graph of the classes in these MOF files and what they include; `cache` is the folder to use for it.

    `amending`: further files, whose classes may add properties and methods to those declared before.

    Blocks: a second or so without a cache entry, tens of milliseconds with one. MofError (schema/mof.py) with file and
    line if the MOF is wrong.
    """
    from cim_provider.schema.mof_text import sources

    folder = cache if cache is not None else cache_folder()
    texts = sources((*paths, *amending))
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    for path, text in texts:
        data = text.encode()
        role = "+" if path in amending else ""
        digest.update(f"{role}{path.name}\n{len(data)}\n".encode())
        digest.update(data)
    entry = folder / f"mof-{digest.hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return graph_of(orjson.loads(entry.read_bytes()))
    from cim_provider.schema.mof import declarations  # the MOF compiler takes longer to import than the cache to read

    found = declarations(texts, amending)
    graph = graph_of(found)
    with contextlib.suppress(OSError):
        _write(entry, orjson.dumps(found))
    return graph


def _write(entry: File, data: bytes) -> None:
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=entry.parent, prefix=".mof-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, entry)
    except BaseException:
        os.unlink(name)
        raise
    _forget_old(entry.parent)


def _forget_old(folder: File) -> None:
    """Remove all but the KEPT newest entries: each change of a MOF text leaves one behind."""
    with contextlib.suppress(FileNotFoundError):  # another process forgets them too
        entries = sorted(folder.glob("mof-*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in entries[KEPT:]:
            old.unlink()


def graph_of(found: Mapping[str, Any]) -> ClassGraph:
    """The graph of the declarations that schema/mof.py made, with inheritance applied (DSP0004 clause 5.1)."""
    return _Builder(found).graph()


class _Builder:
    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = found
        self.own = [Qualifier(n, t, _value(v), False, o, s, tr) for n, t, v, o, s, tr in found["pool"]]
        self.inherited = [
            Qualifier(q.name, q.type, q.value, True, q.overridable, q.tosubclass, q.translatable)
            if q.tosubclass
            else None
            for q in self.own
        ]
        self.rows = {row[0].lower(): row for row in found["classes"]}
        self.classes: dict[str, CimClass] = {}
        # What subclasses see of a class, made when the first subclass asks.
        self.passed_on: dict[str, tuple[Qualifiers, dict[str, Property], dict[str, Method]]] = {}
        self._as_inherited = dict(zip(map(id, self.own), self.inherited, strict=True))

    def graph(self) -> ClassGraph:
        for row in self.found["classes"]:
            self.build(row)
        ordered = {row[0].lower(): self.classes[row[0].lower()] for row in self.found["classes"]}
        declared = {
            name.lower(): QualifierDeclaration(name, type_, array, _value(default), frozenset(scopes), o, s, tr)
            for name, type_, array, default, scopes, o, s, tr in self.found["qualifiers"]
        }
        return ClassGraph(ordered, declared)

    def build(self, row: list[Any]) -> CimClass:
        name, superclass, quals, properties, methods = row
        low = name.lower()
        if low in self.classes:
            return self.classes[low]
        base_quals, base_props, base_methods = self.pass_on(superclass) if superclass else ({}, {}, {})
        all_props, all_methods = dict(base_props), dict(base_methods)
        for prop in properties:
            all_props[prop[0].lower()] = self.property(prop, name, all_props.get(prop[0].lower()))
        for method in methods:
            all_methods[method[0].lower()] = self.method(method, name, all_methods.get(method[0].lower()))
        cls = CimClass(
            name=name,
            superclass=self.classes[superclass.lower()].name if superclass else "",
            qualifiers=self.merge(quals, base_quals),
            properties=all_props,
            methods=all_methods,
            keys=tuple(p.name for p in all_props.values() if p.key),
        )
        self.classes[low] = cls
        return cls

    def pass_on(self, superclass: str) -> tuple[Qualifiers, dict[str, Property], dict[str, Method]]:
        low = superclass.lower()
        if low not in self.passed_on:
            cls = self.build(self.rows[low])
            props = {
                key: p if p.propagated else Property(
                    p.name, p.type, p.array, p.origin, self.descend(p.qualifiers), p.reference_class, p.embedded,
                    p.default, True, p.array_size,
                )
                for key, p in cls.properties.items()
            }  # fmt: skip
            methods = {
                key: m if m.propagated else Method(
                    m.name, m.return_type, m.origin,
                    {k: self.descend_parameter(p) for k, p in m.parameters.items()}, self.descend(m.qualifiers), True,
                )
                for key, m in cls.methods.items()
            }  # fmt: skip
            self.passed_on[low] = (self.descend(cls.qualifiers), props, methods)
        return self.passed_on[low]

    def descend(self, quals: Mapping[str, Qualifier]) -> Qualifiers:
        """The qualifiers a subclass gets: those with flavor ToSubclass, marked as propagated."""
        found: Qualifiers = {}
        for key, qualifier in quals.items():
            passed = qualifier if qualifier.propagated else self._as_inherited[id(qualifier)]
            if passed is not None:
                found[key] = passed
        return found

    def descend_parameter(self, p: Parameter) -> Parameter:
        return Parameter(
            p.name, p.type, p.array, self.descend(p.qualifiers), p.reference_class, p.embedded, p.input, p.output,
            p.array_size,
        )  # fmt: skip

    def merge(self, indices: Iterable[int], inherited: Mapping[str, Qualifier]) -> Qualifiers:
        """An element's own qualifiers first, then the inherited ones it does not repeat."""
        found = {}
        for index in indices:
            qualifier = self.own[index]
            found[qualifier.name.lower()] = qualifier
        for key, value in inherited.items():
            found.setdefault(key, value)
        return found

    def property(self, row: list[Any], origin: str, base: Property | None) -> Property:
        name, type_, array, size, reference, default, indices = row
        quals = self.merge(indices, base.qualifiers if base else {})
        if base is not None:
            origin = base.origin
            default = base.default if default is None else default
        embedded = _embedded(quals)
        return Property(name, type_, array, origin, quals, reference, embedded, _value(default), False, size)

    def method(self, row: list[Any], origin: str, base: Method | None) -> Method:
        name, returns, indices, parameters = row
        made = {}
        for parameter, type_, array, size, reference, own in parameters:
            above = base.parameters.get(parameter.lower()) if base else None
            quals = self.merge(own, above.qualifiers if above else {})
            given, out = quals.get("in"), quals.get("out")
            made[parameter.lower()] = Parameter(
                name=parameter,
                type=type_,
                array=array,
                qualifiers=quals,
                reference_class=reference,
                embedded=_embedded(quals),
                input=given is None or bool(given.value),  # DSP0004: In is true unless said otherwise
                output=out is not None and bool(out.value),
                array_size=size,
            )
        quals = self.merge(indices, base.qualifiers if base else {})
        return Method(name, returns, base.origin if base else origin, made, quals)


def _embedded(quals: Mapping[str, Qualifier]) -> str:
    if "embeddedinstance" in quals:
        return "instance"
    found = quals.get("embeddedobject")
    return "object" if found is not None and found.value else ""


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
