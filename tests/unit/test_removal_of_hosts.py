"""What is left when a host or a repository goes: no stored reference names something that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sim_api import ask

from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.belonging import BELONGS, PARTS
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.types import MapType, OptionType, RefType, SetType, Type
from xenapi_core.testing.pool import SimPool, sim_pool

# A host with guests, the coordinator, and storage in which a host that stays keeps its cache cannot go.
FORBIDDEN = {
    "host.destroy": {("VM", "resident_on"), ("pool", "master")},
    "pool.eject": {("VM", "resident_on"), ("pool", "master")},
    "SR.forget": {("host", "local_cache_sr")},
}


def target_of(type_: Type) -> str | None:
    """The class that values of the type refer to."""
    match type_:
        case RefType():
            return type_.cls
        case SetType() | OptionType():
            return target_of(type_.item)
        case MapType():
            return target_of(type_.key) or target_of(type_.value)
    return None


def references(type_: Type, value: Any) -> Iterator[str]:
    """The references in a value of the type."""
    match type_:
        case RefType():
            yield value
        case OptionType() if value is not None:
            yield from references(type_.item, value)
        case SetType():
            for item in value:
                yield from references(type_.item, item)
        case MapType():
            for key, item in value.items():
                yield from references(type_.key, key)
                yield from references(type_.value, item)


def naming(type_: Type, ref: str) -> Any:
    """A value of the type that refers to `ref`."""
    match type_:
        case SetType():
            return (ref,)
        case MapType(key=RefType()):
            return {ref: type_.value.empty}
        case MapType():
            return {"name": ref}
    return ref


def dangling(pool: SimPool) -> list[str]:
    """Every stored reference of every record that names nothing."""
    return [
        f"{cls.name}.{field.name}"
        for cls in SCHEMA.classes.values()
        for field in cls.fields
        if field.stored and target_of(field.type)
        for record in pool.store.all(cls.name).values()
        for ref in references(field.type, record[field.name])
        if not is_null(ref) and pool.store.find(ref) is None
    ]


def add_belongings(pool: SimPool, doomed: dict[str, str], fixed: dict[str, dict[str, Any]]) -> dict[str, str]:
    """One record for each field by which one may belong to what is `doomed` (class -> record), directly or not."""
    made: dict[str, str] = {}
    grew = True
    while grew:
        grew = False
        for cls, fields in BELONGS.items():
            for field in fields:
                target = doomed.get(target_of(SCHEMA[cls][field].type) or "")
                if target is not None and f"{cls}.{field}" not in made:
                    made[f"{cls}.{field}"] = ref = pool.add(cls, **{field: target, **fixed.get(cls, {})})
                    doomed.setdefault(cls, ref)
                    grew = True
    return made


def add_bystanders(pool: SimPool, doomed: dict[str, str], forbidden: set[tuple[str, str]]) -> list[str]:
    """One record, of those that stay, for each other field that may refer to what is `doomed`."""
    made = []
    for cls in SCHEMA.classes.values():
        for field in cls.fields:
            target = doomed.get(target_of(field.type) or "") if field.stored else None
            if target is None or field.name in (*BELONGS.get(cls.name, ()), *PARTS.get(cls.name, ())):
                continue
            if (cls.name, field.name) in forbidden:
                continue
            value = naming(field.type, target)
            if cls.name == "pool":
                pool.change(pool.pool, **{field.name: value})
            else:
                made.append(pool.add(cls.name, **{field.name: value}))
    return made


def test_belonging_is_told_by_fields_that_refer_to_records() -> None:
    for cls, fields in (*BELONGS.items(), *PARTS.items()):
        for field in fields:
            assert SCHEMA[cls][field].stored
            assert target_of(SCHEMA[cls][field].type) is not None


@pytest.mark.parametrize("wire_name", ["host.destroy", "pool.eject", "SR.forget"])
async def test_nothing_refers_to_what_goes_with_a_host_or_its_storage(wire_name: str) -> None:
    async with sim_pool(hosts=2) as pool:
        host = pool.hosts[1]
        local = pool.add("SR", name_label="local", type="ext", shared=False)
        pbd = {"host": host, "SR": local, "currently_attached": False}
        doomed = {"SR": local}
        if wire_name != "SR.forget":
            dom0 = pool.add("VM", is_control_domain=True, resident_on=host, metrics=pool.add("VM_metrics"))
            pool.change(host, control_domain=dom0, blobs={"crash": pool.add("blob")})
            doomed |= {"host": host, "VM": dom0, "VM_metrics": pool.store.get(dom0)["metrics"]}
            doomed |= {"blob": pool.store.get(host)["blobs"]["crash"]}
        belongings = add_belongings(pool, doomed, {"PBD": pbd, "VBD": {"type": "Disk"}})
        drive = pool.add("VBD", VDI=doomed["VDI"], type="CD", empty=False)
        bystanders = add_bystanders(pool, doomed, FORBIDDEN[wire_name])
        assert bystanders
        assert dangling(pool) == []
        if wire_name == "host.destroy":
            pool.change(host, enabled=False)
            pool.change(pool.store.get(host)["metrics"], live=False)
        await ask(pool, wire_name, doomed.get("host", local))
        assert dangling(pool) == []
        assert [name for name, ref in belongings.items() if pool.store.find(ref) is not None] == []
        assert [ref for ref in doomed.values() if pool.store.find(ref) is not None] == []
        assert [ref for ref in bystanders if pool.store.find(ref) is None] == []
        assert (pool.store.get(drive)["VDI"], pool.store.get(drive)["empty"]) == (NULL_REF, True)


async def test_storage_that_only_an_ejected_host_had_has_no_driver_any_more() -> None:
    async with sim_pool(hosts=2) as pool:
        local = pool.add("SR", name_label="local", type="ext", shared=False)
        pool.add("PBD", host=pool.hosts[1], SR=local)
        pool.engine.add_storage(local, pool.engine.storages[pool.sr])
        await ask(pool, "pool.eject", pool.hosts[1])
        assert sorted(pool.engine.storages) == sorted([pool.sr, pool.iso])
