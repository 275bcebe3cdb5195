"""Writes the reference of the Xen-API as this server has it: one Markdown page for each class, and a list of them.

Rule 1: every word is from the data model and the registries; pages are made by scripts/docs and compared by a test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from xenapi_core.api.coverage import counts, coverage, status
from xenapi_core.model.schema import LOCAL_ROOT, RO, RW, STATIC, Class, Field, Message, Method, Schema
from xenapi_core.model.types import EnumType, Type

ACCESS = {RW: "read, write", STATIC: "read; given to create", RO: "read"}
STATES = {
    "published": "",
    "prototyped": "Prototype: it may still change.",
    "deprecated": "Deprecated: do not begin to use it.",
    "removed": "Removed: it answers MESSAGE_REMOVED.",
}

IMPLIED = "What follows from the fields: queries, getters, setters, and create and destroy where there are any."
LEGACY = "For clients of API 1.0 (xend); later documents of the API do not have them."
HIDDEN = "Callable, but not in system.listMethods: for hosts among themselves, and for tests."


def reference_pages(schema: Schema) -> dict[str, str]:
    """File name -> text, for all classes of `schema`, and README.md with the list of them."""
    methods: dict[str, list[Method]] = {name: [] for name in schema.classes}
    for method in schema.methods.values():
        methods[method.cls.name].append(method)
    pages = {f"{name}.md": class_page(cls, methods[name]) for name, cls in schema.classes.items()}
    return {"README.md": index_page(schema), **pages}


def index_page(schema: Schema) -> str:
    """The list of classes, with how much of each there is."""
    numbers = counts(coverage(schema))
    lines = ["# Classes of the Xen-API", "", "Written by `scripts/docs` from the data model.", ""]
    lines += ["| class | | messages | not implemented |", "|---|---|---:|---:|"]
    for cls in schema.classes.values():
        words = numbers.get(cls.name, {})
        missing = words.get("not implemented", 0)
        lines.append(f"| [{cls.name}]({cls.name}.md) | {_cell(cls.doc)} | {sum(words.values())} | {missing} |")
    return "\n".join(lines) + "\n"


def class_page(cls: Class, methods: list[Method]) -> str:
    """Fields, messages with their parameters, roles and errors, and what the schema implies."""
    lines = [f"# {cls.name}", "", cls.doc, *_state(cls.state)]
    if not methods:
        lines += ["", "Records of this class are parts of answers; there are no objects of it."]
    shown = [f for f in cls.fields if not f.internal]
    if shown:
        lines += ["", "## Fields", "", "| field | type | access | default | |", "|---|---|---|---|---|"]
        lines += map(_field_row, shown)
    written = [m for m in methods if not (m.message.derived or m.message.hidden or m.message.legacy)]
    if written:
        lines += ["", "## Messages"]
        for method in written:
            lines += ["", *_message(method)]
    derived = [m for m in methods if m.message.derived and not m.message.hidden]
    if derived:
        lines += ["", "## Implied messages", "", IMPLIED, ""]
        lines += ["| message | parameters | result | role | status |", "|---|---|---|---|---|"]
        lines += map(_row, derived)
        failing = [m.message for m in derived if m.message.errors]
        lines += [""] if failing else []
        lines += (f"- Errors of {m.name}: {', '.join(error.code for error in m.errors)}" for m in failing)
    apart = [m for m in methods if not m.message.derived]
    lines += _apart("Older messages", LEGACY, [m for m in apart if m.message.legacy])
    lines += _apart("Internal messages", HIDDEN, [m for m in apart if m.message.hidden])
    members = sorted({enum.name: enum.values for enum in _enums(cls, methods)}.items())
    if members:
        lines += ["", "## Enumerations", "", "| name | members |", "|---|---|"]
        lines += (f"| {name.removeprefix('enum ')} | {', '.join(values)} |" for name, values in members)
    return "\n".join(lines) + "\n"


def _enums(cls: Class, methods: list[Method]) -> Iterator[EnumType]:
    """The enumerations in the types of fields, parameters and results."""
    for f in cls.fields:
        yield from _parts(f.type)
    for method in methods:
        for p in method.params:
            yield from _parts(p.type)
        if method.message.result:
            yield from _parts(method.message.result)


def _parts(type_: Type) -> Iterator[EnumType]:
    if isinstance(type_, EnumType):
        yield type_
    for part in ("item", "key", "value"):
        if isinstance(inner := getattr(type_, part, None), Type):
            yield from _parts(inner)


def _apart(title: str, words: str, methods: list[Method]) -> list[str]:
    """A section of messages that clients are not told to use."""
    if not methods:
        return []
    head = ["", f"## {title}", "", words, "", "| message | | role | status |", "|---|---|---|---|"]
    return head + [f"| {m.message.name} | {_cell(m.message.doc)} | {_role(m.message)} | {status(m)} |" for m in methods]


def _field_row(f: Field) -> str:
    note = " ".join((f.doc, *_state(f.state)[1:]))
    default = "" if f.required else f"`{_default(f.default)}`"
    return f"| {f.name} | {f.type.name} | {ACCESS[f.access]} | {default} | {_cell(note)} |"


def _row(method: Method) -> str:
    message = method.message
    params = ", ".join(f"{p.name}: {p.type.name}" for p in message.params)
    return f"| {message.name} | {params} | {_result(message)} | {_role(message)} | {status(method)} |"


def _message(method: Method) -> Iterator[str]:
    message = method.message
    yield f"### {method.wire_name}"
    yield ""
    yield message.doc
    yield from _state(message.state)
    yield ""
    if message.params:
        yield "| parameter | type | default | |"
        yield "|---|---|---|---|"
        for p in message.params:
            default = "" if p.required else f"`{_default(p.default)}`"
            yield f"| {p.name} | {p.type.name} | {default} | {_cell(p.doc)} |"
        yield ""
    yield f"- Result: {_result(message)}"
    yield f"- Role: {_role(message)}"
    if message.asynchronous and message.session:
        yield f"- As a task: `Async.{method.wire_name}`"
    if message.errors:
        yield f"- Errors: {', '.join(dict.fromkeys(error.code for error in message.errors))}"
    yield f"- Status: {status(method)}"


def _result(message: Message) -> str:
    return message.result.name if message.result else "nothing"


def _role(message: Message) -> str:
    if message.role == LOCAL_ROOT:
        return "local superuser only"
    role = f"{message.role or 'any'}{' or a client certificate' if message.client_cert else ''}"
    return f"{role}, between hosts only" if message.pool_internal else role


def _state(state: str) -> list[str]:
    return ["", STATES[state]] if STATES[state] else []


def _default(value: Any) -> str:
    return json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
