"""The stored form of a record: JSON of its journalled fields, and back to the exact internal form.

Rule 1: what `encode` wrote, `decode` restores exactly: tuples, integer keys, floats beyond JSON.
Rule 2: what does not fit the present schema (an older or newer program wrote it) is left out, and said once per field.
        A field that is missing or left out starts with its initial value.
Rule 3: whatever `check` lets pass can be encoded, so that one wrong value can never stop the journal.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from xenapi_core.errors import never
from xenapi_core.model import types as t
from xenapi_core.model.schema import Class, Schema
from xenapi_core.model.types import Type

log = logging.getLogger(__name__)

Restore = Callable[[Any], Any]

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_UNFIT = (TypeError, ValueError, AttributeError)


class Rows:
    """Encodes and decodes the records of the journalled classes of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._restore: dict[str, dict[str, tuple[Any, Restore]]] = {}
        self._floats: dict[str, tuple[str, ...]] = {}
        self._told: set[str] = set()
        for cls in schema.classes.values():
            if cls.persist and cls.has_records:
                kept = [f for f in cls.fields if f.stored and f.persist]
                self._restore[cls.name] = {f.name: (f.initial, _restorer(f.type, schema)) for f in kept}
                self._floats[cls.name] = tuple(f.name for f in kept if _has_float(f.type))

    def encode(self, cls: str, values: Mapping[str, Any]) -> str:
        """The text of a record, or of some of its fields."""
        kept = {name: values[name] for name in self._restore[cls] if name in values}
        for name in self._floats[cls]:
            if name in kept:
                kept[name] = _finite(kept[name])
        try:
            return orjson.dumps(kept, option=_OPTIONS).decode()
        except TypeError:
            # Text that is not valid Unicode (names of files can be that), or an integer beyond 64 bits: the slow way
            # knows them. The leading blank tells `decode`.
            return " " + json.dumps(kept, allow_nan=False)

    def check(self, cls: str, values: Mapping[str, Any]) -> None:
        """Our bug (AssertionError) if one of the values could not be written."""
        try:
            self.encode(cls, values)
        except (TypeError, ValueError):
            never(f"a value of {cls} ({', '.join(sorted(values))}) is not in its internal form")

    def decode(self, cls: str, text: str) -> dict[str, Any] | None:
        """All stored fields of a record; None for a class that is not kept. ValueError for text that is no record."""
        restorers = self._restore.get(cls)
        if restorers is None:
            self._warn_once(f"records of class {cls} are left out: this schema does not keep that class")
            return None
        found = json.loads(text) if text.startswith(" ") else orjson.loads(text)
        if type(found) is not dict:
            raise ValueError(f"a record of {cls} is not an object")
        values = {f.name: f.initial for f in self._schema[cls].fields if f.stored}
        for name, value in found.items():
            try:
                values[name] = restorers[name][1](value)
            except KeyError:
                self._warn_once(f"field {cls}.{name} is left out: this schema does not keep it")
            except _UNFIT:
                self._warn_once(f"field {cls}.{name} starts anew: its value is not of the type it has in this schema")
                values[name] = restorers[name][0]
        return values

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            log.warning("%s", sentence)


def _restorer(type_: Type, schema: Schema) -> Restore:
    """A function from a JSON value to the internal form of `type_`; it raises one of _UNFIT for anything else."""
    match type_:
        case t.EnumType(values=members):
            return lambda value: value if value in members else _unfit()
        case t.StringType() | t.RefType():
            return lambda value: value if type(value) is str else _unfit()
        case t.IntType() | t.DateTimeType():
            return lambda value: value if type(value) is int else _unfit()
        case t.BoolType():
            return lambda value: value if type(value) is bool else _unfit()
        case t.FloatType():
            return _float
        case t.SetType(item=item):
            return _set_restorer(_restorer(item, schema))
        case t.MapType(key=key, value=value):
            return _map_restorer(_key_restorer(key, schema), _restorer(value, schema))
        case t.OptionType(item=item):
            inner = _restorer(item, schema)
            return lambda value: None if value is None else inner(value)
        case t.RecordType(cls=cls):
            return _record_restorer(schema.classes.get(cls), schema)
    raise TypeError(f"no form on disk for {type_.name}")


def _unfit() -> Any:
    raise TypeError


def _float(value: Any) -> float:
    if type(value) not in (int, float, str):
        raise TypeError
    return float(value)


def _set_restorer(item: Restore) -> Restore:
    return lambda value: tuple([item(one) for one in value]) if type(value) is list else _unfit()


def _map_restorer(key: Restore, item: Restore) -> Restore:
    return lambda value: {key(k): item(v) for k, v in value.items()}


def _key_restorer(type_: Type, schema: Schema) -> Restore:
    """JSON has text keys only."""
    match type_:
        case t.IntType() | t.DateTimeType():
            return int
        case t.FloatType():
            return float
        case t.BoolType():
            return lambda key: key == "true" if key in ("true", "false") else _unfit()
    return _restorer(type_, schema)


def _record_restorer(cls: Class | None, schema: Schema) -> Restore:
    """A record inside a field; one of a class that has no declaration is restored by its shape alone."""
    fields: dict[str, Restore] = {}

    def restore(value: Any) -> dict[str, Any]:
        if cls is not None and not fields:  # not before the first use: records may contain records of their own class
            fields.update({f.name: _restorer(f.type, schema) for f in cls.fields})
        return {name: fields.get(name, _freeze)(one) for name, one in value.items()}

    return restore


def _freeze(value: Any) -> Any:
    if type(value) is list:
        return tuple([_freeze(one) for one in value])
    if type(value) is dict:
        return {name: _freeze(one) for name, one in value.items()}
    return value


def _has_float(type_: Type) -> bool:
    match type_:
        case t.FloatType() | t.RecordType():
            return True
        case t.SetType(item=item) | t.OptionType(item=item):
            return _has_float(item)
        case t.MapType(key=key, value=value):
            return _has_float(key) or _has_float(value)
    return False


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become text, which the type of the field turns back."""
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if type(value) is tuple:
        return tuple([_finite(one) for one in value])
    if type(value) is dict:
        return {_finite(key): _finite(one) for key, one in value.items()}
    return value
