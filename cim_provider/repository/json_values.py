"""CIM values (schema/objects.py) as JSON for the state file: every value is restored exactly.

What JSON has no form for is an object with one marked name: paths, embedded instances and classes, and reals without a
number.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from cim_provider.schema.graph import CimClass
from cim_provider.schema.objects import Instance, Path
from cim_provider.schema.rows import class_of, class_row

PATH, INSTANCE, CLASS, REAL = "#path", "#instance", "#class", "#real"


def dumps(value: Any) -> bytes:
    """JSON of a value; tuples become arrays."""
    return orjson.dumps(_plain(value))


def loads(data: bytes) -> Any:
    """The value, arrays as tuples. ValueError, LookupError or TypeError for what `dumps` does not write."""
    return _value(orjson.loads(data))


def path_key(path: Path) -> str:
    """A text for a path, the same for equal paths and no others."""
    return dumps(path).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        keys = None if value.keys is None else [[name, _plain(one)] for name, one in value.keys]
        return {PATH: [value.classname, keys, value.namespace, value.host]}
    if isinstance(value, CimClass):
        return {CLASS: class_row(value)}
    if isinstance(value, Instance):
        values = {name: _plain(one) for name, one in value.values.items()}
        return {INSTANCE: [value.classname, values, _plain(value.path), value.types]}
    if isinstance(value, float) and not math.isfinite(value):
        return {REAL: str(value)}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(one) for one in value)
    if not isinstance(value, dict):
        return value
    if PATH in value:
        classname, keys, namespace, host = value[PATH]
        pairs = None if keys is None else tuple((name, _value(one)) for name, one in keys)
        return Path(classname, pairs, namespace, host)
    if CLASS in value:
        return class_of(value[CLASS])
    if INSTANCE in value:
        classname, values, path, types = value[INSTANCE]
        return Instance(classname, {name: _value(one) for name, one in values.items()}, _value(path), types)
    if REAL in value:
        return float(value[REAL])
    return {name: _value(one) for name, one in value.items()}
