"""`xencim bridge`: the WBEM face of a pool in another process, with pywbem as the client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
import XenAPI
from clients import cs_path, vm_named, wait_until
from server_process import ServerProcess, start_bridge, start_server, until_done

Login = Callable[..., Any]
Open = Callable[..., pywbem.WBEMConnection]

START = pywbem.Uint16(2)
HOUR = pywbem.CIMDateTime("00000000010000.000000:000")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from until_done(start_server(tmp_path_factory.mktemp("pool"), "--speed", "20"))


@pytest.fixture(scope="module")
def shared_bridge(pool: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    yield from until_done(start_bridge(tmp_path_factory.mktemp("bridge"), pool.ready["xenapi"]))


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """A function that starts bridges which end with the test."""
    started: list[ServerProcess] = []

    def start(pool_url: str, *options: str, **more: Any) -> ServerProcess:
        started.append(start_bridge(tmp_path / f"bridge-{len(started)}", pool_url, *options, **more))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def connect() -> Iterator[Open]:
    """connect(server, user, password): a pywbem connection to root/cimv2 that is closed with the test."""
    opened: list[pywbem.WBEMConnection] = []

    def one(server: ServerProcess, user: str = "root", password: str = "xencim") -> pywbem.WBEMConnection:
        opened.append(
            pywbem.WBEMConnection(server.ready["wbem"], (user, password), default_namespace="root/cimv2", timeout=30)
        )
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


def values(connection: pywbem.WBEMConnection, cls: str, name: str) -> list[Any]:
    return [instance[name] for instance in connection.EnumerateInstances(cls)]


@pytest.mark.parametrize(
    "cls",
    [
        "Xen_ComputerSystem", "Xen_HostComputerSystem", "CIM_SettingData", "CIM_LogicalDevice", "CIM_Dependency",
        "CIM_Component", "CIM_SoftwareIdentity",
    ],
)  # fmt: skip
def test_the_bridge_shows_what_the_pool_itself_shows(
    pool: ServerProcess, shared_bridge: ServerProcess, connect: Open, cls: str
) -> None:
    there, here = (
        # what is measured is another test: the hosts of this pool have one endpoint, which tells of one of them
        {str(i.path).lower(): dict(i) for i in connect(server).EnumerateInstances(cls) if "Metric" not in i.classname}
        for server in (pool, shared_bridge)
    )
    assert there
    assert here == there


def test_a_request_through_the_bridge_changes_the_pool_and_its_job_is_readable_at_once(
    pool: ServerProcess, shared_bridge: ServerProcess, connect: Open, login: Login
) -> None:
    api, connection = login(pool), connect(shared_bridge)
    path = cs_path(api, vm_named(api, "db-2"))
    value, out = connection.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(2))
    assert value == 4096
    wait_until(lambda: connection.GetInstance(out["Job"])["JobState"] == 7)
    assert api.VM.get_power_state(vm_named(api, "db-2")) == "Running"
    assert connection.GetInstance(path)["EnabledState"] == 2


def test_what_a_xenapi_client_changes_is_seen_through_the_bridge(
    pool: ServerProcess, shared_bridge: ServerProcess, connect: Open, login: Login
) -> None:
    api, connection = login(pool), connect(shared_bridge)
    api.VM.set_name_description(vm_named(api, "web-0"), "seen over the bridge")
    wait_until(lambda: "seen over the bridge" in values(connection, "Xen_ComputerSystem", "Description"))


def test_measurements_of_every_host_that_answers_are_shown_as_metrics(
    serve: Callable[..., ServerProcess], bridge: Callable[..., ServerProcess], connect: Open
) -> None:
    pool = serve("--endpoints-per-host", "--speed", "10")
    there, here = connect(pool), connect(bridge(pool.ready["xenapi"]))

    def measured(connection: pywbem.WBEMConnection) -> set[str]:
        return {path["InstanceID"] for path in connection.EnumerateInstanceNames("Xen_MetricValue")}

    assert wait_until(lambda: (found := measured(there)) and measured(here) == found)


def test_users_of_the_bridge_are_users_of_the_pool(shared_bridge: ServerProcess, connect: Open) -> None:
    with pytest.raises(pywbem.AuthError):
        connect(shared_bridge, password="wrong").EnumerateInstanceNames("Xen_ComputerSystem")


def test_a_read_only_user_of_the_pool_reads_and_changes_nothing(
    tmp_path: Path,
    serve: Callable[..., ServerProcess],
    bridge: Callable[..., ServerProcess],
    connect: Open,
    login: Login,
) -> None:
    users = tmp_path / "users"
    add = [sys.executable, "-m", "xenapi_core.cli.main", "user", "add", "--users", str(users)]
    for user, role in (("viewer", "read-only"), ("admin", "pool-admin")):
        given = [*add, user, "--role", role, "--password-stdin"]
        subprocess.run(given, input="secret\n", text=True, check=True, capture_output=True)
    pool = serve("--users", str(users))
    connection = connect(bridge(pool.ready["xenapi"], "--user", "viewer", password="secret"), "viewer", "secret")
    machine = next(i.path for i in connection.EnumerateInstances("Xen_ComputerSystem") if i["EnabledState"] == 2)
    with pytest.raises(pywbem.CIMError) as refused:
        connection.InvokeMethod("RequestStateChange", machine, RequestedState=pywbem.Uint16(11))
    assert refused.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
    api = login(pool, "admin", "secret")
    task = api.task.create("of another user", "")
    (job,) = wait_until(lambda: connection.EnumerateInstances("Xen_ConcreteJob"))
    job["DeleteOnCompletion"] = False
    with pytest.raises(pywbem.CIMError) as refused:
        connection.ModifyInstance(job, PropertyList=["DeleteOnCompletion"])
    assert refused.value.status_code == pywbem.CIM_ERR_ACCESS_DENIED
    assert api.task.get_other_config(task) == {}


def test_over_tls_the_fingerprint_decides(
    pool: ServerProcess, bridge: Callable[..., ServerProcess], connect: Open
) -> None:
    url, fingerprint = pool.ready["xenapi_tls"], pool.ready["tls_fingerprint"]
    assert connect(bridge(url, "--fingerprint", fingerprint)).EnumerateInstanceNames("Xen_ComputerSystem")
    with pytest.raises(AssertionError, match="another certificate than the one with that fingerprint"):
        bridge(url, "--fingerprint", "00" * 32)
    with pytest.raises(AssertionError, match="is not trusted"):
        bridge(url)


def test_a_wrong_password_of_the_service_account_is_one_sentence(
    pool: ServerProcess, bridge: Callable[..., ServerProcess]
) -> None:
    with pytest.raises(AssertionError, match="does not let root in: SESSION_AUTHENTICATION_FAILED") as told:
        bridge(pool.ready["xenapi"], password="wrong")
    assert "Traceback" not in str(told.value)


def test_a_pool_that_is_not_there_is_one_sentence(bridge: Callable[..., ServerProcess]) -> None:
    with pytest.raises(AssertionError, match=r"http://127\.0\.0\.1:9 cannot be reached: Connection refused\n") as told:
        bridge("http://127.0.0.1:9")
    assert "Traceback" not in str(told.value)


def test_the_name_of_the_pool_is_plain_text_on_the_start_page_of_a_bridge(
    pool: ServerProcess, bridge: Callable[..., ServerProcess], login: Login
) -> None:
    names, (ref,) = login(pool).pool, login(pool).pool.get_all()
    before = names.get_name_label(ref)
    names.set_name_label(ref, "[red]lab\x9b2J\n")
    try:
        started = bridge(pool.ready["xenapi"])
    finally:
        names.set_name_label(ref, before)
    wait_until(lambda: "pywbemcli" in started.output, 30)
    unprintable = "\N{REPLACEMENT CHARACTER}"
    assert f"“[red]lab{unprintable}2J{unprintable}”" in started.output


def test_a_start_page_that_nobody_reads_does_not_end_the_bridge(pool: ServerProcess, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "xenapi_core.cli.main", "bridge", pool.ready["xenapi"]]
    command += ["--wbem-port=0", "--wbem-tls-port=-1", "--ready-file", str(ready)]
    environment = {**os.environ, "XENCIM_POOL_PASSWORD": "xencim"}
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment) as process:
        os.close(writer)
        try:
            wait_until(ready.exists, 30)
            credentials = ("root", "xencim")
            with pywbem.WBEMConnection(json.loads(ready.read_text())["wbem"], credentials, timeout=30) as connection:
                assert connection.EnumerateInstanceNames("Xen_ComputerSystem", "root/cimv2")
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")


def test_a_bridge_that_would_listen_nowhere_is_wrong_usage(bridge: Callable[..., ServerProcess]) -> None:
    with pytest.raises(AssertionError, match="nothing to serve"):
        bridge("http://127.0.0.1:9", "--wbem-port=-1", "--wbem-tls-port=-1")


def test_the_bridge_outlives_a_restart_of_the_pool(
    tmp_path: Path,
    serve: Callable[..., ServerProcess],
    bridge: Callable[..., ServerProcess],
    connect: Open,
    login: Login,
) -> None:
    first = serve("--state", str(tmp_path / "state"))
    between = bridge(first.ready["xenapi"])
    connection = connect(between)
    assert values(connection, "Xen_HostComputerSystem", "OperationalStatus") == [[2], [2], [2]]
    first.stop()
    no_contact = [[12], [12], [12]]
    wait_until(lambda: values(connection, "Xen_HostComputerSystem", "OperationalStatus") == no_contact)
    machine = next(i.path for i in connection.EnumerateInstances("Xen_ComputerSystem") if i["EnabledState"] == 2)
    value, _ = connection.InvokeMethod("RequestStateChange", machine, RequestedState=pywbem.Uint16(11))
    assert value not in (0, 4096), "neither done nor begun"
    second = serve("--state", str(tmp_path / "state"), "--xenapi-port", first.ready["xenapi"].rsplit(":", 1)[1])
    api = login(second)
    api.VM.set_name_label(vm_named(api, "web-1"), "renamed meanwhile")
    wait_until(lambda: "renamed meanwhile" in values(connection, "Xen_ComputerSystem", "ElementName"), 40)
    assert values(connection, "Xen_HostComputerSystem", "OperationalStatus") == [[2], [2], [2]]
    value, _ = connection.InvokeMethod("RequestStateChange", cs_path(api, vm_named(api, "db-2")), RequestedState=START)
    assert value == 4096, "the user's session ended with the pool's first life, and nobody noticed"
    assert connect(between).EnumerateInstanceNames("Xen_ComputerSystem") != []
    assert second.password not in between.output.replace("xencim bridge", "")


def test_a_bridge_answers_as_a_predecessor_did_if_asked(
    pool: ServerProcess, bridge: Callable[..., ServerProcess], connect: Open
) -> None:
    connection = connect(bridge(pool.ready["xenapi"], "--cim-compat", "libvirt-cim"))
    machines = connection.EnumerateInstanceNames("Xen_ComputerSystem", namespace="root/virt")
    assert "web-0" in {path["Name"] for path in machines}


def done_job(api: Any, connection: pywbem.WBEMConnection, machine: str) -> pywbem.CIMInstance:
    """The ended job of a request through the bridge."""
    path = cs_path(api, vm_named(api, machine))
    value, out = connection.InvokeMethod("RequestStateChange", path, RequestedState=pywbem.Uint16(11))
    assert value == 4096
    wait_until(lambda: connection.GetInstance(out["Job"])["JobState"] == 7)
    return connection.GetInstance(out["Job"])


def test_what_a_client_sets_of_a_job_is_kept_by_the_pool_behind_the_bridge(
    pool: ServerProcess, shared_bridge: ServerProcess, connect: Open, login: Login
) -> None:
    api, connection = login(pool), connect(shared_bridge)
    job = done_job(api, connection, "web-0")
    assert (job["DeleteOnCompletion"], str(job["TimeBeforeRemoval"])) == (True, "00000000000500.000000:000")
    job["DeleteOnCompletion"], job["TimeBeforeRemoval"] = False, HOUR
    connection.ModifyInstance(job)
    for server in (shared_bridge, pool):
        seen = connect(server).GetInstance(job.path)
        assert (seen["DeleteOnCompletion"], seen["TimeBeforeRemoval"]) == (False, HOUR)
    task = api.task.get_by_uuid(job["InstanceID"].removeprefix("Xen:"))
    told = api.task.get_other_config(task)
    assert (told["cim-delete-on-completion"], told["cim-time-before-removal"]) == ("false", "3600")
    job["DeleteOnCompletion"] = True
    connection.ModifyInstance(job, PropertyList=["DeleteOnCompletion"])
    assert "cim-delete-on-completion" not in api.task.get_other_config(task)
    assert connection.GetInstance(job.path)["TimeBeforeRemoval"] == HOUR


def test_a_job_behind_the_bridge_outlives_its_task_and_is_deleted_by_its_client(
    pool: ServerProcess, shared_bridge: ServerProcess, connect: Open, login: Login
) -> None:
    api, connection = login(pool), connect(shared_bridge)
    kept, dropped = done_job(api, connection, "web-0"), done_job(api, connection, "web-0")
    api.task.destroy(api.task.get_by_uuid(kept["InstanceID"].removeprefix("Xen:")))
    uuid = dropped["InstanceID"].removeprefix("Xen:")
    assert connection.GetInstance(kept.path)["JobState"] == 7
    for job in (kept, dropped):
        connection.DeleteInstance(job.path)
        with pytest.raises(pywbem.CIMError) as gone:
            connection.GetInstance(job.path)
        assert gone.value.status_code == pywbem.CIM_ERR_NOT_FOUND
    with pytest.raises(XenAPI.Failure, match="UUID_INVALID"):
        api.task.get_by_uuid(uuid)
