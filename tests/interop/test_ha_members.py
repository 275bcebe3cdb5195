"""What members of a pool tell each other, as root at the Unix socket says it with the PyPI XenAPI client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import XenAPI
from clients import free_port, logged_in
from server_process import ServerProcess


@pytest.fixture
def root() -> Iterator[Callable[[ServerProcess], Any]]:
    """root(server): the `xenapi` proxy of a session at the socket of a server, where members' messages are answered."""
    with ExitStack() as stack:

        def at_socket(server: ServerProcess) -> Any:
            url = "http://" + server.ready["socket"].replace("/", "_")
            return logged_in(stack, url, "root", "", transport=XenAPI.UDSTransport()).xenapi

        yield at_socket


def refusal(call: Callable[..., Any], *args: Any) -> list[str]:
    with pytest.raises(XenAPI.Failure) as failure:
        call(*args)
    return list(failure.value.details)


def test_what_hosts_keep_of_high_availability_outlives_the_server(
    serve: Callable[..., ServerProcess], root: Callable[[ServerProcess], Any], tmp_path: Path
) -> None:
    options = ("--vms", "0", "--hosts", "3", "--state", str(tmp_path / "state"))
    first = serve(*options)
    pool = root(first)
    (ref,) = pool.pool.get_all()
    coordinator = pool.pool.get_master(ref)
    stays, leaves = (host for host in pool.host.get_all() if host != coordinator)
    pool.pool.enable_ha([], {})
    (statefile,) = pool.pool.get_ha_statefiles(ref)
    assert all(len(pool.host.get_ha_network_peers(host)) == 3 for host in pool.host.get_all())
    assert refusal(pool.host.ha_join_liveset, leaves) == ["HA_HEARTBEAT_DAEMON_STARTUP_FAILED"]
    assert refusal(pool.host.ha_release_resources, leaves) == ["HA_HOST_IS_ARMED", leaves]
    pool.host.ha_disarm_fencing(leaves)
    pool.host.ha_stop_daemon(leaves)
    pool.host.ha_wait_for_shutdown_via_statefile(leaves)
    pool.host.ha_disable_failover_decisions(stays)
    pool.host.set_localdb_key(coordinator, "ha.armed", "false")
    pool.host.propose_new_master(pool.host.get_address(stays), True)
    assert pool.host.ha_xapi_healthcheck() is True
    assert pool.host.tickle_heartbeat(stays, {"time": "0"}) == {}
    assert first.stop() == 0

    pool = root(serve(*options))
    assert pool.pool.get_ha_enabled(ref)
    assert [len(pool.host.get_ha_network_peers(host)) for host in (coordinator, stays, leaves)] == [2, 2, 0]
    assert refusal(pool.host.emergency_ha_disable, False) == ["HA_NOT_ENABLED"]
    gone = refusal(pool.host.commit_new_master, pool.host.get_address(stays))
    assert gone[0] == "HA_ABORT_NEW_MASTER", "agreements end with the server"
    pool.host.ha_join_liveset(leaves)
    assert len(pool.host.get_ha_network_peers(leaves)) == 3
    pool.pool.disable_ha()
    assert [pool.host.get_ha_statefiles(host) for host in pool.host.get_all()] == [[], [], []]
    assert refusal(pool.VDI.get_uuid, statefile)[0] == "HANDLE_INVALID"


def test_hosts_are_configured_and_the_coordinator_is_changed_step_by_step(
    serve: Callable[..., ServerProcess], root: Callable[[ServerProcess], Any]
) -> None:
    pool = root(serve("--vms", "0", "--hosts", "2"))
    (ref,) = pool.pool.get_all()
    coordinator = pool.pool.get_master(ref)
    (member,) = (host for host in pool.host.get_all() if host != coordinator)
    shared = next(
        sr for sr, record in pool.SR.get_all_records().items() if record["shared"] and record["type"] == "nfs"
    )
    values = {"type": "ha_statefile", "virtual_size": "4194304", "sharable": True, "read_only": False}
    disk = pool.VDI.create({"name_label": "heartbeat", "SR": shared, "other_config": {}, **values})
    for host in (coordinator, member):
        pool.host.preconfigure_ha(host, [disk], disk, "1")
        pool.host.ha_join_liveset(host)
    assert len(pool.host.get_ha_network_peers(member)) == 2
    for host in (coordinator, member):
        pool.host.ha_stop_daemon(host)
        assert refusal(pool.VDI.destroy, disk) == ["VDI_IN_USE", disk, "destroy"]
        pool.host.ha_release_resources(host)
    pool.VDI.destroy(disk)

    here, there = (pool.host.get_address(host) for host in (coordinator, member))
    pool.host.propose_new_master(there, True)
    assert refusal(pool.host.propose_new_master, here, True)[0] == "HA_ABORT_NEW_MASTER"
    pool.host.abort_new_master(there)
    pool.host.propose_new_master(here, True)
    pool.host.commit_new_master(here)
    pool.host.propose_new_master(there, True)
    pool.host.commit_new_master(there)
    assert pool.pool.get_master(ref) == member
    pool.host.update_master(coordinator, there)
    assert refusal(pool.host.update_master, coordinator, here)[0] == "OPERATION_NOT_ALLOWED"


def test_server_of_a_joined_host_is_told_where_the_coordinator_is(
    serve: Callable[..., ServerProcess], root: Callable[[ServerProcess], Any]
) -> None:
    pool = serve("--vms", "0", "--endpoints-per-host", "--hosts", "2", "--seed", "pool")
    lone = serve("--vms", "0", "--endpoints-per-host", "--hosts", "1", "--srs", "0", "--bind", "127.0.0.9")
    place = urlsplit(pool.ready["xenapi_tls"]).netloc
    here, there = root(lone), root(pool)
    uuid = here.host.get_all_records().popitem()[1]["uuid"]
    here.pool.join(place, pool.user, pool.password)
    member = there.host.get_by_uuid(uuid)
    there.host.update_master(member, f"127.0.0.1:{free_port()}")
    assert refusal(root, lone)[0] == "CANNOT_CONTACT_HOST"
    there.host.update_master(member, place)
    assert root(lone).host.get_by_uuid(uuid) == member
