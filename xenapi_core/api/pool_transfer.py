"""Serialises the records of a host that changes pools: written by the server that joins, read by the coordinator.

Rule 1: uuids stay as they are, so a VM that moves with its host is the same VM. References are new: a host may come
        again after it left, and no reference is used twice.
Rule 2: what every pool has of its own stays behind: roles, storage types, built-in templates, tools.
Rule 3: `read` believes nothing: every value is checked against the schema, and a reference to anything that did not
        come along becomes null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from xenapi_core.ids import NULL_REF
from xenapi_core.model import types as t
from xenapi_core.model.schema import Schema
from xenapi_core.model.types import Type
from xenapi_core.store.api import Store, Version
from xenapi_core.store.rows import Rows

Records = dict[str, tuple[str, dict[str, Any]]]  # reference -> class, values


def belongings(store: Store, host: str) -> Iterator[Version]:
    """Everything of a host that is alone in its pool: the host itself, interfaces, storage, and VMs."""
    get, related = store.get, store.related
    record = get(host)
    yield record
    yield from (version for version in (store.find(record["metrics"]),) if version is not None)
    yield from map(get, related(host, "host_CPUs"))
    yield from (pool for pool in store.all("cpu_pool").values() if pool["resident_on"] == host)
    yield from store.all("network").values()
    for pif in map(get, related(host, "PIFs")):
        yield pif
        for ref in (pif["metrics"], pif["VLAN_master_of"]):
            found = store.find(ref)
            if found is not None and not (found.cls == "PIF_metrics" and pif["VLAN"] >= 0):
                yield found
    for pbd in map(get, related(host, "PBDs")):
        sr = get(pbd["SR"])
        if not sr["is_tools_sr"]:
            yield from (pbd, sr, *map(get, related(sr.ref, "VDIs")))
    for vm in store.all("VM").values():
        if not vm["is_default_template"]:
            yield vm
            yield from map(get, (*related(vm.ref, "VBDs"), *related(vm.ref, "VIFs"), *related(vm.ref, "crash_dumps")))
            for module in map(get, related(vm.ref, "VTPMs")):
                yield from (module, *(secret for secret in (store.find(module["contents"]),) if secret is not None))
            metrics = (store.find(vm["metrics"]), store.find(vm["guest_metrics"]))
            yield from (version for version in metrics if version is not None)


def write(schema: Schema, store: Store, host: str) -> bytes:
    """The belongings of a host, as a coordinator reads them."""
    rows = Rows(schema)
    found = {version.ref: version for version in belongings(store, host)}
    return orjson.dumps([[v.cls, v.ref, rows.encode(v.cls, v.values)] for v in found.values()])


def read(
    schema: Schema,
    document: bytes,
    known: Callable[[str, Mapping[str, Any]], str | None],
    fresh: Callable[[], str],
) -> Records:
    """The records in `document`, under references that `fresh` makes. ValueError for what is no such document.

    `known(class, values)` names the object of the pool that is to take the place of one that comes (a network on the
    same bridge), or None.
    """
    rows = Rows(schema)
    found: Records = {}
    places: dict[str, str] = {}
    listed = orjson.loads(document)
    if not isinstance(listed, list):
        raise ValueError("no list of records")
    for cls, ref, text in listed:
        values = rows.decode(str(cls), str(text))
        if values is None or not str(ref).startswith("OpaqueRef:"):
            raise ValueError(f"no record of a class that is kept: {cls}")
        present = known(str(cls), values)
        places[str(ref)] = place = present if present is not None else fresh()
        if present is None:
            found[place] = (str(cls), values)
    for cls, values in found.values():
        for field in schema[cls].fields:
            if field.stored:
                values[field.name] = _with_pool_refs(field.type, values[field.name], places)
    return {ref: record for ref, record in found.items() if _is_complete(*record)}


def _with_pool_refs(type_: Type, value: Any, places: Mapping[str, str]) -> Any:
    """`value` with references to what is in the pool (rule 3)."""
    match type_:
        case t.RefType():
            return places.get(value, NULL_REF)
        case t.SetType(item=t.RefType()):
            return tuple(places[ref] for ref in value if ref in places)
        case t.MapType(key=t.RefType()) | t.MapType(value=t.RefType()):
            return {}
    return value


def _is_complete(cls: str, values: Mapping[str, Any]) -> bool:
    """Whether what the record cannot be without came along."""
    needed = {"VBD": ("VM",), "VIF": ("VM", "network"), "VDI": ("SR",), "PBD": ("SR", "host"), "PIF": ("host",),
              "VTPM": ("VM", "contents"), "crashdump": ("VM", "VDI")}  # fmt: skip
    return all(values[name] != NULL_REF for name in needed.get(cls, ()))
