"""A host changes pools: two real servers, one of which joins the pool of the other and leaves it again."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import XenAPI
from authority import issue
from clients import logged_in, opened, vm_named, wait_until
from server_client import Wire, api_result, cim_call, complaints, json_call, xml_call
from server_process import ServerProcess

GIB = 1 << 30
COORDINATOR = ("--endpoints-per-host", "--hosts", "2", "--vms", "2", "--seed", "pool", "--speed", "50")
LONE = ("--endpoints-per-host", "--hosts", "1", "--srs", "0", "--bind", "127.0.0.9", "--seed", "lone", "--speed", "50")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def client(stack: ExitStack, server: ServerProcess, url: str = "") -> Any:
    return logged_in(stack, url or server.ready["xenapi"], server.user, server.password).xenapi


def place(server: ServerProcess, door: str = "xenapi_tls") -> str:
    """host:port of a listener."""
    return urlsplit(server.ready[door]).netloc


def refusal(call: Callable[..., Any], *args: Any) -> list[str]:
    with pytest.raises(XenAPI.Failure) as refused:
        call(*args)
    return refused.value.details


def switch_off(xenapi: Any) -> None:
    for vm, record in xenapi.VM.get_all_records().items():
        if record["power_state"] == "Running" and not record["is_control_domain"]:
            xenapi.VM.hard_shutdown(vm)


def test_a_host_joins_with_its_vms_and_storage_and_leaves_again(
    serve: Callable[..., ServerProcess], stack: ExitStack, tmp_path: Path
) -> None:
    pool, lone = serve(*COORDINATOR), serve(*LONE, "--vms", "2", "--state", str(tmp_path / "state"))
    there, here = client(stack, pool), client(stack, lone)
    args = (place(pool), pool.user, pool.password)
    assert refusal(here.pool.join, *args) == ["JOINING_HOST_CANNOT_HAVE_RUNNING_VMS"]
    switch_off(here)
    (host,) = here.host.get_all()
    uuid = here.host.get_uuid(host)
    local = here.SR.create(host, {"device": "/dev/sdb"}, str(64 * GIB), "local", "", "lvm", "user", False, {})
    disk = here.VDI.create({
        "name_label": "data", "SR": local, "virtual_size": str(GIB), "type": "user", "sharable": False,
        "read_only": False, "other_config": {},
    })  # fmt: skip
    disk_uuid = here.VDI.get_uuid(disk)
    module = here.VTPM.get_uuid(here.VTPM.create(vm_named(here, "web-0"), False))
    names = {record["name_label"] for record in here.VM.get_all_records().values() if not record["is_a_template"]}

    tagged = there.network.create({"name_label": "tagged", "name_description": "", "other_config": {}})
    first = there.pool.get_master(there.pool.get_all()[0])
    carrier = next(pif for pif, one in there.PIF.get_all_records().items() if one["host"] == first and one["physical"])
    there.VLAN.create(carrier, "77", tagged)
    private = there.network.create({"name_label": "private", "name_description": "", "other_config": {}})
    there.tunnel.create(there.host.get_management_interface(first), private, "vxlan")
    there.pool.add_to_guest_agent_config(there.pool.get_all()[0], "auto_update_enabled", "false")

    here.pool.install_ca_certificate("lone.pem", issue("lone", int(time()), authority=True).pem)
    there.pool.install_ca_certificate("pool.pem", issue("pool", int(time()), authority=True).pem)

    there.SDN_controller.introduce("pssl", "", "0")

    here.pool.join(*args)

    assert {"lone.pem", "pool.pem"} <= set(there.pool.certificate_list())
    member = there.host.get_by_uuid(uuid)
    assert "sdn_controller is now 'pssl::6632'" in there.host.get_log(member)
    assert there.host.get_address(member) == "127.0.0.9"
    assert there.host_metrics.get_live(there.host.get_metrics(member)) is True
    carried = [there.PIF.get_record(pif) for pif in there.network.get_PIFs(tagged)]
    assert {(pif["host"], pif["VLAN"]) for pif in carried} == {(first, "77"), (member, "77")}
    assert {there.PIF.get_host(pif) for pif in there.network.get_PIFs(private)} == {first, member}
    assert "guest_agent_auto_update is now 'false'" in there.host.get_log(member)
    owner = there.VTPM.get_VM(there.VTPM.get_by_uuid(module))
    assert there.VM.get_name_label(owner) == "web-0"
    assert disk_uuid in {record["uuid"] for record in there.VDI.get_all_records().values()}
    everything = there.VM.get_all_records().values()
    assert names <= {record["name_label"] for record in everything}
    templates = [record["name_label"] for record in everything if record["is_default_template"]]
    assert len(templates) == len(set(templates)), "the pool has built-in templates of its own"
    networks = there.network.get_all_records().values()
    assert len({network["bridge"] for network in networks}) == len(networks), "one network for each bridge"
    attached = [there.PBD.get_record(pbd) for pbd in there.host.get_PBDs(member)]
    shared = {sr for sr, record in there.SR.get_all_records().items() if record["shared"]}
    assert {pbd["SR"] for pbd in attached} == shared | {there.SR.get_by_name_label("local")[0]}
    assert all(pbd["currently_attached"] for pbd in attached)
    moved = next(vm for vm, record in there.VM.get_all_records().items() if record["name_label"] == "web-0"
                 and record["power_state"] == "Halted")  # fmt: skip
    there.VM.start_on(moved, member, False, False)
    assert there.VM.get_resident_on(moved) == member

    away = ["HOST_IS_SLAVE", "127.0.0.1"]
    assert refusal(client, stack, lone) == away
    assert refusal(here.VM.get_all) == away
    with Wire(lone, "wbem_tls") as wire:
        reply = wire.ask(cim_call("EnumerateClassNames"))
    assert reply is not None
    assert (reply.status, b"coordinator, 127.0.0.1." in reply.body) == (503, True)
    assert refusal(there.pool.designate_new_master, member)[0] == "OPERATION_NOT_ALLOWED"

    assert refusal(there.pool.eject, member) == ["OPERATION_NOT_ALLOWED", "VM resident on host"]
    there.VM.hard_shutdown(moved)
    there.pool.eject(member)
    with Wire(lone, "wbem_tls") as wire:
        reply = wire.ask(cim_call("EnumerateClassNames"))
    assert reply is not None
    assert reply.status == 200, "a pool of one has its WBEM server again"
    again = client(stack, lone)
    assert [again.host.get_uuid(ref) for ref in again.host.get_all()] == [uuid]
    assert again.SR.get_all() == []
    assert {record["name_label"] for record in again.VM.get_all_records().values() if not record["is_a_template"]} == {
        "Control domain on host: host-0"
    }
    again.pool.join(*args)
    assert there.host.get_by_uuid(uuid)
    assert complaints(pool) + complaints(lone) == []


def test_a_member_stays_one_after_a_restart_and_tells_when_it_has_lost_its_coordinator(
    serve: Callable[..., ServerProcess], stack: ExitStack, tmp_path: Path
) -> None:
    options = (*LONE, "--vms", "0", "--state", str(tmp_path / "state"))
    pool, lone = serve(*COORDINATOR, "--state", str(tmp_path / "pool")), serve(*options)
    here = client(stack, lone)
    uuid = here.host.get_uuid(here.host.get_all()[0])
    here.pool.join_force(place(pool), pool.user, pool.password)
    assert lone.stop() == 0
    lone = serve(*options)
    session = opened(stack, lone.ready["xenapi"])
    session.slave_local_login_with_password(lone.user, lone.password)
    assert session.xenapi.host.is_in_emergency_mode() is False
    there = client(stack, pool)
    member = there.host.get_by_uuid(uuid)

    def rotated() -> bool:
        """Whether the coordinator knows where the member is now."""
        try:
            there.pool.rotate_secret()
        except XenAPI.Failure as failure:
            if failure.details != ["CANNOT_CONTACT_HOST", member]:
                raise
            return False
        return True

    wait_until(rotated)
    assert there.pool.get_is_psr_pending(there.pool.get_all()[0]) is False
    url = "http://" + lone.ready["socket"].replace("/", "_")
    root = logged_in(stack, url, "nobody", "asks for it", transport=XenAPI.UDSTransport()).xenapi
    assert root.host.get_uuid(member) == uuid, "the member shows the coordinator the new secret"
    assert pool.stop() == 0
    assert session.xenapi.host.is_in_emergency_mode() is True
    pool = serve(*COORDINATOR, "--state", str(tmp_path / "pool"))
    there = client(stack, pool)
    assert there.host.get_by_uuid(uuid)
    session.xenapi.pool.emergency_reset_master(place(pool))
    assert session.xenapi.host.is_in_emergency_mode() is False
    session.xenapi.pool.emergency_transition_to_master()
    assert client(stack, lone).host.get_all_records().popitem()[1]["uuid"] == uuid
    assert complaints(pool) + complaints(lone) == []


def test_root_at_the_unix_socket_of_a_member_reaches_the_coordinator(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    pool, lone = serve(*COORDINATOR), serve(*LONE, "--vms", "0")
    here, there = client(stack, lone), client(stack, pool)
    here.pool.join(place(pool), pool.user, pool.password)
    url = "http://" + lone.ready["socket"].replace("/", "_")
    session = logged_in(stack, url, "nobody", "asks for it", transport=XenAPI.UDSTransport())
    root = session.xenapi
    assert root.VM.get_all() == there.VM.get_all()
    assert root.session.get_pool(session._session) is True
    assert root.host.get_address(root.session.get_this_host(session._session)) == "127.0.0.1"
    with Wire(lone, "socket") as wire:
        assert api_result(wire.ask(json_call("VM.get_all", [session._session]))) == ("Success", there.VM.get_all())
        assert api_result(wire.ask(xml_call("session.slave_login", "x", "y"))) == (
            "Failure", ["HOST_IS_SLAVE", "127.0.0.1"],
        )  # fmt: skip
        status, local = api_result(wire.ask(xml_call("session.slave_local_login_with_password", "root", "")))
        assert status == "Success"
        assert api_result(wire.ask(xml_call("host.is_in_emergency_mode", local))) == ("Success", False)
        assert pool.stop() == 0
        assert api_result(wire.ask(xml_call("VM.get_all", "any"))) == (
            "Failure", ["CANNOT_CONTACT_HOST", "127.0.0.1"],
        )  # fmt: skip
        assert api_result(wire.ask(xml_call("pool.emergency_transition_to_master", local))) == ("Success", "")
        assert api_result(wire.ask(xml_call("session.login_with_password", "", "")))[0] == "Success"
    assert complaints(pool) + complaints(lone) == []


def test_a_host_joins_through_the_plain_port_and_without_endpoints_of_its_own(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    pool = serve("--hosts", "1", "--vms", "0", "--seed", "pool", "--xenapi-tls-port", "-1")
    lone = serve("--hosts", "1", "--vms", "0", "--srs", "0", "--seed", "lone", "--xenapi-tls-port", "-1")
    here, there = client(stack, lone), client(stack, pool)
    task = here.Async.pool.join(pool.ready["xenapi"], pool.user, pool.password)
    wait_until(lambda: len(there.host.get_all()) == 2)
    assert task.startswith("OpaqueRef:")
    assert wait_until(lambda: refusal(here.task.get_status, task)) == ["HOST_IS_SLAVE", "127.0.0.1"]


def test_what_keeps_a_host_from_joining_is_told_and_changes_nothing(
    serve: Callable[..., ServerProcess], stack: ExitStack
) -> None:
    pool, lone = serve(*COORDINATOR), serve(*LONE, "--vms", "0")
    here, there = client(stack, lone), client(stack, pool)
    join, user, password = here.pool.join, pool.user, pool.password
    nowhere = ["JOINING_HOST_CONNECTION_FAILED"]
    assert refusal(join, "127.0.0.77:1", user, password) == nowhere
    assert refusal(join, "no address/at all", user, password) == nowhere
    assert refusal(join, pool.ready["wbem"], user, password) == nowhere
    assert refusal(join, place(pool), user, "wrong")[:2] == ["SESSION_AUTHENTICATION_FAILED", user]
    (member,) = [urls for urls in pool.ready["endpoints"].values() if "127.0.0.2" in urls["xenapi"]]
    assert refusal(join, member["xenapi_tls"], user, password) == ["HOST_IS_SLAVE", "127.0.0.1"]
    assert refusal(there.pool.join, place(lone), user, password) == ["JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS"]
    assert refusal(here.pool.join, place(lone), user, password)[0] == "OPERATION_NOT_ALLOWED"
    assert len(there.host.get_all()) == 2
    assert len(here.host.get_all()) == 1
    assert vm_named(here, "Control domain on host: host-0")


def test_records_are_taken_from_members_alone(serve: Callable[..., ServerProcess], stack: ExitStack) -> None:
    pool = serve(*COORDINATOR)
    there = client(stack, pool)
    secret = there.pool.initial_auth()
    assert secret not in pool.output
    address = urlsplit(pool.ready["xenapi"])
    for cookie, expected in (("", b"SESSION_AUTHENTICATION_FAILED"), (f"pool_secret={secret}", b"INVALID_VALUE")):
        for body in (b"", b"[]", b'[["host", "OpaqueRef:x"]]', b'[["role", "OpaqueRef:x", "{}"]]', b"[[1, 2, 3]]"):
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
            connection.request("POST", "/pool/members", body, {"Cookie": cookie})
            assert expected in connection.getresponse().read()
            connection.close()
    assert len(there.host.get_all()) == 2
    assert complaints(pool) == []
