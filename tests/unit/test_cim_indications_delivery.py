"""Delivery to listeners on loopback: order, numbers, retries, policies, and what a bad listener does to the others."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path as Path_
from typing import Any

import pytest
from cim_pool import ROOT, SmallPool

from cim_provider.indications.address import address_of
from cim_provider.indications.connection import DeliveryError, ListenerConnection, Trust
from cim_provider.indications.delivery import MAX_QUEUED, Channel
from cim_provider.indications.names import MAX_LOOKUPS, MAX_SLOW, THREAD, Names
from cim_provider.indications.service import Indications
from cim_provider.operations.api import Operation
from cim_provider.schema.objects import INTEROP, Instance, Path
from xenapi_core.clock import RealClock
from xenapi_core.server import tls

OK = b'<CIM CIMVERSION="2.0"><MESSAGE><SIMPLEEXPRSP><EXPMETHODRESPONSE NAME="ExportIndication">'
REFUSED = OK + b'<ERROR CODE="1"></ERROR>'
SILENCE = b"no answer"
CREATIONS = "SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA Xen_ComputerSystem"


@dataclass
class Loopback:
    """An HTTP listener; `answers` are used one after the other, the last one for ever. b"" closes the connection,
    SILENCE leaves the client without an answer."""

    answers: list[bytes]
    bodies: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open[asyncio.current_task()] = writer
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(re.search(r"content-length: (\d+)", head, re.IGNORECASE)[1])
                self.bodies.append((await reader.readexactly(size)).decode())
                self.heads.append(head)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    return
                if answer is not SILENCE:
                    writer.write(answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def hang_up(self) -> None:
        for writer in self.open.values():
            writer.close()
        await asyncio.gather(*self.open)

    def values(self, name: str) -> list[str]:
        return [re.search(rf'NAME="{name}"[^>]*><VALUE>([^<]*)<', body)[1] for body in self.bodies]


def reply(body: bytes = OK, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@asynccontextmanager
async def listening(*answers: bytes) -> AsyncIterator[Loopback]:
    listener = Loopback(list(answers) or [reply()])
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/there"
    try:
        yield listener
    finally:
        server.close()
        await listener.hang_up()


class World(SmallPool):
    """A pool with a running indication service on its virtual clock."""

    def __init__(self) -> None:
        super().__init__()
        self.indications = Indications(self.provider, self.clock)

    def create(self, classname: str, **values: Any) -> Path:
        writer = self.provider.writers[classname]
        path = writer.create(Operation("CreateInstance", INTEROP, {}, ROOT, self.provider), Instance(classname, values))
        assert isinstance(path, Path)
        return path

    def subscribe(self, url: str, name: str = "one", query: str = CREATIONS, **values: Any) -> Path:
        chosen = self.create("CIM_IndicationFilter", Name=name, Query=query, QueryLanguage="WQL")
        handler = self.create("CIM_ListenerDestinationCIMXML", Name=name, Destination=url)
        return self.create("CIM_IndicationSubscription", Filter=chosen, Handler=handler, **values)

    async def until(self, what: Callable[[], Any]) -> None:
        """Let the loop run, without time passing, until something is so."""
        async with asyncio.timeout(20):
            while not what():  # noqa: ASYNC110 - what is waited for is the world, not an event
                await asyncio.sleep(0.001)

    def lost(self) -> int:
        return sum(channel.lost for channel in self.indications.delivery.channels.values())


@asynccontextmanager
async def running_world() -> AsyncIterator[World]:
    """A world that sends indications."""
    world = World()
    await world.indications.start()
    try:
        yield world
    finally:
        await world.indications.stop()


async def test_indications_come_in_order_over_one_connection_with_numbers() -> None:
    async with running_world() as world, listening() as listener:
        world.subscribe(listener.url)
        for n in range(20):
            world.vm(f"vm-{n}")
            await world.until(lambda n=n: len(listener.bodies) == n + 1)
        assert listener.values("SequenceNumber") == [str(n) for n in range(20)]
        assert len(set(listener.values("SequenceContext"))) == 1
        assert listener.values("IndicationFilterName") == ["one"] * 20
        assert listener.connections == 1
        assert [re.search(r"vm-\d+", body)[0] for body in listener.bodies] == [f"vm-{n}" for n in range(20)]
        head = listener.heads[0]
        assert head.startswith("POST /there HTTP/1.1\r\n")
        assert "CIMExport: MethodRequest\r\nCIMExportMethod: ExportIndication\r\n" in head


@pytest.mark.parametrize(
    "bad",
    [
        reply(status="503 Busy"),
        reply(status="302 Found"),
        reply(REFUSED),
        reply(b"hello"),
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"",
    ],
)
async def test_what_was_not_confirmed_is_sent_again_after_a_wait(bad: bytes) -> None:
    async with running_world() as world, listening(bad, bad, reply()) as listener:
        world.subscribe(listener.url)
        world.vm("vm")
        await world.until(lambda: world.clock.due() is not None)
        assert len(listener.bodies) == 1
        assert world.clock.due() == 20
        await world.clock.advance(20)
        await world.until(lambda: len(listener.bodies) == 2 and world.clock.due() is not None)
        assert world.clock.due() == 40
        await world.clock.advance(40)
        await world.until(lambda: len(listener.bodies) == 3)
        assert len(set(listener.bodies)) == 1
        assert world.lost() == 0


@pytest.mark.parametrize("size", ["5\r\nabcde\r\n", ""])
async def test_a_chunked_answer_and_an_interim_one_are_understood(size: str) -> None:
    async with running_world() as world:
        chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (
            len(OK),
            OK,
        )
        async with listening(chunked + size.encode() + b"0\r\n\r\n") as listener:
            world.subscribe(listener.url)
            for name in ("a", "b"):
                world.vm(name)
            await world.until(lambda: len(listener.bodies) == 2)
            assert listener.connections == 1


async def test_a_connection_that_the_listener_closed_meanwhile_is_opened_again_at_once() -> None:
    async with running_world() as world, listening(reply(), b"", reply()) as listener:
        world.subscribe(listener.url)
        world.vm("a")
        await world.until(lambda: len(listener.bodies) == 1)
        world.vm("b")
        await world.until(lambda: len(listener.bodies) == 3)
        assert world.clock.due() is None
        assert listener.values("SequenceNumber") == ["0", "1", "1"]


async def test_an_indication_that_is_given_up_is_a_gap_in_the_numbers() -> None:
    async with running_world() as world, listening(*[reply(status="500 No")] * 4, reply()) as listener:
        world.subscribe(listener.url)
        world.vm("a")
        world.vm("b")
        for wait in (20, 40, 80):
            await world.until(lambda: world.clock.due() is not None)
            assert world.clock.due() == wait
            await world.clock.advance(wait)
        await world.until(lambda: len(listener.bodies) == 5)
        assert listener.values("SequenceNumber") == ["0"] * 4 + ["1"]
        assert world.lost() == 1


@pytest.mark.parametrize(("policy", "left", "state"), [(2, 1, 2), (3, 1, 4), (4, 0, None)])
async def test_a_fatal_error_costs_the_subscription_what_its_policy_says(
    policy: int, left: int, state: int | None
) -> None:
    async with running_world() as world, listening(reply(status="500 No")) as listener:
        path = world.subscribe(listener.url, OnFatalErrorPolicy=policy)
        world.vm("a")
        for wait in (20, 40, 80):
            await world.until(lambda: world.clock.due() is not None)
            await world.clock.advance(wait)
        await world.until(lambda: len(listener.bodies) == 4)
        await world.clock.settle()
        stored = world.provider.repository.all("CIM_IndicationSubscription")
        await world.until(
            lambda: len(stored) == left and (not left or stored[path].values["SubscriptionState"] == state)
        )
        assert bool(world.indications.delivery.channels) == (policy == 2)


async def test_a_subscription_that_fails_for_long_goes_when_the_service_says_so() -> None:
    async with running_world() as world:
        world.provider.repository.put(
            Path.of("Xen_IndicationService", {"Name": "xencim"}, INTEROP),
            {"DeliveryRetryAttempts": 0, "DeliveryRetryInterval": 1, "SubscriptionRemovalAction": 2,
             "SubscriptionRemovalTimeInterval": 100},
        )  # fmt: skip
        async with listening(reply(status="500 No")) as listener:
            path = world.subscribe(listener.url)
            world.vm("a")
            await world.until(lambda: world.lost() == 1)
            await world.clock.advance(100)
            assert world.provider.repository.find(path) is not None
            world.vm("b")
            await world.until(lambda: world.provider.repository.find(path) is None)


async def test_a_silent_listener_does_not_delay_another() -> None:
    async with running_world() as world, listening(SILENCE) as silent, listening() as good:
        world.subscribe(silent.url, "silent")
        world.subscribe(good.url, "good")
        for n in range(5):
            world.vm(f"vm-{n}")
        await world.until(lambda: len(good.bodies) == 5)
        assert len(silent.bodies) == 1


@contextmanager
def hanging_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A system that finds no host name below hangs.example as long as this lasts; gives what it was asked."""
    ended, asked, real = threading.Event(), [], socket.getaddrinfo

    def found(host: str, *args: Any, **more: Any) -> Any:
        if host.endswith("hangs.example") and not more.get("flags", 0) & socket.AI_NUMERICHOST:
            asked.append(host)
            ended.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return real(host, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", found)
        try:
            yield asked
        finally:
            ended.set()
            for thread in threading.enumerate():
                if thread.name == THREAD:
                    thread.join()


async def test_host_names_that_hang_do_not_delay_the_listener_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more of them than threads that asyncio has for everybody."""
    async with running_world() as world:
        with hanging_names(monkeypatch) as asked:
            async with listening() as good:
                for n in range(40):
                    world.subscribe(f"http://n{n}.hangs.example", f"bad-{n}")
                world.vm("first")
                await world.until(lambda: len(asked) == 40)
                world.subscribe(good.url.replace("127.0.0.1", "localhost"), "good")
                world.vm("second")
                await world.until(lambda: good.bodies)


async def test_names_that_hang_have_a_thread_each_and_once_known_leave_most_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging = [f"n{n}.hangs.example" for n in range(MAX_LOOKUPS)]

    async def left(names: Names) -> list[BaseException]:
        """Ask twice for every name and wait for none: what each of the askers got."""
        waiting = [asyncio.ensure_future(names.find(name)) for name in hanging * 2]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        return await asyncio.gather(*waiting, return_exceptions=True)

    names = Names()
    with hanging_names(monkeypatch) as asked:
        assert {type(end) for end in await left(names)} == {asyncio.CancelledError}
        with pytest.raises(OSError, match="too many"):
            await names.find("localhost")
        assert await names.find("127.0.0.1") == [(socket.AF_INET, ("127.0.0.1", 0))]
    await asyncio.sleep(0)  # the loop hears of the answers
    assert sorted(asked) == sorted(hanging)
    with hanging_names(monkeypatch) as asked:
        ends = [type(end) for end in await left(names)]
        assert await names.find("localhost")
        assert (len(asked), ends.count(asyncio.CancelledError)) == (MAX_SLOW, 2 * MAX_SLOW)


async def test_one_destination_gets_an_event_once_for_each_subscription() -> None:
    async with running_world() as world, listening() as listener:
        path = world.subscribe(listener.url)
        query = CREATIONS.replace("CIM_InstCreation", "CIM_InstIndication")
        other = world.create("CIM_IndicationFilter", Name="other", Query=query, QueryLanguage="WQL")
        world.create("CIM_IndicationSubscription", Filter=other, Handler=path.key("Handler"))
        world.vm("vm")
        await world.until(lambda: len(listener.bodies) == 2)
        assert listener.values("IndicationFilterName") == ["one", "other"]
        assert len(set(listener.values("IndicationIdentifier"))) == 1


async def test_a_full_queue_loses_the_oldest() -> None:
    channel = Channel(Path.of("X", {}), address_of("http://127.0.0.1:1"))
    for _ in range(MAX_QUEUED + 3):
        channel.offer("CIM_InstCreation", "f", b"x")
    assert (len(channel.queue), channel.lost) == (MAX_QUEUED, 3)
    assert b"<VALUE>3</VALUE>" in channel.take()[0]
    channel.offer("CIM_InstCreation", "f", b"x" * (17 << 20))
    assert len(channel.queue) == 1
    channel.take()
    assert channel.queued_bytes == 0


async def test_nothing_is_watched_and_no_channel_is_open_without_subscriptions() -> None:
    async with running_world() as world, listening() as listener:
        path = world.subscribe(listener.url)
        assert world.indications.matcher.watching
        world.provider.repository.remove([path])
        assert not world.indications.matcher.watching
        assert world.indications.delivery.channels == {}
        world.vm("unseen")
        again = world.provider.repository.put(path, {**path_values(path), "OnFatalErrorPolicy": 2})
        assert again.path == path
        world.vm("seen")
        await world.until(lambda: listener.bodies)
        assert "unseen" not in listener.bodies[0]


def path_values(path: Path) -> dict[str, Any]:
    return {"Filter": path.key("Filter"), "Handler": path.key("Handler"), "SubscriptionState": 2}


@pytest.mark.parametrize(("named", "verify"), [(True, True), (False, False), (False, True)])
async def test_a_listener_over_tls_is_served_if_its_authority_is_named_or_nobody_looks(
    tmp_path: Path_, monkeypatch: pytest.MonkeyPatch, named: bool, verify: bool
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    certificate, key = tls.ensure_certificate(tmp_path, ["127.0.0.1"], RealClock())
    context = tls.server_context(certificate, key)
    listener = Loopback([reply()])
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context)
    world = World()
    world.indications.delivery.trust = Trust(certificate if named else None, verify)
    await world.indications.start()
    try:
        world.subscribe(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        world.vm("one")
        served = named or not verify
        failing = world.indications.delivery.channels.values()
        await world.until(lambda: listener.bodies or any(c.failing_since is not None for c in failing))
        assert bool(listener.bodies) == served
    finally:
        await world.indications.stop()
        server.close()
        await listener.hang_up()


def test_a_file_without_authorities_cannot_be_trusted(tmp_path: Path_) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(OSError, match="certificate"):
        Trust(tmp_path / "ca.pem").context()


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_listener_over_tls_is_served_only_if_its_certificate_is_trusted(
    tmp_path: Path_, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    certificate, key = tls.ensure_certificate(tmp_path, ["127.0.0.1"], RealClock())
    context, _ = tls.server_context(certificate, key), monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    else:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    listener = Loopback([reply()])
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context)
    connection = ListenerConnection(address_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        if trusted:
            for _ in range(2):
                await connection.export((b"<x>", b"</x>"))
            assert (listener.bodies, listener.connections) == (["<x></x>"] * 2, 1)
        else:
            with pytest.raises(DeliveryError):
                await connection.export((b"<x></x>",))
            assert listener.bodies == []
    finally:
        connection.close()
        server.close()
        await listener.hang_up()
