"""Consoles over HTTP: RFB on a connection of its own and in a WebSocket, and pictures of the screen."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from action_server import Site, action_server
from http_client import Client
from rfb_client import Screen, WebSocket

from xenapi_core.server.console import picture
from xenapi_core.wire import rfb
from xenapi_core.wire import websocket as ws


async def exactly(client: Client, size: int) -> bytes:
    return await client.reader.readexactly(size)


@asynccontextmanager
async def viewing(site: Site, target: str, version: bytes = b"RFB 003.008\n") -> AsyncIterator[tuple[Screen, Client]]:
    """A viewer that came by CONNECT."""
    async with site.client() as client:
        await site.send(client, "CONNECT", target)
        status, headers = await client.head()
        assert (status, headers.get("content-length"), headers.get("transfer-encoding")) == (200, None, None)
        screen = Screen(lambda size: exactly(client, size), client.send)
        await screen.greet(version)
        yield screen, client


async def console_of(site: Site, vm: str) -> Any:
    (console,) = site.pool.store.related(vm, "consoles")
    return site.pool.store.get(console)


@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n", b"RFB 003.889\n"])
async def test_a_viewer_sees_name_and_state_of_the_vm(version: bytes) -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        record, session = site.pool.vm(vm), await site.login()
        console = await console_of(site, vm)
        target = f"/console?uuid={console['uuid']}&session_id={session}"
        async with viewing(site, target, version) as (screen, _):
            assert screen.name == record["name_label"]
            await screen.ask()
            await screen.update()
            text = screen.text()
            assert text[0] == record["name_label"].upper()
            assert "STATE:     RUNNING" in text
            assert f"UUID:      {record['uuid'].upper()}" in text


async def test_the_screen_follows_the_vm_and_ends_with_it() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        async with viewing(site, f"/console?ref={vm}&session_id={await site.login()}") as (screen, client):
            await screen.ask()
            await screen.update()
            await screen.ask(incremental=True)
            await site.call("VM.pause", vm)
            assert await screen.update() < picture.LINES, "only lines that changed are sent"
            assert "STATE:     PAUSED" in screen.text()
            await site.call("VM.set_name_label", vm, "renamed")
            await screen.until("RENAMED")
            await site.call("VM.hard_shutdown", vm)
            assert await client.ended()


async def test_what_is_typed_and_pointed_at_is_shown() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        async with viewing(site, f"/console?ref={vm}&session_id={await site.login()}") as (screen, _):
            await screen.ask()
            await screen.update()
            await screen.press("ls -l")
            await screen.until("TYPED: LS -L")
            await screen.write(struct.pack(">BBHH", 5, 1, 10, 20))
            await screen.until("POINTER: 10, 20, BUTTONS 001")
            await screen.write(struct.pack(">BxH", 2, 2) + struct.pack(">ii", 0, -239))
            await screen.write(struct.pack(">BxxxI", 6, 4) + b"text")
            await screen.press("!")
            await screen.until("LS -L!")


async def test_dots_come_in_the_format_a_viewer_asks_for() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        async with viewing(site, f"/console?ref={vm}&session_id={await site.login()}") as (screen, _):
            form = rfb.PixelFormat(16, 16, True, True, (31, 63, 31), (11, 5, 0))
            await screen.write(b"\0\0\0\0" + form.pack())
            await screen.ask()
            await screen.update(size=2)
            await screen.write(b"\0\0\0\0" + rfb.PixelFormat(8, 8, False, False).pack())
            kind, first, count = struct.unpack(">BxHH", await screen.read(6))
            assert (kind, first, count) == (1, 0, len(picture.COLOURS))
            await screen.read(6 * count)
            await screen.ask()
            await screen.update(size=1)
    assert rfb.PixelFormat(16, 16, True, True, (31, 63, 31), (11, 5, 0)).dots(b"\0", [(255, 0, 255)]) == b"\xf8\x1f"
    assert rfb.PixelFormat().dots(b"\1", [(0, 0, 0), (1, 2, 3)]) == b"\3\2\1\0"


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 200", b"RFB 003.008\n\2", b"RFB 003.008\n\1\1" + b"\xff" * 8, b"RFB 003.008\n\1\1" + b"\0" * 20,
     b"RFB 003.008\n\1\1\6\0\0\0\x7f\xff\xff\xff"],
    ids=["no RFB", "unknown security", "unknown message", "dots of no bits", "endless text"],
)  # fmt: skip
async def test_a_viewer_that_breaks_the_protocol_is_let_go(said: bytes) -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        async with site.client() as client:
            await site.send(client, "CONNECT", f"/console?ref={vm}&session_id={await site.login()}")
            await client.head()
            await client.send(said)
            await client.reader.read()  # to its end
        assert (await site.root("GET", f"/vncsnapshot?ref={vm}")).status == 200


@pytest.mark.parametrize("subprotocol", ["", "binary", "base64"])
async def test_a_browser_sees_the_screen_in_a_websocket(subprotocol: str) -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        async with site.client() as client:
            session = await site.login()
            path = f"/console?ref={vm}&session_id={session}"
            await site.send(client, "GET", path, **WebSocket.headers(subprotocol))
            status, headers = await client.head()
            assert (status, headers.get("sec-websocket-protocol", "")) == (101, subprotocol)
            socket = WebSocket(lambda size: exactly(client, size), client.send, subprotocol == "base64")
            screen = Screen(socket.read, socket.write)
            await screen.greet()
            await screen.ask()
            await screen.update()
            assert "STATE:     RUNNING" in screen.text()
            await socket.send(ws.PING, b"are you there")
            assert await socket.frame() == (ws.PONG, b"are you there")
            await site.call("VM.hard_shutdown", vm)
            assert await socket.frame() == (ws.CLOSE, b"\x03\xe8")
            assert await client.ended()


async def test_a_websocket_that_breaks_the_rules_is_closed_with_the_reason() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        path = f"/console?ref={vm}&session_id={await site.login()}"
        for sent, code in ((b"\x82\x01x", 1002), (b"\x82\xff" + b"\x7f" * 8 + b"mask", 1009), (b"\xf2\x80mask", 1002)):
            async with site.client() as client:
                await site.send(client, "GET", path, **WebSocket.headers())
                await client.head()
                socket = WebSocket(lambda size, client=client: exactly(client, size), client.send)
                assert await socket.read(12) == rfb.BANNER
                await client.send(sent)
                assert await socket.frame() == (ws.CLOSE, struct.pack(">H", code))
                assert await client.ended()
        wrong = {"Sec_WebSocket_Version": "8"}, {"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Protocol": "soap"}
        for change in wrong:
            assert (await site.ask("GET", path, **(WebSocket.headers() | change))).status == 500
        assert (await site.ask("GET", path)).status == 500


async def test_a_console_needs_a_session_a_role_and_a_machine_that_is_live() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        halted = site.pool.add_vm("off")
        assert (await site.ask("CONNECT", f"/console?ref={vm}")).status == 401
        reader = await site.login("read-only")
        assert (await site.ask("CONNECT", f"/console?ref={vm}&session_id={reader}")).status == 403
        assert (await site.root("CONNECT", f"/console?ref={halted}")).status == 500
        assert (await site.root("GET", f"/vncsnapshot?uuid={site.pool.vm(halted)['uuid']}")).status == 500
        assert (await site.root("CONNECT", "/console?uuid=nothing")).status == 404
        vt100 = await site.call("console.create", {"VM": vm, "protocol": "vt100", "other_config": {}})
        assert (await site.root("CONNECT", f"/console?ref={vt100}")).status == 501
        async with viewing(site, f"/console?ref={vm}&session_id={await site.login('vm-operator')}"):
            pass


async def test_a_viewer_is_let_out_when_its_session_ends() -> None:
    async with action_server() as site:
        vm, session = await site.pool.running(), await site.login("vm-operator")
        async with viewing(site, f"/console?ref={vm}&session_id={session}") as (_, client):
            txn = site.pool.store.begin()
            txn.delete(session)
            site.pool.store.commit(txn)
            assert await client.ended()


async def test_a_snapshot_is_a_picture_of_the_screen() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        reply = await site.root("GET", f"/vncsnapshot?uuid={site.pool.vm(vm)['uuid']}")
        assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
        assert reply.body[:8] == b"\x89PNG\r\n\x1a\n"
        pieces, at = {}, 8
        while at < len(reply.body):
            (size,) = struct.unpack_from(">I", reply.body, at)
            kind, data = reply.body[at + 4 : at + 8], reply.body[at + 8 : at + 8 + size]
            assert struct.unpack_from(">I", reply.body, at + 8 + size) == (zlib.crc32(kind + data),)
            pieces[kind] = data
            at += 12 + size
        assert struct.unpack(">II", pieces[b"IHDR"][:8]) == (picture.WIDTH, picture.HEIGHT)
        dots = zlib.decompress(pieces[b"IDAT"])
        assert len(dots) == (picture.WIDTH + 1) * picture.HEIGHT
        assert dots[: picture.WIDTH + 1] == b"\0" + picture.line_of(site.pool.vm(vm)["name_label"], 2)[0]


async def test_a_server_that_ends_lets_its_viewers_go() -> None:
    async with action_server() as site:
        vm = await site.pool.running()
        async with viewing(site, f"/console?ref={vm}&session_id={await site.login()}") as (_, client):
            await site.listener.drain(60.0)
            assert await client.ended()


def test_letters_that_are_not_in_the_font_are_boxes_and_long_lines_are_cut() -> None:
    assert picture.line_of("é") == picture.line_of("漢")
    assert picture.line_of("é") != picture.line_of(" ")
    assert len(picture.draw(["x" * 500] * 50)) == picture.HEIGHT
    assert all(len(row) == picture.WIDTH for row in picture.draw(["x" * 500]))
