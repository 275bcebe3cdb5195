"""GET /system-status, an archive of a host's diagnostic data; its logs alone; and GET /audit_log.

Rule 1: each entry of api/status_report.py has a function here that gathers its files. What a host does not tell now is
        left out, and the file missing.txt says why.
Rule 2: a report goes to others. So secrets and sessions are left out, and values of maps whose key is that of a secret.
"""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
import zipfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal

import orjson

from xenapi_core.api import diagnosis
from xenapi_core.api.status_report import ENTRIES
from xenapi_core.clock import Later
from xenapi_core.drivers.api import DriverError, Hypervisor
from xenapi_core.errors import E
from xenapi_core.model.schema import Class
from xenapi_core.model.types import DATETIME, Mismatch
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.actions.measurements import database_xml, host_called
from xenapi_core.server.routes import Response
from xenapi_core.store.api import Version
from xenapi_core.wire.jsonrpc import JsonRpc

ANSWER_WITHIN: Final = 10.0  # seconds of real time a driver has for its log
HIDDEN: Final = "(not told)"
_LEFT_OUT: Final = frozenset({"secret", "session"})
_SECRET_KEY: Final = re.compile(r"passw|passphrase|secret|chap|token|credential|private", re.IGNORECASE)
_CODEC: Final = JsonRpc()
_TEXT: Final = (NO_CACHE, ("Content-Type", "text/plain; charset=utf-8"))
_FORMS: Final = {
    "tar": "application/x-tar", "tar.bz2": "application/x-bzip2", "tar.gz": "application/gzip",
    "zip": "application/zip",
}  # fmt: skip
_LOGS: Final = ("system-logs", "xen-info", "audit-logs")

_TAR_MODES: Final[Mapping[str, Literal["w", "w:bz2", "w:gz"]]] = {"tar": "w", "tar.bz2": "w:bz2", "tar.gz": "w:gz"}

Files = Mapping[str, bytes]
Gather = Callable[[ActionCall, Version], Awaitable[Files]]


class NotTold(Exception):  # noqa: N818 - no error of the report, which says it
    """Why an entry is missing: one sentence."""


async def _records(call: ActionCall, host: Version) -> Files:
    """A file for each class, with its records by reference, as a pool operator sees them."""
    files = {}
    for cls in call.services.schema.classes.values():
        if cls.in_database and cls.name not in _LEFT_OUT and call.store.all(cls.name):
            text = await _records_of(call, cls)
            files[f"records/{cls.name}.json"] = await asyncio.to_thread(_without_secrets, text)
    return files


async def _records_of(call: ActionCall, cls: Class) -> bytes:
    records = call.services.records
    made = records.slices.complete(lambda: records.missing(_CODEC, tuple(call.store.all(cls.name).values())))
    if isinstance(made, Later):
        await made
    return records.mapping(_CODEC, call.store.all(cls.name).items())


def _without_secrets(text: bytes) -> bytes:
    """The records of one class as JSON, with the values of secret map keys hidden (rule 2)."""
    records: dict[str, dict[str, Any]] = orjson.loads(text)
    for record in records.values():
        for field, value in record.items():
            if isinstance(value, dict):
                record[field] = {key: HIDDEN if _SECRET_KEY.search(key) else each for key, each in value.items()}
    return orjson.dumps(records, option=orjson.OPT_INDENT_2)


async def _log(call: ActionCall, host: Version) -> Files:
    return {"host.log": await _from_driver(call, host, lambda driver: driver.log())}


async def _messages(call: ActionCall, host: Version) -> Files:
    return {"hypervisor.log": await _from_driver(call, host, lambda driver: driver.messages(clear=False))}


async def _from_driver(call: ActionCall, host: Version, ask: Callable[[Hypervisor], Awaitable[str]]) -> bytes:
    """A text from the host's driver, as bytes. NotTold."""
    driver = call.engine.hypervisors.get(host.ref)
    if driver is None:
        raise NotTold("no driver serves the host")
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return (await ask(driver)).encode()
    except (DriverError, TimeoutError) as error:
        raise NotTold(str(error) or "the host did not answer in time") from None


