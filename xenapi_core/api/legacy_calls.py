"""Translates calls of API 1.0 clients (xm, libxen, scripts of their time) into calls of current messages.

Rule 1: only what no later client sends is changed here: a field that is missing, an empty text where a number belongs,
        a device by its guest's name. What both APIs know is left as it is.
Rule 2: this module looks at values and returns values; it neither reads the store nor knows a session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from xenapi_core.engine.specs import CPU_POOL_NAME
from xenapi_core.errors import E
from xenapi_core.model.schema import Class
from xenapi_core.model.types import INT, FloatType, IntType, Type

# Parameters after the last one that only API 1.0 has. They are checked and then dropped:
# VM.send_trigger names a virtual CPU, and a driver's trigger is for the guest as a whole.
DROPPED: Final[Mapping[str, tuple[Type, ...]]] = {"VM.send_trigger": (INT,)}

AUTO_POWER_ON: Final = "auto_poweron"  # the key of VM.other_config that later versions use
# Fields of 1.0 that are kept as keys of other_config, by wire name.
SETTINGS: Final[Mapping[str, str]] = {
    "VM.actions_after_suspend": "actions_after_suspend",
    "network.default_gateway": "default_gateway",
    "network.default_netmask": "default_netmask",
}
_NIC: Final = re.compile(r"eth([0-9]{1,3})\Z")
_NEVER_MADE: Final = frozenset({"crashed", "unknown"})  # power states of 1.0 that nothing is created in

Record = dict[str, Any]


def parameters_of_record(wire_name: str, record: Mapping[str, Any]) -> list[Any] | None:
    """The parameters of a message that 1.0 gives one record instead; None for all others.

    INTERNAL_ERROR [Server_helpers.Dispatcher_FieldNotFound("f")] for a missing field.
    """
    if wire_name != "VTPM.create":
        return None
    if "VM" not in record:
        raise E.INTERNAL_ERROR('Server_helpers.Dispatcher_FieldNotFound("VM")')
    return [record["VM"], False]


def constructor_record(cls: Class, record: Mapping[str, Any]) -> Record:
    """A client's constructor record in the words of the present classes."""
    made = {name: value for name, value in record.items() if not (value == "" and _is_number(cls, name))}
    change = _RECORDS.get(cls.name)
    return made if change is None else change(made)


def _is_number(cls: Class, name: str) -> bool:
    field = cls.by_name.get(name)
    return field is not None and isinstance(field.type, IntType | FloatType)


def _vm(record: Record) -> Record:
    """Crashed and Unknown are states a VM was read in, not states to make one in."""
    state = record.get("power_state")
    if isinstance(state, str) and state.lower() in _NEVER_MADE:
        del record["power_state"]
    if record.get("auto_power_on") in (True, 1, "1"):
        _setting(record, AUTO_POWER_ON, "true")
    name = record.get("pool_name")
    if isinstance(name, str) and name:
        _setting(record, CPU_POOL_NAME, name)
    return record


def _network(record: Record) -> Record:
    for name, key in SETTINGS.items():
        cls, _, field = name.partition(".")
        value = record.get(field) if cls == "network" else None
        if isinstance(value, str) and value:
            _setting(record, key, value)
    return record


def _setting(record: Record, key: str, value: str) -> None:
    """A key of other_config, unless the client gives that itself."""
    other_config = record.get("other_config", {})
    if isinstance(other_config, Mapping):
        record["other_config"] = {key: value, **other_config}


def _vbd(record: Record) -> Record:
    """`device` says where the disk shall be, as "xvdb" or, for a drive, "hdc:cdrom"."""
    if "userdevice" not in record:
        device = record.get("device", "")
        if isinstance(device, str):
            name, _, kind = device.partition(":")
            record["userdevice"] = name or "autodetect"
            if kind == "cdrom":
                record["type"] = "CD"
    return record


def _vif(record: Record) -> Record:
    """No `device`, or an empty one, is the next that is free; "eth1" is 1."""
    device = record.get("device") or "autodetect"
    match = _NIC.match(device) if isinstance(device, str) else None
    record["device"] = device if match is None else match[1]
    return record


_RECORDS: Final[Mapping[str, Callable[[Record], Record]]] = {"VM": _vm, "network": _network, "VBD": _vbd, "VIF": _vif}
