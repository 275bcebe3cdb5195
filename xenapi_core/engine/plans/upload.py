"""Sends a host's crash dumps, and reports of its state, to a URL.

Rule 1: nothing is sent to a place that nobody named: an empty URL is refused, there is no vendor's address.
Rule 2: a report is a tar of the host's log, its hypervisor's messages, and records of what belongs to it. No field that
        may hold a password is in it (`_KEPT_BACK`, and all that clients do not see).
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson

from xenapi_core.drivers.api import DriverError
from xenapi_core.engine.exchange import check_url
from xenapi_core.engine.failures import HOST, About, told_as
from xenapi_core.engine.plan import Plan, Run, Step, World, plans
from xenapi_core.engine.steps.vdi_transfer import WITHIN
from xenapi_core.errors import E
from xenapi_core.store.api import Version

_PIECE: Final = 256 * 1024
_REPORT: Final = "report"
_KEPT_BACK: Final = frozenset({
    "device_config", "external_auth_configuration", "license_server", "logging", "other_config", "power_on_config",
    "NVRAM", "properties", "sm_config", "xenstore_data",
})  # fmt: skip
# Class -> field of the host by which it is found.
_BELONGS: Final[Mapping[str, str]] = {"host_cpu": "host_CPUs", "PIF": "PIFs", "PBD": "PBDs", "VM": "resident_VMs"}


@plans("host_crashdump.upload")
def plan_upload(world: World, ref: str, url: str, options: Mapping[str, str]) -> Plan:
    """Send the dump, as it is. INVALID_VALUE for no URL of http or https, and for options; HANDLE_INVALID for a dump
    that is gone from its host; HOST_OFFLINE, SYSTEM_STATUS_RETRIEVAL_FAILED."""
    dump = world.store.get(ref, "host_crashdump")
    _check(url, options)

    async def body(run: Run) -> AsyncIterator[bytes]:
        done, size = 0, dump["size"]
        while done < size:
            run.check_cancelled()
            with told_as(HOST, About(host=dump["host"], operation="read a crash dump")):
                data = await _read_piece(run, dump, done)
            if not data:
                raise E.SYSTEM_STATUS_RETRIEVAL_FAILED("The dump is shorter than its record says.")
            yield data
            done += len(data)
            run.progress(done / size)

    async def send(run: Run) -> None:
        await run.exchange().deliver(url, dump["size"], body(run))

    return Plan(steps=(Step("send dump", send, deadline=WITHIN),))


async def _read_piece(run: Run, dump: Version, offset: int) -> bytes:
    """A piece of a crash dump from `offset` on. HANDLE_INVALID if the host has it no more."""
    try:
        length = min(_PIECE, dump["size"] - offset)
        return await run.hypervisor(dump["host"]).read_crash_dump(dump["filename"], offset, length)
    except DriverError as error:
        if error.kind == "not_found":
            raise E.HANDLE_INVALID("host_crashdump", dump.ref) from error
        raise


@plans("host.bugreport_upload")
def plan_report(world: World, host: str, url: str, options: Mapping[str, str]) -> Plan:
    """Send a report (rule 2). INVALID_VALUE for no URL of http or https, and for options; HOST_OFFLINE,
    SYSTEM_STATUS_RETRIEVAL_FAILED."""
    record = world.store.get(host, "host")
    _check(url, options)

    async def gather(run: Run) -> None:
        with told_as(HOST, About(host=host, operation="bugreport_upload")):
            driver = run.hypervisor(host)
            log, messages = await driver.log(), await driver.messages(clear=False)
        records = orjson.dumps(_records(world, record), option=orjson.OPT_INDENT_2)
        files = {"host.log": log.encode(), "hypervisor.log": messages.encode(), "records.json": records}
        run.results[_REPORT] = b"".join(
            (*(_file(f"bugreport/{name}", data) for name, data in files.items()), bytes(2 * tarfile.BLOCKSIZE))
        )

    async def body(report: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(report), _PIECE):
            yield report[start : start + _PIECE]

    async def send(run: Run) -> None:
        report = run.results[_REPORT]
        await run.exchange().deliver(url, len(report), body(report))

    return Plan(steps=(Step("gather", gather), Step("send report", send)))


def _check(url: str, options: Mapping[str, str]) -> None:
    """INVALID_VALUE; of options none is known, and a proxy would be one more server that nobody checked."""
    check_url(url)
    for key in options:
        raise E.INVALID_VALUE("options", key)


def _records(world: World, host: Version) -> dict[str, list[dict[str, Any]]]:
    """By class: the host, and what belongs to it."""
    metrics = world.store.find(host["metrics"])
    found = {
        "host": [_public_fields(world, host)],
        "host_metrics": [_public_fields(world, metrics)] if metrics is not None else [],
    }
    for cls, field in _BELONGS.items():
        found[cls] = [_public_fields(world, world.store.get(ref, cls)) for ref in world.store.related(host.ref, field)]
    return found


def _public_fields(world: World, record: Version) -> dict[str, Any]:
    """The stored fields of a record without those that rule 2 excludes."""
    fields = (
        field
        for field in world.schema[record.cls].fields
        if field.stored and not field.internal and not field.secret and field.name not in _KEPT_BACK
    )
    return {field.name: record[field.name] for field in fields}


def _file(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o400
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
