"""`xencim cim invoke`: invokes a method with arguments given as words, typed by the class's declaration; and follows
the job it starts."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import click
import pywbem

from cim_provider.cli.connect import FAILED, MISSING, USAGE, Failure, Target, to_server
from cim_provider.cli.output import JSON, plain, readable, value_names
from cim_provider.cli.read import list_option
from cim_provider.cli.select import one_path, short

DONE, STARTED = 0, 4096  # return values that are no failure: completed, and a job goes on
COMPLETED = 7  # JobState of a job that did what it should; a higher one is of a job that ended otherwise
POLL, PATIENCE = 0.25, 3600.0  # seconds between two looks at a job, and how long it is followed


def argument(declared: pywbem.CIMParameter, texts: list[str], connection: pywbem.WBEMConnection) -> pywbem.CIMParameter:
    """A parameter with the value that `texts` (one for each time it was given) say. Failure (usage) if they cannot be
    a value of its type."""
    name = declared.name
    if len(texts) > 1 and not declared.is_array:
        raise Failure(f"{name} is given {len(texts)} times, but is no array", exit_code=USAGE)
    values = [_value(declared, text, connection) for text in texts]
    embedded = "EmbeddedInstance" in declared.qualifiers or "EmbeddedObject" in declared.qualifiers
    return pywbem.CIMParameter(
        name,
        declared.type,
        value=values if declared.is_array else values[0],
        is_array=declared.is_array,
        reference_class=declared.reference_class,
        embedded_object=None if not embedded or isinstance(values[0], str) else "instance",
    )


def _value(declared: pywbem.CIMParameter, text: str, connection: pywbem.WBEMConnection) -> Any:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise Failure(f"cannot read {text[1:]} for {declared.name}: {why}", exit_code=USAGE) from None
    if declared.type == "reference":
        return one_path(connection, text)
    names = {name.lower(): value for value, name in value_names(declared).items()}
    text = names.get(text.lower(), text) if declared.type != "string" else text
    if declared.type == "boolean":
        if text.lower() not in ("true", "false"):
            raise Failure(f"{declared.name} must be true or false, not {text!r}", exit_code=USAGE)
        return text.lower() == "true"
    try:
        return pywbem.cimvalue(text, declared.type)
    except (ValueError, TypeError):
        said = f", or one of {', '.join(sorted(names))}" if names else ""
        raise Failure(f"{declared.name} must be a {declared.type}{said}; {text!r} is none", exit_code=USAGE) from None


def method_of(declared: pywbem.CIMClass, name: str) -> pywbem.CIMMethod:
    """The method of a class. Failure with the methods there are."""
    found = declared.methods.get(name)
    if found is None:
        there = ", ".join(sorted(declared.methods)) or "none"
        raise Failure(f"{declared.classname} has no method {name}", f"its methods: {there}", MISSING)
    return found


def arguments(
    method: pywbem.CIMMethod, words: tuple[str, ...], connection: pywbem.WBEMConnection
) -> list[pywbem.CIMParameter]:
    """The words NAME=VALUE as parameters. Failure (usage) with the parameters there are."""
    given: dict[str, list[str]] = {}
    inputs = {n: p for n, p in method.parameters.items() if _is_input(p)}
    for word in words:
        name, equals, text = word.partition("=")
        declared = method.parameters.get(name)
        if not equals or declared is None or declared.name not in inputs:
            there = ", ".join(f"{n} ({p.type}{'[]' if p.is_array else ''})" for n, p in inputs.items()) or "none"
            what = f"{method.name} takes no parameter {name}" if equals else f"{word!r} is not NAME=VALUE"
            raise Failure(what, f"its parameters: {there}", USAGE)
        given.setdefault(declared.name, []).append(text)
    return [argument(method.parameters[name], texts, connection) for name, texts in given.items()]


def _is_input(parameter: pywbem.CIMParameter) -> bool:
    qualifier = parameter.qualifiers.get("In")
    return qualifier is None or bool(qualifier.value)


def followed(connection: pywbem.WBEMConnection, path: pywbem.CIMInstanceName) -> pywbem.CIMInstance:
    """A job when it has ended. Failure if it is gone before, or goes on for longer than PATIENCE."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / POLL)):
        try:
            job = connection.GetInstance(path)
        except pywbem.CIMError as error:
            if error.status_code != pywbem.CIM_ERR_NOT_FOUND:
                raise
            raise Failure("the job is gone: what became of it is not known", exit_code=MISSING) from None
        if (job["JobState"] or 0) >= COMPLETED:
            return job
        pause.wait(POLL)
    raise Failure("the job goes on", f"look at it with `xencim cim get '{short(path)}'`")


def reason(connection: pywbem.WBEMConnection, job: pywbem.CIMInstance) -> str:
    """Why a job failed, as its GetError method says; "" if it does not."""
    try:
        _, out = connection.InvokeMethod("GetError", job.path)
    except pywbem.CIMError:
        return ""
    error = out.get("Error")
    return str(error["Message"]) if isinstance(error, pywbem.CIMInstance) and error.get("Message") else ""


@click.command()
@click.argument("word", metavar="INSTANCE")
@click.argument("method")
@click.argument("words", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--wait", is_flag=True, help="If the method starts a job, wait for its end.")
@list_option
@to_server
def invoke(target: Target, word: str, method: str, words: tuple[str, ...], wait: bool, output: str) -> None:
    """Invoke a method.

    Values are numbers, text, names the schema has for a number, instances for references, or @FILE. Give an array's
    name once for each element. Exits with 6 if the method tells that it failed, or with --wait if its job did.

    \b
      xencim cim invoke web-0 RequestStateChange RequestedState=Disabled
      xencim cim invoke web-0 RequestStateChange RequestedState=3 --wait
    """
    job, ended, why = None, "", ""
    with target.connected() as connection:
        path = one_path(connection, word)
        declared = method_of(connection.GetClass(path.classname, path.namespace, LocalOnly=False), method)
        given = arguments(declared, words, connection)
        value, out = connection.InvokeMethod(declared.name, path, Params=given)
        if wait and value == STARTED and isinstance(out.get("Job"), pywbem.CIMInstanceName):
            job = followed(connection, out["Job"])
            states = connection.GetClass(job.classname, job.path.namespace, LocalOnly=False).properties["JobState"]
            ended = value_names(states).get(str(job["JobState"]), str(job["JobState"]))
            why = "" if job["JobState"] == COMPLETED else reason(connection, job)
    name = value_names(declared).get(str(value))
    if output == JSON:
        told: dict[str, Any] = {"returns": plain(value), "meaning": name}
        told["out"] = {name: plain(found) for name, found in out.items()}
        if job is not None:
            told["job"] = {"state": plain(job["JobState"]), "meaning": ended, "error": why or None}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{declared.name} returned {value}" + (f" ({name})" if name else ""))
        for key, found in out.items():
            text = short(found) if isinstance(found, pywbem.CIMInstanceName) else readable(plain(found))
            click.echo(f"  {key}  {text}")
        if job is not None:
            click.echo(f"the job ended: {ended}" + (f": {why}" if why else ""))
    failed = declared.return_type != "string" and value not in (DONE, STARTED, None)
    if failed or (job is not None and job["JobState"] != COMPLETED):
        sys.exit(FAILED)
