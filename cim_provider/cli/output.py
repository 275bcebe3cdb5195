"""Writes instances, classes and values: tables, JSON, MOF, CIM-XML, paths.

Rule 1: what is for programs (json, mof, xml, paths) goes to standard output and nothing else does. An empty result is
        an empty list there, and a sentence on standard error for a person's table.
Rule 2: numbers that the schema names are shown with the name in tables, and as numbers everywhere else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import pywbem
from rich.console import Console, JustifyMethod, OverflowMethod, RenderableType
from rich.highlighter import RegexHighlighter
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from cim_provider.cli.connect import MISSING, Failure
from cim_provider.cli.select import short, text_of

TABLE, WIDE, JSON, MOF, XML, PATHS = "table", "wide", "json", "mof", "xml", "paths"
FIRST_COLUMNS = (
    "ElementName", "EnabledState", "OperationalStatus", "HealthState", "JobState", "Name", "InstanceID", "DeviceID",
)  # fmt: skip
DISPENSABLE = ("HealthState", "OperationalStatus", "JobState")  # left out in this order
LEAST_KEY = 20  # characters of the last column that a table keeps
STYLES = {"Enabled": "green", "OK": "green", "Completed": "green", "Disabled": "dim", "Error": "red",
          "Quiesce": "yellow", "Enabled but Offline": "yellow"}  # fmt: skip
NO_NUMBERS = {"inf": "INF", "-inf": "-INF", "nan": "NaN"}  # JSON has no form for them
GAP = 2  # columns between those of a table
PIPE_WIDTH = 10_000  # columns of what goes to no terminal: nothing is cut short there


class MofHighlighter(RegexHighlighter):
    """Colours of MOF: keywords, types, strings, numbers, qualifiers."""

    base_style = "mof."
    highlights = [
        r"\b(?P<keyword>class|instance|of|qualifier|scope|flavor|NULL|true|false|REF)\b",
        r"\b(?P<type>string|boolean|datetime|char16|real32|real64|[us]int(?:8|16|32|64))\b",
        r"(?P<comment>//[^\n]*)",
        r'(?P<string>"(?:[^"\\]|\\.)*")',  # last, so that words in a string are no keywords
    ]


_MOF_THEME = Theme(
    {"mof.string": "not bold green", "mof.keyword": "bold magenta", "mof.type": "cyan", "mof.comment": "dim"}
)


def console() -> Console:
    """Standard output; wide enough when it is no terminal, and never interpreting what servers send."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout, width=None if terminal else PIPE_WIDTH, highlight=False, markup=False, emoji=False,
        theme=_MOF_THEME, soft_wrap=not terminal,
    )  # fmt: skip


def show(what: RenderableType) -> None:
    """Print something of rich; without the blanks behind each line when it goes to no terminal."""
    out = console()
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as written:
        out.print(what)
    click.echo("\n".join(line.rstrip() for line in written.get().splitlines()))


def nothing(sentence: str) -> None:
    """An empty table's sentence (rule 1)."""
    click.echo(sentence, err=True)


# values


def plain(value: Any) -> Any:
    """A CIM value as JSON has it: paths and datetimes as text, embedded instances as objects; reals that are no number
    as DSP0201 writes them (INF, -INF, NaN)."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, pywbem.CIMInstanceName):
        return text_of(value)
    if isinstance(value, pywbem.CIMInstance):
        return instance_object(value)
    if isinstance(value, pywbem.CIMDateTime):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return NO_NUMBERS.get(str(float(value)), float(value))
    return str(value)


def has_path(instance: pywbem.CIMInstance) -> bool:
    """Whether an instance can be addressed; rows of queries cannot."""
    return instance.path is not None and bool(instance.path.keybindings)


def instance_object(instance: pywbem.CIMInstance) -> dict[str, Any]:
    """An instance as a JSON object: `class`, `path` (null for a row of a query) and `properties`."""
    return {
        "class": instance.classname,
        "path": text_of(instance.path) if has_path(instance) else None,
        "properties": {name: plain(prop.value) for name, prop in instance.properties.items()},
    }


class ValueNames:
    """The names the schema has for values (ValueMap and Values), by class; asks the server once for each class."""

    def __init__(self, connection: pywbem.WBEMConnection, namespace: str) -> None:
        self.connection = connection
        self.namespace = namespace
        self._classes: dict[str, pywbem.CIMClass | None] = {}

    def declared(self, classname: str) -> pywbem.CIMClass | None:
        if classname not in self._classes:
            try:
                found = self.connection.GetClass(classname, self.namespace, LocalOnly=False)
            except pywbem.CIMError:  # a class of rows, or of another namespace
                found = None
            self._classes[classname] = found
        return self._classes[classname]

    def text(self, classname: str, name: str, value: Any) -> str:
        """A property's value for a table."""
        declared = self.declared(classname)
        prop = declared.properties.get(name) if declared else None
        names = value_names(prop) if prop is not None else {}
        if isinstance(value, list | tuple):
            return ", ".join(self._readable_value(item, names) for item in value)
        return self._readable_value(value, names)

    def _readable_value(self, value: Any, names: dict[str, str]) -> str:
        if value is None:
            return ""
        if isinstance(value, pywbem.CIMInstanceName):
            return readable(short(value))
        if isinstance(value, pywbem.CIMInstance):
            return f"{value.classname} {{…}}"
        name = names.get(str(value))
        return readable(name) if name is not None else readable(plain(value))


