"""What the tests of the wire reference's rows share: calls written out as bytes, and exact replies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from server_client import Reply, Wire, api_result, login, post, xml_call
from server_process import ServerProcess

HEAD = b'<?xml version="1.0"?><methodResponse><params><param>'
TAIL = b"</param></params></methodResponse>"
PATIENCE = 30.0  # seconds of real time until what the server does by itself must have happened


def success(value: str) -> bytes:
    """The whole reply whose Value is `value`, a <value> element."""
    members = f"<member><name>Status</name><value>Success</value></member><member><name>Value</name>{value}</member>"
    return HEAD + f"<value><struct>{members}</struct></value>".encode() + TAIL


def failure(*description: str) -> bytes:
    """The whole reply for an ErrorDescription; the words as they are escaped on the wire."""
    words = "".join(f"<value>{word}</value>" for word in description)
    members = (
        "<member><name>Status</name><value>Failure</value></member>"
        f"<member><name>ErrorDescription</name><value><array><data>{words}</data></array></value></member>"
    )
    return HEAD + f"<value><struct>{members}</struct></value>".encode() + TAIL


def document(method: str, *values: str) -> bytes:
    """A call whose parameters are given as <value> elements."""
    params = "".join(f"<param>{value}</param>" for value in values)
    call = f"<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    return b'<?xml version="1.0"?>' + call.encode()


class Client:
    """A logged-in caller with one connection to the plain listener."""

    def __init__(self, server: ServerProcess, door: str = "xenapi") -> None:
        self.server = server
        self.wire = Wire(server, door)
        self.session = login(server, door)

    def close(self) -> None:
        self.result("session.logout")
        self.wire.close()

    def send(self, method: str, *params: Any) -> tuple[str, Any]:
        """A call without a session: ("Success", value) or ("Failure", description)."""
        return api_result(self.wire.ask(xml_call(method, *params)))

    def result(self, method: str, *params: Any) -> tuple[str, Any]:
        return self.send(method, self.session, *params)

    def call(self, method: str, *params: Any) -> Any:
        """The value; a failure of the API fails the test."""
        status, value = self.result(method, *params)
        assert status == "Success", (method, value)
        return value

    def refusal(self, method: str, *params: Any) -> list[str]:
        """The ErrorDescription; a success fails the test."""
        status, value = self.result(method, *params)
        assert status == "Failure", (method, value)
        return value

    def raw(self, method: str, *values: str) -> bytes:
        """The body of the reply to parameters given as <value> elements; the session comes first by itself."""
        reply = self.ask(post(document(method, f"<value>{self.session}</value>", *values)))
        assert reply.status == 200, reply
        return reply.body

    def ask(self, data: bytes) -> Reply:
        reply = self.wire.ask(data)
        assert reply is not None, "the connection was dropped"
        return reply

    def named(self, name: str) -> str:
        (ref,) = self.call("VM.get_by_name_label", name)
        return ref

    def until(self, what: Callable[[], Any]) -> Any:
        """The first true value of `what()`; fails when there is none within PATIENCE."""
        deadline = time.monotonic() + PATIENCE
        while not (value := what()):
            assert time.monotonic() < deadline, f"still {value!r}"
            time.sleep(0.02)
        return value

    def ended(self, task: str) -> dict[str, Any]:
        """The record of a task that is not pending any more."""

        def look() -> dict[str, Any] | None:
            record = self.call("task.get_record", task)
            return None if record["status"] == "pending" else record

        return self.until(look)

    def to_state(self, vm: str, state: str) -> None:
        """Bring a VM into a power state through calls; into Running with its guest agent up, if it has one."""
        now = self.call("VM.get_power_state", vm)
        if now == state:
            return
        if now == "Suspended":
            self.call("VM.resume", vm, False, False)
        elif now == "Paused":
            self.call("VM.unpause", vm)
        elif now == "Halted":
            self.call("VM.start", vm, False, False)
        if state == "Halted":
            self.call("VM.hard_shutdown", vm)
            return
        self.until(lambda: "suspend" in self.call("VM.get_allowed_operations", vm))
        if state != "Running":
            self.call("VM.pause" if state == "Paused" else "VM.suspend", vm)
