"""kill -9 of a server that several clients are changing: what was acknowledged is there, and nothing is half."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest
from server_client import complaints
from server_process import ServerProcess, start_server

ROUNDS = 4
CLIENTS = 4
CLASSES = ("VM", "VM_metrics", "VBD", "VIF", "VDI", "SR", "host", "network", "console", "VM_guest_metrics")
# What a call may die of while the server is killed under it.
CUT_OFF = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError, EOFError)


class CallError(Exception):
    """A Failure reply."""


def checked(reply: Any) -> Any:
    if reply["Status"] != "Success":
        raise CallError(reply["ErrorDescription"])
    return reply["Value"]


class Caller:
    """One client, one session, one connection."""

    def __init__(self, server: ServerProcess) -> None:
        self.proxy = xmlrpc.client.ServerProxy(server.ready["xenapi"], allow_none=True)
        self.session = ""
        self.session = self("session.login_with_password", server.user, server.password)

    def __call__(self, method: str, *args: Any) -> Any:
        params = (self.session, *args) if self.session else args
        return checked(getattr(self.proxy, method)(*params))

    def close(self) -> None:
        self.proxy("close")()


class Changer(threading.Thread):
    """Makes changes to objects of its own, and notes what the server acknowledged.

    `names`: ref -> what its name is, for objects that exist; `gone`: refs that were destroyed. `unsure`: refs a call
    was about when the server died; either outcome is right for them.
    """

    def __init__(self, server: ServerProcess, number: int, before: Changer | None) -> None:
        super().__init__()
        self.caller = Caller(server)
        self.number = number
        self.random = random.Random(number)
        self.names: dict[str, tuple[str, str]] = dict(before.names) if before else {}
        self.power: dict[str, str] = dict(before.power) if before else {}
        self.gone: set[str] = set(before.gone) if before else set()
        self.unsure: set[str] = set()
        self.acknowledged = 0
        self.about = ""
        self.wrong: list[str] = []

    def run(self) -> None:
        try:
            while True:
                self.about = ""
                self.random.choice((self.rename, self.rename, self.make, self.destroy, self.switch, self.disk))()
                self.acknowledged += 1
        except CUT_OFF:
            self.unsure.add(self.about)
        except Exception as error:  # told by the test: a thread cannot fail one
            self.wrong.append(f"{self.about}: {error!r}")
        finally:
            self.caller.close()

    def mine(self, cls: str, *states: str) -> str:
        """One of its objects; "" if there is none like that."""
        found = [ref for ref, (kind, _) in self.names.items() if kind == cls]
        found = [ref for ref in found if not states or self.power.get(ref) in states]
        return self.random.choice(found) if found else ""

    def rename(self) -> None:
        self.about = self.mine("VM") or self.mine("VDI")
        if self.about:
            cls = self.names[self.about][0]
            name = f"{self.number}-{self.acknowledged}-{self.random.random()}"
            self.caller(f"{cls}.set_name_label", self.about, name)
            self.names[self.about] = cls, name

    def make(self) -> None:
        source = self.mine("VM", "Halted") or self.caller("VM.get_by_name_label", "build-2")[0]
        name = f"{self.number}-clone-{self.acknowledged}"
        made = self.caller("VM.clone", source, name)
        self.names[made], self.power[made] = ("VM", name), "Halted"

    def destroy(self) -> None:
        self.about = self.mine("VM", "Halted")
        if self.about and len(self.names) > 3:
            self.caller("VM.destroy", self.about)
            del self.names[self.about], self.power[self.about]
            self.gone.add(self.about)

    def switch(self) -> None:
        self.about = self.mine("VM")
        if not self.about:
            return
        try:
            if self.power[self.about] == "Halted":
                self.caller("VM.start", self.about, False, False)
                self.power[self.about] = "Running"
            else:
                self.caller("VM.hard_shutdown", self.about)
                self.power[self.about] = "Halted"
        except CallError as error:
            if "NO_HOSTS_AVAILABLE" not in str(error) and "HOST_NOT_ENOUGH_FREE_MEMORY" not in str(error):
                raise

    def disk(self) -> None:
        self.about = self.mine("VDI")
        if self.about and self.random.random() < 0.5:
            self.caller("VDI.destroy", self.about)
            del self.names[self.about]
            self.gone.add(self.about)
            return
        self.about = ""
        sr = next(ref for ref, sr in self.caller("SR.get_all_records").items() if sr["content_type"] != "iso")
        name = f"{self.number}-disk-{self.acknowledged}"
        record = {
            "name_label": name, "name_description": "", "SR": sr, "virtual_size": str(1 << 20), "type": "user",
            "sharable": False, "read_only": False, "other_config": {},
        }  # fmt: skip
        self.names[self.caller("VDI.create", record)] = "VDI", name


class Watcher(threading.Thread):
    """Follows the pool's VMs by events: `seen` is what a client knows from them at `token`."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__()
        self.caller = Caller(server)
        self.token = ""
        self.seen: dict[str, str] = {}

    def run(self) -> None:
        with contextlib.suppress(*CUT_OFF):
            while True:
                self.follow(self.caller, 5.0)
        self.caller.close()

    def follow(self, caller: Caller, timeout: float) -> None:
        batch = caller("event.from", ["VM"], self.token, timeout)
        for event in batch["events"]:
            if event["operation"] == "del":
                self.seen.pop(event["ref"], None)
            else:
                self.seen[event["ref"]] = event["snapshot"]["name_label"]
        self.token = batch["token"]