def value_names(declared: Any) -> dict[str, str]:
    """Value -> name, from the qualifiers of a property, a parameter or a method. Ranges are left out."""
    values = declared.qualifiers.get("Values")
    if values is None or not values.value:
        return {}
    numbers = declared.qualifiers.get("ValueMap")
    keys = [str(n) for n in range(len(values.value))] if numbers is None else [str(n) for n in numbers.value]
    return {key: name for key, name in zip(keys, values.value, strict=False) if ".." not in key}


def readable(value: Any) -> str:
    """Text for a terminal: control characters, which could command it, are shown as \\x.., other ends of lines too."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: f"\\x{ord(match[0]):02x}", text)


# results


def assert_properties(columns: Sequence[str] | None, found: Sequence[pywbem.CIMInstance], names: ValueNames) -> None:
    """Failure if none of the instances has a requested property: servers ignore names that do not exist."""
    for name in columns or () if found else ():
        if any(name in one.properties for one in found):
            continue
        classes = {one.classname: names.declared(one.classname) for one in found}
        if not any(cls is None or name in cls.properties for cls in classes.values()):
            has = f"{found[0].classname} has no" if len(classes) == 1 else f"none of {len(classes)} classes has a"
            hint = f"`xencim cim class {found[0].classname} --brief` shows the properties of a class"
            raise Failure(f"{has} property {name}", hint, MISSING)


def show_instances(
    found: Sequence[pywbem.CIMInstance],
    output: str,
    names: ValueNames,
    columns: Sequence[str] | None = None,
    empty: str = "there are no instances",
) -> None:
    """Instances in the form asked for; `columns` are the properties of a table, in this order."""
    if output == JSON:
        click.echo(json.dumps([instance_object(one) for one in found], indent=2))
    elif output == XML:
        for one in found:
            click.echo(one.tocimxmlstr(indent=2, ignore_path=True).strip())
    elif output == MOF:
        show_mof("\n".join(one.tomof() for one in found))
    elif output == PATHS:
        for one in found:
            click.echo(text_of(one.path) if has_path(one) else "")
    elif not found:
        nothing(empty)
    else:
        show(_table(found, names, columns, output == WIDE))


def show_paths(found: Iterable[pywbem.CIMInstanceName], output: str) -> None:
    """Paths as text lines, or as a JSON list."""
    if output == JSON:
        click.echo(json.dumps([text_of(path) for path in found], indent=2))
        return
    for path in found:
        click.echo(text_of(path))


def _table(found: Sequence[pywbem.CIMInstance], names: ValueNames, columns: Sequence[str] | None, wide: bool) -> Table:
    heads = list(columns) if columns else _columns(found, wide)
    cells = {head: [names.text(one.classname, head, one.get(head)) for one in found] for head in heads}
    if len({one.classname for one in found}) > 1:
        cells = {"CLASS": [one.classname for one in found], **cells}
    # What a narrow terminal does without is first some columns, then the end of the last one: the long keys are there.
    width = console().width

    def left() -> int:
        return width - sum(max(map(len, (head, *cells[head]))) + GAP for head in list(cells)[:-1])

    for head in () if columns or wide else DISPENSABLE:
        if left() < LEAST_KEY:
            cells.pop(head, None)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    firm = not wide and left() >= LEAST_KEY
    for head, texts in cells.items():
        numeric = all(re.fullmatch(r"-?\d*", text) for text in texts)
        justify: JustifyMethod = "right" if numeric else "left"
        last = head == list(cells)[-1]
        least = max(map(len, (head, *texts))) if firm and not last else None
        most = left() if firm and last else None
        overflow: OverflowMethod = "fold" if wide else "ellipsis"
        table.add_column(head, justify=justify, no_wrap=not wide, overflow=overflow, min_width=least, max_width=most)
    for row in zip(*cells.values(), strict=True):
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table


def _columns(found: Sequence[pywbem.CIMInstance], wide: bool) -> list[str]:
    """The properties worth a column: those that say something, keys that tell the instances apart among them."""
    every = dict.fromkeys(name for one in found for name in one.properties)
    filled = [name for name in every if any(says_something(one.get(name)) for one in found)]
    if wide:
        return filled
    references = [name for name in filled if isinstance(found[0].get(name), pywbem.CIMInstanceName)]
    first = [name for name in FIRST_COLUMNS if name in filled and name not in references]
    if {"ElementName", "Name"} <= set(first) and all(
        one.get("Name") in (None, one.get("ElementName")) for one in found
    ):
        first.remove("Name")
    return references + first or filled[:6]


def says_something(value: Any) -> bool:
    return value is not None and not (isinstance(value, list) and not value)


def show_properties(one: pywbem.CIMInstance, names: ValueNames, with_null: bool) -> None:
    """One instance, a property a line."""
    show(Text(text_of(one.path) if has_path(one) else one.classname, style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, prop in one.properties.items():
        if prop.value is None and not with_null:
            continue
        text = names.text(one.classname, name, prop.value)
        number = readable(plain(prop.value)) if not isinstance(prop.value, list) else ", ".join(
            readable(plain(v)) for v in prop.value)  # fmt: skip
        named = f"{text} ({number})" if text != number and isinstance(prop.value, int | list) and text else text
        table.add_row(name, Text(named if prop.value is not None else "NULL", style=STYLES.get(text, "")))
    show(table)


def show_mof(text: str) -> None:
    """MOF, with colours in a terminal."""
    if sys.stdout.isatty():
        show(MofHighlighter()(Text(text.rstrip())))
    else:
        click.echo(text.rstrip())