async def _audit(call: ActionCall, host: Version) -> Files:
    return {"audit.log": _lines(call, 0)}


async def _measured(call: ActionCall, host: Version) -> Files:
    """Round robin databases of the host, the VMs on it and the SRs it is connected to."""
    recorder, store = call.parts.recorder, call.store
    vms = [store.get(ref)["uuid"] for ref in store.related(host.ref, "resident_VMs")]
    pbds = map(store.get, store.related(host.ref, "PBDs"))
    srs = [store.get(pbd["SR"])["uuid"] for pbd in pbds if pbd["currently_attached"]]
    files = {}
    for kind, uuid in (("host", host["uuid"]), *(("vm", vm) for vm in vms), *(("sr", sr) for sr in srs)):
        files[f"rrd/{kind}-{uuid}.xml"] = database_xml(recorder, kind, uuid)
        await call.services.clock.sleep(0)  # others are served between two: each takes its time
    return files


async def _processes(call: ActionCall, host: Version) -> Files:
    timings = call.services.timings()
    calls = "".join(f"{name}: {number} calls, {timing.told()}\n" for name, number, timing in timings)
    storage = diagnosis.storage(call.store, host.ref, call.engine.storages)
    return {"threads.txt": diagnosis.threads().encode(), "storage.txt": storage.encode(), "calls.txt": calls.encode()}


GATHER: Final[Mapping[str, Gather]] = {
    "xenserver-databases": _records,
    "system-logs": _log,
    "xen-info": _messages,
    "audit-logs": _audit,
    "persistent-stats": _measured,
    "process-list": _processes,
}


@serves("get_system_status")
async def system_status(call: ActionCall) -> Response:
    """A report of the host whose endpoint was called, or the coordinator. `entries`: keys, joined by commas; those of
    Entry.default if it is left out. `output`: tar, tar.bz2, tar.gz or zip. INVALID_VALUE."""
    form = call.text("output") or "tar"
    if form not in _FORMS:
        raise E.INVALID_VALUE("output", form)
    keys = [key.strip() for key in call.text("entries").split(",") if key.strip()]
    for key in keys:
        if key not in GATHER:
            raise E.INVALID_VALUE("entries", key)
    return await _archive(call, form, "status", keys or [entry.key for entry in ENTRIES if entry.default])


@serves("get_host_logs_download")
async def host_logs(call: ActionCall) -> Response:
    """The logs in a status report of the host whose endpoint was called, or the coordinator, as tar.gz."""
    return await _archive(call, "tar.gz", "logs", _LOGS)


async def _archive(call: ActionCall, form: str, what: str, keys: Sequence[str]) -> Response:
    """The files of these entries."""
    host = host_called(call)
    files: dict[str, bytes] = {}
    missing = []
    for key in keys:
        try:
            files |= await GATHER[key](call, host)
        except NotTold as reason:
            missing.append(f"{key}: {reason}\n")
    if missing:
        files["missing.txt"] = "".join(missing).encode()
    folder = f"{what}-{host['uuid']}"
    body = await asyncio.to_thread(_packed, form, folder, files, call.services.clock.now())
    name = ("Content-Disposition", f'attachment; filename="{folder}.{form}"')
    return Response(200, (NO_CACHE, ("Content-Type", _FORMS[form]), name), body)


def _packed(form: str, folder: str, files: Files, now: int) -> bytes:
    """The files as one archive."""
    made = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(f"{folder}/{name}", data)
        return made.getvalue()
    with tarfile.open(fileobj=made, mode=_TAR_MODES[form]) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), now, 0o644
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


@serves("get_audit_log")
async def audit_log(call: ActionCall) -> Response:
    """The audit log, `since` an instant if one is named. INVALID_VALUE for what is none."""
    since = call.text("since")
    try:
        instant = DATETIME.accept(since) if since else 0
    except Mismatch:
        raise E.INVALID_VALUE("since", since) from None
    return Response(200, _TEXT, _lines(call, instant))


def _lines(call: ActionCall, instant: int) -> bytes:
    return "".join(f"{line}\n" for line in call.services.surroundings.audit.since(instant)).encode()