def check_whole(records: dict[str, dict[str, Any]]) -> None:
    """Every reference between records names a record, both ends of a relation agree, and nothing is under way."""
    vms = records["VM"]
    for ref, vm in vms.items():
        assert vm["metrics"] in records["VM_metrics"], vm["name_label"]
        assert vm["current_operations"] == {}, vm["name_label"]
        for field, cls in (("VBDs", "VBD"), ("VIFs", "VIF"), ("consoles", "console")):
            for device in vm[field]:
                assert records[cls][device]["VM"] == ref
        if vm["power_state"] in ("Running", "Paused"):
            assert ref in records["host"][vm["resident_on"]]["resident_VMs"]
        else:
            assert vm["resident_on"] == "OpaqueRef:NULL"
    for vbd in records["VBD"].values():
        assert vbd["VM"] in vms
        assert vbd["empty"] or vbd["VDI"] in records["VDI"]
    for vif in records["VIF"].values():
        assert vif["VM"] in vms
        assert vif["network"] in records["network"]
    for vdi in records["VDI"].values():
        assert vdi["SR"] in records["SR"]
        assert all(vbd in records["VBD"] for vbd in vdi["VBDs"])
        assert vdi["current_operations"] == {}
    owned = {vm["metrics"] for vm in vms.values()}
    assert set(records["VM_metrics"]) == owned, "measurements of VMs that do not exist"


def read_all(caller: Caller) -> dict[str, Any]:
    return {cls: caller(f"{cls}.get_all_records") for cls in CLASSES}


def check_acknowledged(changer: Changer, records: dict[str, Any]) -> None:
    for ref, (cls, name) in changer.names.items():
        if ref in changer.unsure:
            continue
        assert ref in records[cls], f"{cls} {name} was acknowledged and is lost"
        assert records[cls][ref]["name_label"] == name
        if cls == "VM":
            assert records["VM"][ref]["power_state"] == changer.power[ref]
    assert not changer.gone & (records["VM"].keys() | records["VDI"].keys())


