"""The contract of `xencim serve`: options, ready file, determinism, durability, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import XenAPI
from authority import issue, key
from clients import wait_until
from server_client import Wire, api_result, xml_call
from server_process import start_server

from xenapi_core.clock import RealClock
from xenapi_core.server.tls import ensure_certificate, fingerprint
from xenapi_core.wire.trust_steps import OF_MEMBERS, GenBundle, Write, encode

SERVE = [sys.executable, "-m", "xenapi_core.cli.main", "serve"]
FREE = [f"--{name}-port=0" for name in ("xenapi", "xenapi-tls", "wbem", "wbem-tls")]


def refused(tmp_path: Path, *options: str) -> str:
    """The error of a server that must not start."""
    done = subprocess.run(
        [*SERVE, *FREE, "--socket", str(tmp_path / "s.sock"), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: "), done.stderr
    return lines[-1]


def inventory(xenapi):
    found = {}
    for cls in ("VM", "host", "network", "SR", "VDI", "VBD", "VIF", "PIF", "PBD", "pool"):
        for ref, record in getattr(xenapi, cls).get_all_records().items():
            found[ref] = (cls, record["uuid"], record.get("name_label"))
    return found


def test_ready_file_names_every_endpoint(serve):
    server = serve()
    assert set(server.ready) == {"pid", "xenapi", "xenapi_tls", "socket", "wbem", "wbem_tls", "tls_fingerprint"}
    assert server.ready["pid"] == server.process.pid
    assert len(server.ready["tls_fingerprint"].split(":")) == 32
    assert server.stop() == 0
    assert not Path(server.ready["socket"]).exists()


def test_the_same_seed_gives_the_same_pool_and_another_seed_another(serve, login):
    first, second, other = (inventory(login(serve("--seed", seed))) for seed in ("a", "a", "b"))
    assert first == second
    assert {name for _, _, name in first.values()} == {name for _, _, name in other.values()}
    assert not {uuid for _, uuid, _ in first.values()} & {uuid for _, uuid, _ in other.values()}


def test_a_machine_keeps_its_uuid_when_the_pool_grows(serve, login):
    small, large = (login(serve("--vms", vms, "--hosts", hosts)) for vms, hosts in (("2", "1"), ("40", "5")))
    assert len({x.VM.get_uuid(x.VM.get_by_name_label("web-0")[0]) for x in (small, large)}) == 1


def test_counts_can_be_zero(serve, login):
    xenapi = login(serve("--vms", "0", "--networks", "0", "--srs", "0", "--templates", "0", "--hosts", "1"))
    assert len(xenapi.host.get_all()) == 1
    assert [xenapi.VM.get_is_control_domain(vm) for vm in xenapi.VM.get_all()] == [True]
    assert xenapi.network.get_all() == xenapi.SR.get_all() == []


def test_sigterm_finishes_a_request_in_progress(serve, login):
    server = serve("--speed", "4")
    xenapi = login(server)
    vm = xenapi.VM.get_by_name_label("db-2")[0]
    with subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys, XenAPI; s = XenAPI.Session(sys.argv[1]); s.login_with_password('root', 'xencim');"
            "print('in', flush=True); print(s.xenapi.VM.start(sys.argv[2], False, False) == '')",
            server.ready["xenapi"], vm,
        ],
        stdout=subprocess.PIPE, text=True,
    ) as client:  # fmt: skip
        assert client.stdout
        assert client.stdout.readline() == "in\n"
        while not xenapi.VM.get_current_operations(vm):
            pass
        server.process.send_signal(signal.SIGTERM)
        assert client.stdout.readline() == "True\n"
        assert client.wait(30) == 0
    assert server.process.wait(20) == 0


@pytest.mark.parametrize("call", ["event_from", "event.next"])
def test_sigterm_answers_a_client_that_waits_for_events(serve, login, call):
    server = serve()
    xenapi = login(server)
    waiting = login(server)
    token = xenapi.event_from(["VM"], "", 5.0)["token"]
    waiting.event.register(["VM"])
    with ThreadPoolExecutor(1) as pool:
        if call == "event_from":
            answer = pool.submit(waiting.event_from, ["VM"], token, 3600.0)
        else:
            answer = pool.submit(waiting.event.next)
        assert not wait([answer], timeout=1.0).done  # it is blocked
        assert server.stop() == 0
        told = answer.result(20)
    assert (told["events"] if call == "event_from" else told) == []


def test_state_survives_sigterm_and_kill(tmp_path, login):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state), "--speed", "20")
    xenapi = login(server)
    before = inventory(xenapi)
    vm = xenapi.VM.get_by_name_label("db-2")[0]
    xenapi.VM.start(vm, False, False)
    clone = xenapi.VM.clone(xenapi.VM.get_by_name_label("build-2")[0], "kept")
    xenapi.VM.set_name_description(clone, "acknowledged")
    server.kill()
    server = start_server(tmp_path / "two", "--state", str(state), "--speed", "20")
    xenapi = login(server)
    after = inventory(xenapi)
    assert before.items() <= after.items()
    assert xenapi.VM.get_power_state(vm) == "Running"
    assert xenapi.VM.get_name_description(clone) == "acknowledged"
    xenapi.VM.hard_shutdown(vm)
    assert server.stop() == 0
    server = start_server(tmp_path / "three", "--state", str(state))
    xenapi = login(server)
    assert xenapi.VM.get_power_state(vm) == "Halted"
    assert inventory(xenapi) == after
    server.stop()


def test_what_no_journal_keeps_is_measured_again_after_a_restart(tmp_path, login):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state), "--speed", "50")
    xenapi = login(server)
    web, app = (xenapi.VM.get_by_name_label(name)[0] for name in ("web-0", "app-0"))
    xenapi.VM.pause(web)
    xenapi.VM.set_VCPUs_number_live(app, "1")
    xenapi.VM_metrics.add_to_other_config(xenapi.VM.get_metrics(web), "ours", "kept")
    names = ("state", "hvm", "memory_actual", "VCPUs_number", "current_domain_type", "other_config")

    def measured(xenapi):
        found = {}
        for ref, vm in xenapi.VM.get_all_records().items():
            if vm["power_state"] in ("Running", "Paused"):
                metrics = xenapi.VM_metrics.get_record(vm["metrics"])
                found[ref] = {name: metrics[name] for name in names}
        return found

    before = measured(xenapi)
    assert (before[web]["state"], before[app]["VCPUs_number"]) == (["paused"], "1")
    assert before[web]["other_config"] == {"ours": "kept"}
    server.kill()
    server = start_server(tmp_path / "two", "--state", str(state))
    assert measured(login(server)) == before
    assert server.stop() == 0


def test_a_host_that_was_shut_down_is_still_off_after_a_restart(tmp_path, login):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state), "--speed", "50")
    xenapi = login(server)
    host = xenapi.host.get_by_name_label("host-2")[0]
    xenapi.host.disable(host)
    xenapi.host.evacuate(host)
    xenapi.host.shutdown(host)
    server.kill()
    server = start_server(tmp_path / "two", "--state", str(state), "--speed", "50")
    xenapi = login(server)
    assert not xenapi.host_metrics.get_live(xenapi.host.get_metrics(host))
    xenapi.host.set_power_on_mode(host, "wake-on-lan", {})
    xenapi.host.power_on(host)
    wait_until(lambda: xenapi.host_metrics.get_live(xenapi.host.get_metrics(host)), 30)
    assert server.stop() == 0


def test_an_operation_cut_off_by_kill_is_unwound(tmp_path, login):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state))
    xenapi = login(server)
    vm = xenapi.VM.get_by_name_label("db-2")[0]
    xenapi.Async.VM.start(vm, False, False)
    while not xenapi.VM.get_current_operations(vm):
        pass
    server.kill()
    server = start_server(tmp_path / "two", "--state", str(state), "--speed", "20")
    xenapi = login(server)
    assert xenapi.VM.get_current_operations(vm) == {}
    assert xenapi.VM.get_power_state(vm) == "Halted"
    xenapi.VM.start(vm, False, False)
    server.stop()


def test_a_state_directory_serves_one_server_at_a_time(tmp_path):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state))
    assert "in use" in refused(tmp_path, "--demo", "--state", str(state))
    server.stop()


def test_users_file_replaces_the_demo_account(serve, tmp_path, login):
    users = tmp_path / "users"
    for name, role in (("alice", "pool-admin"), ("eve", "read-only")):
        subprocess.run(
            [sys.executable, "-m", "xenapi_core.cli.main", "user", "add", name, "--users", str(users), "--role", role,
             "--password-stdin"],
            input=f"{name}-secret\n", text=True, check=True, timeout=60,
        )  # fmt: skip
    assert "secret" not in users.read_text(encoding="utf-8")
    server = serve("--users", str(users), "--speed", "100")
    alice = login(server, "alice", "alice-secret")
    eve = login(server, "eve", "eve-secret")
    vm = eve.VM.get_by_name_label("db-2")[0]
    with pytest.raises(XenAPI.Failure) as failure:
        eve.VM.start(vm, False, False)
    assert failure.value.details[0] == "RBAC_PERMISSION_DENIED"
    alice.VM.start(vm, False, False)
    with pytest.raises(XenAPI.Failure) as failure:
        login(server, "root", "xencim")
    assert failure.value.details[0] == "SESSION_AUTHENTICATION_FAILED"
    assert "secret" not in server.output


def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused(tmp_path, "--demo", "--wbem-port", str(port))


def test_a_bad_certificate_is_one_sentence(tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate", encoding="utf-8")
    assert "bad.pem" in refused(tmp_path, "--demo", "--tls-cert", str(bad), "--tls-key", str(bad))
    assert "go together" in refused(tmp_path, "--demo", "--tls-cert", str(bad))


def test_an_unusable_state_directory_is_one_sentence(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    assert str(blocked) in refused(tmp_path, "--demo", "--state", str(blocked))
    broken = tmp_path / "broken"
    broken.mkdir()
    server = start_server(tmp_path / "one", "--state", str(broken))
    server.stop()
    for file in broken.iterdir():
        if file.suffix in (".db", ".sqlite", ".sqlite3"):
            file.write_bytes(os.urandom(8192))
    assert "broken" in refused(tmp_path, "--demo", "--state", str(broken))


def test_a_damaged_file_of_volumes_is_one_sentence(tmp_path):
    volumes = tmp_path / "state" / "disks.sqlite"
    volumes.parent.mkdir()
    volumes.write_bytes(b"no database, whatever its name says")
    assert str(volumes) in refused(tmp_path, "--demo", "--state", str(volumes.parent))


@pytest.mark.parametrize("speed", ["0", "nan", "inf"])
def test_a_speed_that_is_none_is_one_sentence(tmp_path, speed):
    assert "--speed" in refused(tmp_path, "--demo", "--speed", speed)


def test_the_demo_account_is_refused_on_other_addresses(tmp_path):
    assert "password is public" in refused(tmp_path, "--demo", "--bind", "0.0.0.0")


def test_a_bad_users_file_and_a_missing_pam_service_are_one_sentence(tmp_path):
    bad = tmp_path / "users"
    bad.write_text("root:x\n", encoding="utf-8")
    assert "users" in refused(tmp_path, "--demo", "--users", str(bad))
    assert "/etc/pam.d/no-such-service" in refused(tmp_path, "--demo", "--pam", "no-such-service")


def errors_of(process, ready):
    """What a server said on standard error in its life: it listens, takes a connection, and is asked to end."""
    try:
        wait_until(ready.exists, 30)
        with socket.create_connection(("127.0.0.1", urlsplit(json.loads(ready.read_text())["xenapi"]).port)):
            process.send_signal(signal.SIGTERM)
        return process.communicate(timeout=30)[1]
    finally:
        process.kill()


def test_a_greeting_that_nobody_reads_does_not_end_the_server(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    ready = tmp_path / "ready.json"
    options = ["--demo", "--socket", str(tmp_path / "s.sock"), "--ready-file", str(ready)]
    with subprocess.Popen([*SERVE, *FREE, *options], stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        errors = errors_of(process, ready)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("start", ['PYTHONIOENCODING=ascii exec "$@"', 'exec "$@" >&- <&-'])
def test_a_greeting_that_cannot_be_shown_does_not_end_the_server(tmp_path, start):
    ready = tmp_path / "ready.json"
    options = ["--demo", "--socket", str(tmp_path / "s.sock"), "--ready-file", str(ready)]
    command = ["sh", "-c", start, "sh", *SERVE, *FREE, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        errors = errors_of(process, ready)
    assert (process.returncode, errors) == (0, "")


def test_a_start_page_that_a_full_disk_does_not_take_is_one_sentence(tmp_path):
    ready = tmp_path / "ready.json"
    options = ["--demo", "--socket", str(tmp_path / "s.sock"), "--ready-file", str(ready)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SERVE, *FREE, *options], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.stderr == "Error: cannot write the start page to standard output: No space left on device\n"
    assert done.returncode == 1
    assert os.listdir(tmp_path) == []


def test_names_that_clients_chose_are_plain_text_on_the_start_page(tmp_path, login):
    state = tmp_path / "state"
    server = start_server(tmp_path / "one", "--state", str(state))
    xenapi = login(server)
    names = {"web-0": "[/x] web", "db-2": "it's $(true)", "build-2": "a [bold] name"}
    for old, new in names.items():
        xenapi.VM.set_name_label(xenapi.VM.get_by_name_label(old)[0], new)
    (pool,) = xenapi.pool.get_all()
    xenapi.pool.set_name_label(pool, "[red]lab\n")
    assert server.stop() == 0
    server = start_server(tmp_path / "two", "--state", str(state))
    wait_until(lambda: "pywbemcli" in server.output, 30)
    table, _, commands = server.output.partition("Try next")
    assert "“[red]lab\N{REPLACEMENT CHARACTER}”" in table
    assert all(name in table for name in names.values())
    assert "$(true)" not in commands
    assert server.stop() == 0


def test_ready_file_is_complete_json_whenever_it_exists(tmp_path):
    server = start_server(tmp_path / "one")
    path = tmp_path / "one" / "ready.json"
    assert json.loads(path.read_text(encoding="utf-8"))["pid"] == server.process.pid
    assert server.stop() == 0
    assert not path.exists()


def test_a_ready_file_that_a_killed_server_left_is_gone_before_the_next_is_ready(tmp_path):
    ready = tmp_path / "one" / "ready.json"
    start_server(tmp_path / "one").kill()
    assert ready.exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        refused(tmp_path, "--demo", "--ready-file", str(ready), "--wbem-port", port)
    assert not ready.exists()


def test_a_server_that_ends_leaves_the_ready_file_of_its_successor(tmp_path):
    first = start_server(tmp_path / "one")
    second = start_server(tmp_path / "one")
    ready = tmp_path / "one" / "ready.json"
    assert first.stop() == 0
    assert json.loads(ready.read_text(encoding="utf-8"))["pid"] == second.process.pid
    assert second.stop() == 0
    assert not ready.exists()


def test_a_ready_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert str(folder) in refused(tmp_path, "--demo", "--ready-file", str(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_own_certificate_is_served_and_its_fingerprint_told(serve, tmp_path):
    own = ensure_certificate(tmp_path, ["localhost"], RealClock())
    server = serve("--tls-cert", str(own[0]), "--tls-key", str(own[1]))
    assert server.ready["tls_fingerprint"] == fingerprint(own[0])
    address = urlsplit(server.ready["wbem_tls"])
    served = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((address.hostname, address.port)))
    assert hashlib.sha256(served).hexdigest() == server.ready["tls_fingerprint"].replace(":", "").lower()


def shown_to_clients(xenapi):
    """The records of certificates that clients are shown; those that hosts have for each other are others."""
    return {ref: one for ref, one in xenapi.Certificate.get_all_records().items() if one["type"] == "host"}


def test_every_host_tells_the_certificate_that_is_served(serve, login):
    server = serve()
    address = urlsplit(server.ready["xenapi_tls"])
    served = ssl.get_server_certificate((address.hostname, address.port))
    xenapi = login(server)
    der = ssl.PEM_cert_to_DER_cert(served)
    for host in xenapi.host.get_all():
        assert ssl.PEM_cert_to_DER_cert(xenapi.host.get_server_certificate(host)) == der
        (record,) = (one for one in shown_to_clients(xenapi).values() if one["host"] == host)
        assert record["uuid"] in {xenapi.Certificate.get_uuid(ref) for ref in xenapi.host.get_certificates(host)}
        assert record["name"] == ""
        assert record["fingerprint_sha256"] == record["fingerprint"] == server.ready["tls_fingerprint"]
        assert record["fingerprint_sha1"].replace(":", "").lower() == hashlib.sha1(der).hexdigest()
        assert record["not_before"].value < record["not_after"].value


def test_a_new_certificate_takes_the_place_of_the_recorded_one_at_the_next_start(serve, login, tmp_path):
    state, own = str(tmp_path / "state"), ensure_certificate(tmp_path / "own", ["localhost"], RealClock())
    first = serve("--state", state)
    before = shown_to_clients(login(first))
    assert {one["fingerprint_sha256"] for one in before.values()} == {first.ready["tls_fingerprint"]}
    assert first.stop() == 0
    again = serve("--state", state)
    assert shown_to_clients(login(again)) == before
    assert again.stop() == 0
    other = serve("--state", state, "--tls-cert", str(own[0]), "--tls-key", str(own[1]))
    after = shown_to_clients(login(other))
    assert {one["fingerprint_sha256"] for one in after.values()} == {fingerprint(own[0])}
    assert not before.keys() & after.keys()
    assert len(after) == len(before)


def test_without_tls_there_is_no_certificate_for_clients(serve, login):
    xenapi = login(serve("--xenapi-tls-port", "-1", "--wbem-tls-port", "-1"))
    (host, *_) = xenapi.host.get_all()
    assert not shown_to_clients(xenapi)
    with pytest.raises(XenAPI.Failure) as failure:
        xenapi.host.get_server_certificate(host)
    assert failure.value.details[0] == "OPERATION_NOT_ALLOWED"


def test_an_installed_certificate_is_served_at_once_on_both_faces_and_after_a_restart(serve, login, tmp_path):
    state, now = str(tmp_path / "state"), int(time.time())
    authority = issue("authority", now, authority=True)
    own = issue("127.0.0.1", now, authority, private=key("2048", 1))
    server = serve("--state", state)
    xenapi = login(server)
    (host, *_) = xenapi.host.get_all()
    for bad, code in ((own.key[:-200], "KEY_INVALID"), (authority.key, "KEY_MISMATCH")):
        with pytest.raises(XenAPI.Failure) as failure:
            xenapi.host.install_server_certificate(host, own.pem, bad, "")
        assert failure.value.details == [f"SERVER_CERTIFICATE_{code}"]
    xenapi.host.install_server_certificate(host, own.pem, own.key, authority.pem)
    assert xenapi.host.get_server_certificate(host) == own.pem
    for door in ("xenapi_tls", "wbem_tls"):
        assert ssl.PEM_cert_to_DER_cert(served_at(server, door)) == own.der
    assert {one["fingerprint_sha256"] for one in shown_to_clients(xenapi).values()} == {own.sha256}
    assert server.stop() == 0
    assert "PRIVATE KEY" not in server.output
    assert own.key.splitlines()[1] not in server.output
    again = serve("--state", state)
    assert again.ready["tls_fingerprint"] == own.sha256
    xenapi = login(again)
    xenapi.host.reset_server_certificate(xenapi.host.get_all()[0])
    reset = served_at(again, "xenapi_tls")
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(reset)).hexdigest().upper() not in own.sha256.replace(":", "")
    assert xenapi.host.get_server_certificate(xenapi.host.get_all()[0]) == reset


def served_at(server, door):
    address = urlsplit(server.ready[door])
    return ssl.get_server_certificate((address.hostname, address.port))


def told(call, *args):
    with pytest.raises(XenAPI.Failure) as failure:
        call(*args)
    return failure.value.details


def test_pools_that_verify_deal_only_with_servers_they_trust(serve, login):
    lone = serve("--demo", "--seed", "lone", "--hosts", "1", "--vms", "1", "--srs", "0", "--speed", "50")
    pool = serve("--demo", "--seed", "pool", "--hosts", "1", "--vms", "2")
    here, there = login(lone), login(pool)
    (vm,) = here.VM.get_by_name_label("web-0")
    (source,) = there.VM.get_by_name_label("web-0")
    for xenapi, ref in ((here, vm), (there, source)):
        if xenapi.VM.get_power_state(ref) == "Running":
            xenapi.VM.hard_shutdown(ref)
    address = urlsplit(pool.ready["xenapi_tls"]).netloc
    url = f"https://{pool.user}:{pool.password}@{address}/export?uuid={there.VM.get_uuid(source)}"
    (host,) = there.host.get_all()
    network = next(one["network"] for one in there.PIF.get_all_records().values() if one["management"])
    dest = there.host.migrate_receive(host, network, {})
    join = partial(here.pool.join, address, pool.user, pool.password)
    (joiner,) = here.host.get_all()
    local = here.SR.create(joiner, {"device": "/dev/sdb"}, str(1 << 36), "local", "", "lvm", "user", False, {})
    bring = partial(getattr(here.VM, "import"), url, local, False, False)
    send = partial(here.VM.assert_can_migrate, vm, dest, True, {}, dict.fromkeys(here.VM.get_VIFs(vm), network), {})

    here.pool.enable_tls_verification()
    assert told(join) == told(send) == ["SSL_VERIFY_ERROR", "self-signed certificate"]
    assert told(bring) == [
        "IMPORT_ERROR", "The server of that URL gave no answer: ClientConnectorCertificateError.",
    ]  # fmt: skip

    here.pool.install_ca_certificate("other-pool.pem", there.host.get_server_certificate(host))
    send()
    (came,) = bring()
    assert here.VM.get_power_state(came) == "Halted"
    assert told(join) == ["POOL_JOINING_HOST_TLS_VERIFICATION_MISMATCH"]
    there.pool.enable_tls_verification()
    uuid = here.host.get_uuid(joiner)
    join()
    assert told(here.VM.get_all)[0] == "HOST_IS_SLAVE"
    with Wire(lone, "socket") as wire:
        log_in = xml_call("session.login_with_password", "", "")
        assert api_result(wire.ask(log_in))[0] == "Success"
        there.host.reset_server_certificate(host)
        assert api_result(wire.ask(log_in))[0] == "Success", "members know it by another certificate"
        _, root = api_result(wire.ask(xml_call("session.slave_local_login_with_password", "root", "")))
        stranger = Write(OF_MEMBERS, {"stranger.pem": issue("stranger", int(time.time())).pem}, erase=True)
        for step in (stranger, GenBundle()):
            reply = wire.ask(xml_call("host.cert_distrib_atom", root, uuid, encode(step)))
            assert api_result(reply)[0] == "Success"
        assert api_result(wire.ask(log_in)) == ("Failure", ["SSL_VERIFY_ERROR", "self-signed certificate"])
        for word, result in (("disable", "Success"), ("reenable", "Failure")):
            emergency = xml_call(f"host.emergency_{word}_tls_verification", root)
            assert api_result(wire.ask(emergency))[0] == "Success"
            assert api_result(wire.ask(log_in))[0] == result
    there.pool.eject(there.host.get_by_uuid(uuid))
    assert [login(lone).host.get_uuid(one) for one in login(lone).host.get_all()] == [uuid]
    for server in (lone, pool):
        assert dest["session_id"] not in server.output


def test_pam_checks_passwords_and_only_root_may_log_in(serve, pam_service, login):
    server = serve("--pam", pam_service, "--speed", "100")
    assert len(login(server, "root", "right").VM.get_all()) > 12
    for user, password in (("root", "wrong"), ("nobody", "right"), ("root", "xencim")):
        with pytest.raises(XenAPI.Failure) as failure:
            login(server, user, password)
        assert failure.value.details[0] == "SESSION_AUTHENTICATION_FAILED"
