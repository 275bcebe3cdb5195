"""Sends VMs to another pool: the sender's side. The receiver's side is actions/arrivals.py.

Theory of operation
1. A parcel is one PUT to the address that host.migrate_receive named ("xenops"): a tar of JOURNEY, then what an export
   of the VM has (actions/xva.py). The other pool takes it under a task that we made there.
2. That task says how the transfer ended. If no reply comes, the task is read; if we give up, it is cancelled first. So
   a VM is never in both pools, unless the other pool took it and has not answered since: that is logged.
3. What travels is read under the claims of the operation that sends it. Sessions are in no log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import orjson

from xenapi_core.api.registry import Services
from xenapi_core.bridge.client import RemoteXenApi
from xenapi_core.engine.exchange import Parcel
from xenapi_core.engine.exported import Exported, Fill
from xenapi_core.engine.plan import Run
from xenapi_core.errors import ApiError, E
from xenapi_core.server.actions import xva
from xenapi_core.server.actions.machines import about, chunks, filler, objects_of
from xenapi_core.server.conversion import ask_appliance
from xenapi_core.server.download import download
from xenapi_core.server.outgoing import Trust, post, send
from xenapi_core.server.trust import of_appliances, of_pools, of_web_servers
from xenapi_core.server.upload import UploadBroken
from xenapi_core.store.api import Store

log = logging.getLogger(__name__)

JOURNEY: Final = "journey.json"
_SECONDS: Final = 60.0  # of real time, for the other pool to say how it ended
_AGAIN: Final = 0.2
_PORTS: Final = {"http": 80, "https": 443}


def _reach(store: Store, url: str) -> RemoteXenApi:
    """CANNOT_CONTACT_HOST for what is no address."""
    host = ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return RemoteXenApi(f"{parts.scheme}://{parts.netloc}", _PORTS.get(parts.scheme, 443), of_pools(store))
    except ValueError:
        raise E.CANNOT_CONTACT_HOST(host) from None


async def _ask(remote: RemoteXenApi, parcel: Parcel, method: str, *args: Any) -> Any:
    """CANNOT_CONTACT_HOST if nobody answers."""
    try:
        return await remote.call(method, parcel.destination["session_id"], *args)
    except OSError:
        raise E.CANNOT_CONTACT_HOST(urlsplit(parcel.destination["master"]).hostname or "") from None


class Fetch(Protocol):
    """Gives the body under a URL piece by piece, as download.download does."""

    def __call__(self, url: str, *, trust: Trust) -> AsyncIterator[bytes]: ...


class Deliver(Protocol):
    """Sends a body to a URL with PUT, as outgoing.send does."""

    async def __call__(self, url: str, size: int, body: AsyncIterator[bytes], *, trust: Trust) -> None: ...


class Post(Protocol):
    """Sends a body to a URL with POST and returns the reply, as outgoing.post does."""

    async def __call__(self, url: str, body: bytes, *, trust: Trust) -> bytes: ...


class AskAppliance(Protocol):
    """Calls a method of the conversion appliance, as conversion.ask_appliance does."""

    async def __call__(self, address: str, method: str, *params: Any, trust: Trust) -> Any: ...


class PoolExchange:
    """The engine.exchange.Exchange of a server, over HTTP."""

    def __init__(
        self, services: Services, fetch: Fetch = download, deliver: Deliver = send, post: Post = post,
        ask: AskAppliance = ask_appliance,
    ) -> None:  # fmt: skip
        """`fetch`: gives what is under a URL, as download does with its other defaults; `deliver`: puts there, as
        outgoing.send does; `post`: sends there and gives the reply, as outgoing.post does; `ask`: see ask_appliance."""
        self._services = services
        self._fetch = fetch
        self._deliver = deliver
        self._post = post
        self._ask_appliance = ask

    @contextlib.asynccontextmanager
    async def archive(self, url: str) -> AsyncIterator[tuple[Mapping[str, Exported], Fill]]:
        """The records of the export under `url`, and the function that fills its disks (engine.exchange.Exchange)."""
        source = self._fetch(url, trust=partial(of_web_servers, self._services.store))
        try:
            archive = xva.TarStream(xva.unzipped(source))
            yield await objects_of(archive), filler(archive)
        except UploadBroken as error:
            raise E.IMPORT_ERROR_PREMATURE_EOF() from error
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    async def deliver(self, url: str, size: int, body: AsyncIterator[bytes]) -> None:
        """Put `body` under `url`, trusting the authorities of web servers (engine.exchange.Exchange)."""
        await self._deliver(url, size, body, trust=partial(of_web_servers, self._services.store))

    async def post(self, url: str, body: bytes) -> bytes:
        """The reply to a POST to `url`, trusting the authorities of web servers (engine.exchange.Exchange)."""
        return await self._post(url, body, trust=partial(of_web_servers, self._services.store))

    async def ask_appliance(self, address: str, method: str, *params: Any) -> Any:
        """The result of a call to the conversion appliance (engine.exchange.Exchange)."""
        return await self._ask_appliance(address, method, *params, trust=partial(of_appliances, self._services.store))

    async def check(self, parcel: Parcel) -> None:
        """Check that the session, the host, and every SR and network exist in the other pool; raises the errors of
        those calls."""
        remote = _reach(self._services.store, parcel.destination["master"])
        _reach(self._services.store, parcel.destination["xenops"])
        await _ask(remote, parcel, "host.get_uuid", parcel.destination["host"])
        for cls, refs in (("SR", parcel.disks.values()), ("network", parcel.networks.values())):
            for ref in sorted({ref for ref in refs if ref}):
                await _ask(remote, parcel, f"{cls}.get_uuid", ref)

    async def send(self, run: Run, parcel: Parcel) -> str:
        """Send a parcel; the VM's reference in the other pool (engine.exchange.Exchange). VM_MIGRATE_FAILED if the
        connection breaks."""
        remote, door = (_reach(self._services.store, parcel.destination[key]) for key in ("master", "xenops"))
        name = parcel.records[0]["name_label"]
        task = await _ask(remote, parcel, "task.create", f"Arrival of {name}", "")
        failure: BaseException | None = None
        try:
            await self._put(door, run, parcel, task)
        except (ApiError, OSError) as error:
            failure = error
        try:
            return await self._outcome(remote, parcel, task, failure)
        finally:
            with contextlib.suppress(ApiError):
                await _ask(remote, parcel, "task.destroy", task)

    async def _put(self, door: RemoteXenApi, run: Run, parcel: Parcel, task: str) -> None:
        """OSError if there is no answer of success; what reading our disks raises; TASK_CANCELLED."""
        url = urlsplit(parcel.destination["xenops"])
        path = f"{url.path}?{url.query}{'&' if url.query else ''}task_id={quote(task)}"
        broken: list[BaseException] = []

        async def body() -> AsyncIterator[bytes]:
            try:
                async for data in self._bytes(run, parcel):
                    yield data
            except BaseException as error:
                broken.append(error)
                raise

        try:
            await door.put(path, body())
        except OSError:
            if broken and not isinstance(broken[0], GeneratorExit):
                raise broken[0] from None
            raise

    async def _bytes(self, run: Run, parcel: Parcel) -> AsyncIterator[bytes]:
        names = xva.names_of(parcel.records)
        yield xva.member(JOURNEY, orjson.dumps({
            "vm": names[parcel.records[0].ref], "host": parcel.destination["host"], "running": parcel.running,
            "copied": parcel.copied,
            "disks": {names[ref]: sr for ref, sr in parcel.disks.items()},
            "networks": {names[ref]: network for ref, network in parcel.networks.items()},
        }))  # fmt: skip
        yield xva.member(xva.OVA, await xva.describe(self._services, list(parcel.records), about(self._services)))
        disks = [run.world.store.get(ref, "VDI") for ref in parcel.disks]
        total, done = max(1, sum(disk["virtual_size"] for disk in disks)), 0
        for disk in disks:
            async for number, data in chunks(run, disk):
                run.check_cancelled()
                yield xva.chunk(f"{names[disk.ref]}/{number:08d}", data)
                run.progress((done + number * xva.CHUNK) / total)
            done += disk["virtual_size"]
        run.check_cancelled()
        yield xva.END

    async def _outcome(self, remote: RemoteXenApi, parcel: Parcel, task: str, failure: BaseException | None) -> str:
        """How the task there ended (rule 2): the VM's reference, or what went wrong."""
        vm, (here, there) = parcel.records[0], (parcel.records[0]["resident_on"], parcel.destination["host"])
        try:
            async with asyncio.timeout(_SECONDS):
                record = await _ask(remote, parcel, "task.get_record", task)
                while record["status"] in ("pending", "cancelling"):
                    if failure is not None:
                        await _ask(remote, parcel, "task.cancel", task)
                    await self._services.clock.sleep(_AGAIN)
                    record = await _ask(remote, parcel, "task.get_record", task)
        except (ApiError, TimeoutError) as error:
            log.error("VM %s may have arrived in the other pool, which does not say so any more", vm["uuid"])
            text = failure.code if isinstance(failure, ApiError) else "The other pool does not answer."
            raise E.VM_MIGRATE_FAILED(vm.ref, here, there, text) from error
        if record["status"] == "success":
            return str(record["result"]).removeprefix("<value>").removesuffix("</value>")
        if isinstance(failure, ApiError):
            raise failure
        if record["error_info"] and record["error_info"][0] != "IMPORT_ERROR_PREMATURE_EOF":
            raise E.from_wire([str(part) for part in record["error_info"]])
        raise E.VM_MIGRATE_FAILED(vm.ref, here, there, "The connection to the other pool broke.")