def settle(changer: Changer, records: dict[str, Any]) -> None:
    """What the server says now is the truth about what nobody could know."""
    for ref in changer.unsure - {""}:
        cls = changer.names.get(ref, ("", ""))[0]
        if not cls or ref not in records[cls]:
            changer.names.pop(ref, None)
            changer.power.pop(ref, None)
            continue
        changer.names[ref] = cls, records[cls][ref]["name_label"]
        if cls == "VM":
            changer.power[ref] = records["VM"][ref]["power_state"]


def resume(watcher: Watcher, caller: Caller, records: dict[str, Any]) -> None:
    """A client that goes on with its token learns every change, or that it has to start again."""
    if follows(watcher, caller):
        assert watcher.seen == {ref: vm["name_label"] for ref, vm in records["VM"].items()}


def follows(watcher: Watcher, caller: Caller) -> bool:
    """Whether the token still leads on; if not, the server says EVENTS_LOST and nothing else."""
    try:
        watcher.follow(caller, 0.0)
    except CallError as error:
        if "EVENTS_LOST" not in str(error):
            raise
        return False
    return True


def test_what_clients_were_told_survives_kill_9_in_the_middle(tmp_path: Path) -> None:
    rnd = random.Random()
    options = ("--state", str(tmp_path / "state"), "--speed", "50")
    server = start_server(tmp_path / "0", *options)
    changers: list[Changer | None] = [None] * CLIENTS
    acknowledged = 0
    try:
        for number in range(1, ROUNDS + 1):
            running = [Changer(server, number * 100 + i, before) for i, before in enumerate(changers)]
            watcher = Watcher(server)
            for thread in (*running, watcher):
                thread.start()
            time.sleep(rnd.uniform(0.3, 1.5))  # the moment of death is what varies; nothing is waited for
            server.kill()
            for thread in (*running, watcher):
                thread.join(30)
                assert not thread.is_alive()
            assert complaints(server) == []
            server = start_server(tmp_path / str(number), *options)
            caller = Caller(server)
            records = read_all(caller)
            check_whole(records)
            for changer in running:
                assert changer.wrong == []
                check_acknowledged(changer, records)
                settle(changer, records)
                acknowledged += changer.acknowledged
            resume(watcher, caller, records)
            caller.close()
            changers = list(running)
        assert acknowledged > ROUNDS
        assert server.stop() == 0
        assert complaints(server) == []
    finally:
        server.kill()


def test_after_a_clean_stop_no_client_misses_a_change(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--speed", "50")
    server = start_server(tmp_path / "0", *options)
    watcher = Watcher(server)
    watcher.follow(watcher.caller, 0.0)
    (vm,) = watcher.caller("VM.get_by_name_label", "build-2")
    watcher.caller("VM.set_name_label", vm, "renamed before the stop")
    watcher.caller.close()
    assert server.stop() == 0
    server = start_server(tmp_path / "1", *options)
    try:
        caller = Caller(server)
        if not follows(watcher, caller):
            watcher.token, watcher.seen = "", {}
            assert follows(watcher, caller)
        assert watcher.seen[vm] == "renamed before the stop"
        caller.close()
    finally:
        server.kill()


def test_messages_survive_kill_9_and_sessions_do_not(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"))
    server = start_server(tmp_path / "0", *options)
    caller = Caller(server)
    (vm,) = caller("VM.get_by_name_label", "build-2")
    message = caller("message.create", "NOTE", "3", "VM", caller("VM.get_uuid", vm), "kept until it is destroyed")
    gone = caller("message.create", "NOTE", "3", "VM", caller("VM.get_uuid", vm), "destroyed")
    caller("message.destroy", gone)
    caller.close()
    server.kill()
    old = caller.session
    server = start_server(tmp_path / "1", *options)
    caller = Caller(server)
    try:
        with pytest.raises(CallError, match="SESSION_INVALID"):
            checked(caller.proxy.VM.get_all(old))
        assert caller("message.get_all") == [message]
        assert caller("message.get_record", message)["body"] == "kept until it is destroyed"
    finally:
        caller.close()
        server.kill()
