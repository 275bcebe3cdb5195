"""`xencim cim` against a real server: every command as a user types it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from clients import logged_in, vm_named, wait_until

from cim_provider.cli.commands import cim
from xenapi_core.clock import RealClock
from xenapi_core.server import tls


@pytest.fixture
def run(server, monkeypatch, capsys):
    """run(word...): standard output of `xencim cim word...`; `code` is the expected exit code, `err` asks for standard
    error instead."""
    monkeypatch.setenv("XENCIM_WBEM", server.ready["wbem"])
    monkeypatch.setenv("XENCIM_USER", server.user)
    monkeypatch.setenv("XENCIM_PASSWORD", server.password)

    def run(*words, code=0, err=False):
        with pytest.raises(SystemExit) as end:
            cim.main(list(words), prog_name="xencim cim")
        out, errors = capsys.readouterr()
        assert (end.value.code or 0) == code, out + errors
        return errors if err else out

    return run


def rows(table):
    return [line.split() for line in table.splitlines()]


def test_namespaces_and_classes_are_listed(run):
    assert run("namespaces").splitlines() == ["interop  (Interop)", "root/cimv2"]
    assert {n["name"] for n in json.loads(run("namespaces", "-o", "json"))} == {"interop", "root/cimv2"}
    assert "Xen_HostComputerSystem" in run("classes", "xen_*SYSTEM").splitlines()
    assert "└── CIM_ComputerSystem" in run("classes", "--tree", "--of", "CIM_System")
    assert "no class fits" in run("classes", "Nothing_*", err=True)


def test_a_class_is_shown_as_mof_and_json(run):
    mof = run("class", "Xen_ComputerSystem")
    assert "class Xen_ComputerSystem : CIM_ComputerSystem {" in mof
    assert "Description (" in mof
    assert "Description (" not in run("class", "Xen_ComputerSystem", "--brief")
    told = json.loads(run("class", "Xen_ComputerSystem", "-o", "json"))
    assert told["properties"]["Name"]["key"] is True
    assert told["methods"]["RequestStateChange"]["parameters"]["RequestedState"]["type"] == "uint16"
    assert "did you mean" in run("class", "Xen_ComputerSys", code=4, err=True)


def test_instances_are_a_table_with_the_names_of_values(run):
    header, *lines = rows(run("instances", "Xen_ComputerSystem", "-P", "ElementName,EnabledState"))
    assert header == ["ElementName", "EnabledState"]
    assert ["web-0", "Enabled"] in lines
    assert len(lines) == 12
    header, *lines = rows(run("instances", "CIM_ComputerSystem"))
    assert header[:3] == ["CLASS", "ElementName", "EnabledState"]
    assert {"web-0", "host-0"} <= {line[1] for line in lines}


def test_instances_are_selected_by_name_keys_and_filter(run, xenapi):
    uuid = xenapi.VM.get_uuid(vm_named(xenapi, "web-0"))
    by_name = run("instances", "Xen_ComputerSystem.web-0", "-o", "paths")
    assert by_name == f'root/cimv2:Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{uuid}"\n'
    assert run("instances", f"Xen_ComputerSystem.Name={uuid[:6]}*", "-o", "paths") == by_name
    assert run("instances", "Xen_ComputerSystem", "-w", "ElementName = 'web-0'", "-o", "paths") == by_name
    assert len(run("instances", "Xen_ComputerSystem.web-[0-2]", "-o", "paths").splitlines()) == 3
    assert run("instances", "CIM_ComputerSystem", "--exact", "-o", "paths") == ""
    assert run("instances", "Xen_ComputerSystem.nobody", "-o", "json") == "[]\n"
    assert "fits" in run("instances", "Xen_ComputerSystem.nobody", err=True)


def test_a_printed_path_names_the_instance_in_other_commands(run):
    (path, *_) = run("instances", "Xen_LogicalDisk", "-o", "paths").splitlines()
    (told,) = json.loads(run("get", path, "-o", "json"))
    assert told["path"] == path
    assert told["properties"]["CreationClassName"] == "Xen_LogicalDisk"
    (link, *_) = run("assoc", path, "--references", "-o", "paths").splitlines()
    assert json.loads(run("get", link, "-o", "json"))[0]["path"] == link


def test_get_shows_a_property_a_line(run):
    lines = run("get", "web-0").splitlines()
    assert lines[0].startswith("root/cimv2:Xen_ComputerSystem.")
    assert ["EnabledState", "Enabled", "(2)"] in rows("\n".join(lines))
    assert not any("NULL" in line for line in lines)
    assert any("NULL" in line for line in run("get", "web-0", "--all").splitlines())
    assert "instance of Xen_ComputerSystem {" in run("get", "web-0", "-o", "mof")
    assert '<INSTANCE CLASSNAME="Xen_ComputerSystem"' in run("get", "web-0", "-o", "xml")


def test_a_property_that_is_not_there_is_no_empty_column(run):
    for words in (["instances", "Xen_ComputerSystem"], ["get", "web-0"], ["assoc", "web-0", "-c", "CIM_Processor"]):
        error = run(*words, "-P", "ElementName,Nothing", code=4, err=True)
        assert re.search(r"Xen_\w+ has no property Nothing", error)
    assert "none of 4 classes has a property Nothing" in run(
        "instances", "CIM_ComputerSystem", "-P", "Nothing", code=4, err=True
    )
    assert rows(run("instances", "CIM_ComputerSystem.web-0", "-P", "elementNAME"))[1] == ["web-0"]


def test_associations_are_a_table_and_a_tree(run):
    found = json.loads(run("assoc", "web-0", "--through", "Xen_SystemDevice", "-c", "Xen_LogicalDisk", "-o", "json"))
    assert [one["class"] for one in found] == ["Xen_LogicalDisk"]
    tree = run("tree", "web-0")
    assert tree.startswith("Xen_ComputerSystem  web-0")
    assert "Xen_SystemDevice  GroupComponent → PartComponent" in tree
    deep = json.loads(run("tree", "web-0", "--depth", "2", "-o", "json"))
    hosts = next(a for a in deep["associations"] if a["class"] == "Xen_HostedDependency")["instances"]
    assert [host["name"].startswith("host-") for host in hosts] == [True]
    assert "Xen_HostedDependency" in {a["class"] for a in hosts[0]["associations"]}  # its other machines
    (back,) = [a for a in hosts[0]["associations"] if a["class"] == "Xen_HostedDependency"]
    assert "web-0" not in {one["name"] for one in back["instances"]}


def test_queries_keep_the_order_of_their_columns(run):
    text = "SELECT EnabledState, ElementName FROM Xen_ComputerSystem WHERE ElementName = 'web-0'"
    assert rows(run("query", text)) == [["EnabledState", "ElementName"], ["Enabled", "web-0"]]
    text = "SELECT ElementName AS Who, OperationalStatus[0] AS S FROM Xen_ComputerSystem WHERE ElementName = 'web-0'"
    assert rows(run("query", text)) == [["Who", "S"], ["web-0", "2"]]
    paths = run("query", "-l", "WQL", "SELECT * FROM CIM_System WHERE ElementName LIKE 'host-%'", "-o", "paths")
    assert len(paths.splitlines()) == 3
    assert "(at character 32)" in run("query", "SELECT * FROM CIM_System WHERE Nme = 1", code=2, err=True)
    assert json.loads(run("query", "SELECT * FROM CIM_None", "-o", "json", code=4))["status"] == 5


def test_a_method_is_invoked_with_words(run, xenapi):
    ref = vm_named(xenapi, "build-2")
    out = run("invoke", "build-2", "RequestStateChange", "RequestedState=Enabled")
    assert out.startswith("RequestStateChange returned 4096 (Method Parameters Checked - Job Started)")
    assert "Job  Xen_ConcreteJob.InstanceID=" in out
    wait_until(lambda: xenapi.VM.get_power_state(ref) == "Running")
    told = json.loads(run("invoke", "build-2", "RequestStateChange", "RequestedState=9999", "-o", "json", code=6))
    assert told["returns"] not in (0, 4096)
    assert "its methods:" in run("invoke", "build-2", "Fly", code=4, err=True)


def test_a_job_is_followed_to_its_end(run, xenapi):
    machines = xenapi.VM.get_all_records()
    halted = next(r for r, vm in machines.items() if vm["power_state"] == "Halted" and not vm["is_a_template"])
    ref = xenapi.VM.clone(halted, "followed")
    out = run("invoke", "followed", "RequestStateChange", "RequestedState=Enabled", "--wait")
    assert out.endswith("the job ended: Completed\n")
    assert xenapi.VM.get_power_state(ref) == "Running"
    xenapi.VM.hard_shutdown(ref)
    xenapi.VM.set_memory_limits(ref, *[str(n << 40) for n in (1, 2, 2, 2)])  # more than any host has
    told = json.loads(
        run("invoke", "followed", "RequestStateChange", "RequestedState=Enabled", "--wait", "-o", "json", code=6)
    )
    assert (told["returns"], told["job"]["meaning"]) == (4096, "Exception")
    assert "memory" in told["job"]["error"].lower()
    xenapi.VM.destroy(ref)


def test_several_instances_are_refused_where_one_is_needed(run):
    error = run("tree", "Xen_ComputerSystem.web-*", code=2, err=True)
    assert "means 3 instances" in error
    assert error.count("Xen_ComputerSystem.Name=") == 3


def test_wrong_credentials_are_told_without_the_password(run):
    error = run("get", "web-0", "-p", "hunter2", code=5, err=True)
    assert "refuses the user or the password" in error
    assert "hunter2" not in error


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", None])
def test_tls_needs_a_trusted_certificate_or_a_word(run, server, monkeypatch, variable, tmp_path):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests prefers them to what it is told
        monkeypatch.delenv(name, raising=False)
    url = server.ready["wbem_tls"]
    own = tmp_path / "own.pem"
    own.write_text(ssl.get_server_certificate(("127.0.0.1", urlsplit(url).port)))
    if variable:
        foreign, _ = tls.ensure_certificate(tmp_path / "foreign", ("127.0.0.1",), RealClock())
        monkeypatch.setenv(variable, str(foreign))
    assert "--no-verify" in run("namespaces", "-s", url, code=5, err=True)
    assert "root/cimv2" in run("namespaces", "-s", url, "--no-verify")
    assert "root/cimv2" in run("namespaces", "-s", url, "--ca", str(own))
    assert variable is None or os.environ[variable]


def test_a_wrong_port_or_host_is_told_from_a_server_that_is_not_there(run, server, tmp_path):
    plain, encrypted = server.ready["wbem"], server.ready["wbem_tls"]
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    for words, code, said in (
        (["-s", "http://nowhere.invalid"], 5, "there is no host nowhere.invalid"),
        (["-s", plain.replace("http:", "https:")], 5, "does not speak TLS"),
        (["-s", encrypted.replace("https:", "http:")], 5, "that the port for https?"),
        (["-s", encrypted, "--ca", str(nothing)], 2, "holds no certificates"),
        (["-s", server.ready["xenapi"]], 5, "is that the WBEM port"),
    ):
        assert said in run("namespaces", *words, code=code, err=True)


def test_a_missing_user_is_no_wrong_password(run, monkeypatch):
    monkeypatch.delenv("XENCIM_USER")
    assert "wants a user and a password" in run("namespaces", code=5, err=True)


def test_a_subscription_is_made_listed_and_removed(run):
    listener = "http://127.0.0.1:5999"
    run("subscribe", listener, "--name", "one", "-q", "SELECT * FROM CIM_InstDeletion")
    run("subscribe", listener, "--name", "two", "--filter", "Xen:Indications:SystemDeleted")
    assert {
        (row["name"], row["url"], row["filter"]) for row in json.loads(run("subscribe", "--list", "-o", "json"))
    } == {
        ("one", listener, "xencim:one"),
        ("two", listener, "Xen:Indications:SystemDeleted"),
    }
    assert "already a subscription" in run("subscribe", listener, "--name", "one", code=3, err=True)
    assert "one" in run("subscribe", "--list")
    run("subscribe", "--remove", "one")
    run("subscribe", "--remove", "two")
    run("subscribe", "--remove", "two", code=4)
    run("subscribe", listener, "-q", "SELECT", code=2)
    assert run("subscribe", "--list", "-o", "json") == "[]\n"
    assert "xencim:" not in run("instances", "CIM_IndicationFilter", "-n", "interop", "-o", "paths")


@contextlib.contextmanager
def listening(server, *words):
    """`xencim cim listen` as a process of its own; its lines of output come through `lines`."""
    environment = {
        **os.environ, "XENCIM_WBEM": server.ready["wbem"], "XENCIM_USER": server.user,
        "XENCIM_PASSWORD": server.password, "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "xenapi_core.cli.main", "cim", "listen", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stderr
        assert re.match(r"listening at https?://127\.0\.0\.1:", process.stderr.readline())
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_listen_shows_indications_and_leaves_nothing_behind(server, run, xenapi, sent):
    words = ("-q", "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ComputerSystem")
    ref = vm_named(xenapi, "db-2")
    with listening(server, *words) as process:
        assert [row["name"].startswith("listen-") for row in json.loads(run("subscribe", "--list", "-o", "json"))] == [
            True
        ]
        xenapi.VM.set_name_label(ref, f"renamed-{sent}")
        assert f"ElementName db-2 → renamed-{sent}" in process.stdout.readline()
        process.send_signal(sent)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "ended\n")
    xenapi.VM.set_name_label(ref, "db-2")
    assert run("subscribe", "--list", "-o", "json") == "[]\n"
    assert run("instances", "CIM_ListenerDestinationCIMXML", "-n", "interop", "-o", "json") == "[]\n"


def test_listen_ends_after_a_number_of_indications(server, run, xenapi):
    ref = vm_named(xenapi, "db-2")
    with listening(server, "--filter", "Xen:Indications:SettingChanged", "--count", "1", "-o", "json") as process:
        xenapi.VM.set_memory_limits(ref, *[str(n << 30) for n in (1, 6, 6, 6)])
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        out, _ = process.communicate()
        watchdog.cancel()
        assert process.returncode == 0
    told = json.loads(out)
    assert told["properties"]["SourceInstance"]["class"].endswith("SettingData")
    assert run("subscribe", "--list", "-o", "json") == "[]\n"


@pytest.mark.parametrize("options", [("--indication-ca", "{certificate}"), ("--indication-no-verify",), ()])
def test_an_encrypted_listener_hears_a_server_that_trusts_it(serve, tmp_path, options):
    certificate, key = tls.ensure_certificate(tmp_path, ["127.0.0.1"], RealClock())
    words = [word.format(certificate=certificate) for word in options]
    running = serve("--hosts", "1", "--vms", "1", *words)
    asked = ("--certificate", str(certificate), "--key", str(key), "-q", "SELECT * FROM CIM_InstCreation")
    ends = ("--count", "1") if options else ("--for", "3")
    with listening(running, *asked, *ends) as process, contextlib.ExitStack() as stack:
        xenapi = logged_in(stack, running.ready["xenapi"], running.user, running.password).xenapi
        (template, *_) = [r for r, vm in xenapi.VM.get_all_records().items() if vm["is_a_template"]]
        xenapi.VM.clone(template, "heard")
        xenapi.VM.provision(xenapi.VM.get_by_name_label("heard")[0])
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        out, _ = process.communicate()
        watchdog.cancel()
        assert process.returncode == 0
        assert bool(out) == bool(options)
    assert ("certificate" in running.output.lower()) == (not options)


def test_a_key_without_a_certificate_is_refused(run, tmp_path):
    (tmp_path / "key").write_text("nothing")
    assert "needs --certificate" in run("listen", "--key", str(tmp_path / "key"), code=2, err=True)
    error = run("listen", "--certificate", str(tmp_path / "key"), "--for", "1", code=2, err=True)
    assert "cannot be used" in error


def test_listen_needs_an_address_of_this_machine(run):
    error = run("listen", "--host", "192.0.2.1", "--for", "1", code=5, err=True)
    assert error.startswith("error: cannot listen at 192.0.2.1: Cannot assign requested address\n")
    assert "65536 is not in the range" in run("listen", "--port", "65536", "--for", "1", code=2, err=True)
    assert run("listen", "--for", "0.2") == ""
    assert run("subscribe", "--list", "-o", "json") == "[]\n"
