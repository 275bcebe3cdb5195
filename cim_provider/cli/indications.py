"""`xencim cim subscribe` and `listen`: indications sent to a listener, or shown as they come.

Rule 1: what these commands create is called xencim:NAME, so that it can be listed and removed by NAME.
Rule 2: `listen` removes what it created however it ends, also when creating it fails half way; only what it cannot
        remove (the server is gone) stays, and it says so.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import click
import pywbem

from cim_provider.cli.connect import CONNECT, MISSING, REFUSED, USAGE, Failure, Target, to_server
from cim_provider.cli.output import JSON, MOF, TABLE, ValueNames, instance_object, nothing, readable
from cim_provider.cli.read import interop, list_option
from cim_provider.cli.select import short, text_of

PREFIX = "xencim:"
FILTER, DESTINATION, SUBSCRIPTION = (
    "CIM_IndicationFilter", "CIM_ListenerDestinationCIMXML", "CIM_IndicationSubscription"
)  # fmt: skip
EVERYTHING = "SELECT * FROM CIM_Indication"
PORT_TRIES = 5

query_option = click.option("-q", "--query", "text", metavar="QUERY", help=f"Which indications. [{EVERYTHING}]")
language_option = click.option("-l", "--language", default="DMTF:CQL", show_default=True, metavar="NAME")
filter_option = click.option("--filter", "ready", metavar="NAME", help="A filter that is there, instead of a query.")


def create(connection: pywbem.WBEMConnection, namespace: str, classname: str, **values: Any) -> pywbem.CIMInstanceName:
    """Create an instance; values of None are left out."""
    given = {name: value for name, value in values.items() if value is not None}
    path: pywbem.CIMInstanceName = connection.CreateInstance(pywbem.CIMInstance(classname, given), namespace)
    path.namespace = path.namespace or namespace
    return path


def named(
    connection: pywbem.WBEMConnection, namespace: str, classname: str, name: str
) -> pywbem.CIMInstanceName | None:
    """The filter or destination called `name`."""
    found = connection.EnumerateInstanceNames(classname, namespace)
    return next((path for path in found if path.get("Name") == name), None)


@contextmanager
def undone(connection: pywbem.WBEMConnection, made: list[pywbem.CIMInstanceName]) -> Iterator[None]:
    """Delete what is in `made`, last made first, at the end of the block; says what could not be deleted."""
    try:
        yield
    finally:
        for path in reversed(made):
            try:
                connection.DeleteInstance(path)
            except pywbem.CIMError as error:
                if error.status_code != pywbem.CIM_ERR_NOT_FOUND:
                    click.echo(f"could not remove {short(path)}: {error.status_description}", err=True)
            except pywbem.Error:
                click.echo(f"could not remove {short(path)}: the server does not answer", err=True)


def subscribed(
    connection: pywbem.WBEMConnection,
    namespace: str,
    name: str,
    url: str,
    query: tuple[str, str],
    ready: str | None,
    made: list[pywbem.CIMInstanceName],
) -> None:
    """Subscribe `url` to the filter called `ready`, or to a query (language, text) of our own. Paths of what is
    created are appended to `made` as it is created."""
    language, text = query
    keys = {"SystemCreationClassName": "CIM_ComputerSystem", "SystemName": socket.gethostname(), "Name": PREFIX + name}
    if ready is not None:
        chosen = named(connection, namespace, FILTER, ready)
        if chosen is None:
            raise Failure(f"there is no filter {ready}", f"`xencim cim instances {FILTER} -n {namespace}`", MISSING)
    else:
        source = connection.default_namespace
        chosen = create(
            connection, namespace, FILTER, **keys, CreationClassName=FILTER, Query=text, QueryLanguage=language,
            SourceNamespaces=[source],
        )  # fmt: skip
        made.append(chosen)
    handler = create(
        connection, namespace, DESTINATION, **keys, CreationClassName=DESTINATION, Destination=url,
        PersistenceType=pywbem.Uint16(2),
    )  # fmt: skip
    made.append(handler)
    made.append(create(connection, namespace, SUBSCRIPTION, Filter=chosen, Handler=handler))


@click.command(short_help="Have indications sent to a listener.")
@click.argument("url", required=False)
@query_option
@language_option
@filter_option
@click.option("--name", help="What to call the subscription. [a random word]")
@click.option("--list", "listing", is_flag=True, help="List the subscriptions of the server.")
@click.option("--remove", metavar="NAME", help="Remove the subscription NAME that this command made.")
@list_option
@to_server
def subscribe(
    target: Target, url: str | None, text: str | None, language: str, ready: str | None, name: str | None,
    listing: bool, remove: str | None, output: str,
) -> None:  # fmt: skip
    """Have indications sent to URL, until the subscription is removed.

    \b
      xencim cim subscribe http://monitor:5990 --name monitor -q "SELECT * FROM CIM_InstModification"
      xencim cim subscribe http://monitor:5990 --filter Xen:Indications:SystemStateChanged
      xencim cim subscribe --list
      xencim cim subscribe --remove monitor
    """
    if [url is not None, listing, remove is not None].count(True) != 1:
        raise Failure("give a URL, --list, or --remove NAME", "see `xencim cim subscribe --help`", USAGE)
    _one_filter(text, ready)
    with target.connected() as connection:
        namespace = interop(connection)
        if listing:
            _list(connection, namespace, output)
        elif remove is not None:
            _remove(connection, namespace, remove)
        elif url is not None:
            name = name or secrets.token_hex(3)
            made: list[pywbem.CIMInstanceName] = []
            try:
                subscribed(connection, namespace, name, url, (language, text or EVERYTHING), ready, made)
            except BaseException as error:
                with undone(connection, made):
                    if getattr(error, "status_code", None) == pywbem.CIM_ERR_ALREADY_EXISTS:
                        hint = f"remove it with `xencim cim subscribe --remove {name}`, or take another --name"
                        raise Failure(f"there is already a subscription {name}", hint, REFUSED) from None
                    raise
            if output == JSON:
                click.echo(json.dumps({"name": name, "created": [text_of(path) for path in made]}, indent=2))
            else:
                click.echo(f"{name}: {url} gets the indications; end it with `xencim cim subscribe --remove {name}`")


def _one_filter(text: str | None, ready: str | None) -> None:
    if text is not None and ready is not None:
        raise Failure("--query and --filter do not go together", "give one of them", USAGE)


def _list(connection: pywbem.WBEMConnection, namespace: str, output: str) -> None:
    rows = []
    urls = {
        path.to_wbem_uri(format="canonical"): one["Destination"]
        for one in connection.EnumerateInstances(DESTINATION, namespace)
        if (path := _local(one.path)) is not None
    }
    for one in connection.EnumerateInstances(SUBSCRIPTION, namespace):
        handler, chosen = one["Handler"], one["Filter"]
        name = str(handler.get("Name", ""))
        url = urls.get(_local(handler, namespace).to_wbem_uri(format="canonical"))
        rows.append({"name": name.removeprefix(PREFIX), "url": url, "filter": str(chosen.get("Name", ""))})
    if output == JSON:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        nothing("there are no subscriptions")
    for row in rows if output == TABLE else ():
        click.echo("  ".join(readable(row[key] or "-") for key in ("name", "url", "filter")))


def _local(path: pywbem.CIMInstanceName, namespace: str | None = None) -> pywbem.CIMInstanceName:
    plain = path.copy()
    plain.host = None
    plain.namespace = plain.namespace or namespace
    return plain


def _remove(connection: pywbem.WBEMConnection, namespace: str, name: str) -> None:
    handler = named(connection, namespace, DESTINATION, PREFIX + name)
    if handler is None:
        raise Failure(f"there is no subscription {name}", "`xencim cim subscribe --list` shows them", MISSING)
    for path in connection.ReferenceNames(handler, ResultClass=SUBSCRIPTION):
        connection.DeleteInstance(path)
    connection.DeleteInstance(handler)
    chosen = named(connection, namespace, FILTER, PREFIX + name)
    if chosen is not None:
        connection.DeleteInstance(chosen)
    click.echo(f"{name} is removed", err=True)


# ---- listening


def own_address(url: str) -> str:
    """The address of this machine that the server at `url` can answer to."""
    parts = urlsplit(url)
    try:
        family, _, _, _, where = socket.getaddrinfo(parts.hostname, parts.port or 5988, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:  # connecting a datagram socket sends nothing
            probe.connect(where)
            address: str = probe.getsockname()[0]
            return address
    except OSError:
        raise Failure(f"no way to {parts.hostname}", "is the server's name right?", CONNECT) from None


def started(
    host: str, port: int, received: queue.Queue[pywbem.CIMInstance], files: tuple[str, str] | None = None
) -> pywbem.WBEMListener:
    """A listener that runs and puts what it gets into `received`. Port 0 is a free one. With `files`, a certificate and
    its key, it speaks HTTPS. Failure if there is no port, or the files are not good for that."""
    logging.getLogger("pywbem").addHandler(logging.NullHandler())
    if files is not None:
        try:  # before pywbem does: it leaves its socket open when they are not good
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*files)
        except OSError:
            raise Failure("the certificate or its key cannot be used", "both are PEM files", USAGE) from None
    for _ in range(PORT_TRIES):
        number = port or _free_port(host)
        if files is None:
            listener = pywbem.WBEMListener(host, http_port=number)
        else:
            listener = pywbem.WBEMListener(host, https_port=number, certfile=files[0], keyfile=files[1])
        listener.add_callback(lambda indication, sender: received.put(indication))
        try:
            listener.start()
        except pywbem.ListenerPortError:  # somebody else took it
            if port:
                raise Failure(f"port {port} is in use", "--port 0 takes a free one", CONNECT) from None
        except (pywbem.ListenerError, OSError) as error:
            reason = str(error).rpartition("] ")[2]
            raise Failure(f"cannot listen at {host}: {reason}", "name an address of this machine", CONNECT) from None
        else:
            return listener
    raise Failure(f"there is no free port at {host}", "name one with --port", CONNECT)


def _free_port(host: str) -> int:
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            port: int = probe.getsockname()[1]
            return port
    except OSError as error:  # its own text repeats the address; those of the resolver have negative numbers
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise Failure(f"cannot listen at {host}: {why}", "name an address of this machine", CONNECT) from None


def line(indication: pywbem.CIMInstance, names: ValueNames) -> str:
    """An indication in one line: when, what happened, to what, and which properties changed."""
    when = indication.get("IndicationTime")
    instant = when.datetime if isinstance(when, pywbem.CIMDateTime) else None
    clock = "--:--:--" if instant is None else f"{instant.astimezone():%H:%M:%S}"
    source = indication.get("SourceInstance")
    if not isinstance(source, pywbem.CIMInstance):
        severity = names.text(indication.classname, "PerceivedSeverity", indication.get("PerceivedSeverity"))
        said = indication.get("Description") or indication.get("Message") or ""
        return readable(f"{clock}  {indication.classname}  {severity}  {said}".rstrip())
    kind = next(
        (word for part, word in (("Creation", "created"), ("Created", "created"), ("Deletion", "deleted"),
                                 ("Deleted", "deleted")) if part in indication.classname), "changed")  # fmt: skip
    what = source.get("ElementName") or source.get("Name") or source.get("InstanceID") or ""
    before = indication.get("PreviousInstance")
    changes = []
    if isinstance(before, pywbem.CIMInstance) and kind == "changed":
        for name, prop in source.properties.items():
            old = before.get(name)
            if old != prop.value:
                texts = (names.text(source.classname, name, value) or "NULL" for value in (old, prop.value))
                changes.append(f"{name} {' → '.join(texts)}")
    return readable(f"{clock}  {kind}  {source.classname}  {what}  {', '.join(changes)}".rstrip())


@click.command()
@query_option
@language_option
@filter_option
@click.option("--host", metavar="ADDRESS", help="Listen there. [the address the server sees]")
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), metavar="NUMBER", help="Listen there; 0 takes a free port. [0]"
)
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="Listen over HTTPS, with this certificate (PEM).")  # fmt: skip
@click.option("--key", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="The certificate's key. [in the same file]")  # fmt: skip
@click.option("--count", type=click.IntRange(1), metavar="NUMBER", help="End after so many indications.")
@click.option(
    "--for", "seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="End after this time."
)
@click.option("-o", "--output", type=click.Choice([TABLE, JSON, MOF]), default=TABLE, show_default=True,
              help="A line each, a JSON object a line, or MOF.")  # fmt: skip
@to_server
def listen(
    target: Target, text: str | None, language: str, ready: str | None, host: str | None, port: int,
    certificate: str | None, key: str | None, count: int | None, seconds: float | None, output: str,
) -> None:  # fmt: skip
    """Show indications as they come, until Ctrl-C.

    \b
      xencim cim listen
      xencim cim listen --filter Xen:Indications:SystemStateChanged
      xencim cim listen -q "SELECT * FROM CIM_InstDeletion" --count 1 -o json
    """
    _one_filter(text, ready)
    if key and not certificate:
        raise Failure("--key needs --certificate", exit_code=USAGE)
    files = (certificate, key or certificate) if certificate else None
    host = host or own_address(target.url)
    received: queue.Queue[pywbem.CIMInstance] = queue.Queue()
    made: list[pywbem.CIMInstanceName] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as with Ctrl-C
    with target.connected() as connection:
        namespace = interop(connection)
        listener = started(host, port, received, files)
        try:
            with undone(connection, made):
                shown = f"[{host}]" if ":" in host else host
                url = f"https://{shown}:{listener.https_port}" if files else f"http://{shown}:{listener.http_port}"
                name = f"listen-{secrets.token_hex(3)}"
                subscribed(connection, namespace, name, url, (language, text or EVERYTHING), ready, made)
                click.echo(f"listening at {url}; Ctrl-C ends", err=True)
                _show(received, ValueNames(connection, target.namespace), count, seconds, output)
        except KeyboardInterrupt:
            click.echo("ended", err=True)
        finally:
            listener.stop()


def _show(
    received: queue.Queue[pywbem.CIMInstance], names: ValueNames, count: int | None, seconds: float | None, output: str
) -> None:
    """Print what is received, until `count` are shown or `seconds` are over."""
    ends = None if seconds is None else time.monotonic() + seconds
    while count is None or count > 0:
        left = None if ends is None else ends - time.monotonic()
        if left is not None and left <= 0:
            return
        try:
            indication = received.get(timeout=left)
        except queue.Empty:
            return
        if output == JSON:
            click.echo(json.dumps(instance_object(indication)))
        else:
            click.echo(indication.tomof() if output == MOF else line(indication, names))
        count = None if count is None else count - 1
