"""The record data_source: a quantity that can be measured."""

from __future__ import annotations

from xenapi_core.model.schema import RO, Class, Field
from xenapi_core.model.types import BOOL, FLOAT, STRING

# fmt: off
DATA_SOURCE = Class(
    "data_source",
    "Something that can be measured on an object, and its latest value; only part of other answers.",
    fields=(
        Field("name_label", STRING, RO, "Name of the data source, such as cpu0.", default="", path="name/label"),
        Field("name_description", STRING, RO, "What it measures.", default="", path="name/description"),
        Field("enabled", BOOL, RO, "Whether its history is being recorded.", default=False),
        Field("standard", BOOL, RO, "Whether it is recorded unless somebody says otherwise.", default=False),
        Field("units", STRING, RO, "Unit of the values.", default=""),
        Field("min", FLOAT, RO, "Least value it can have.", default=0.0),
        Field("max", FLOAT, RO, "Greatest value it can have.", default=0.0),
        Field("value", FLOAT, RO, "The latest value.", default=0.0),
    ),
    get_all=False,
    events=False,
    persist=False,
    in_database=False,
    has_records=False,
)
# fmt: on
