"""pywbemcli and Debian's wbemcli, the commands an administrator has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit


def pywbemcli(server, *words):
    command = [str(Path(sys.executable).parent / "pywbemcli"), "-s", server.ready["wbem"], "-u", server.user]
    done = subprocess.run(
        [*command, "-p", server.password, "-d", "root/cimv2", *words],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wbemcli(server, operation, target, *words, tls=False):
    url = urlsplit(server.ready["wbem_tls" if tls else "wbem"])
    uri = f"{url.scheme}://{server.user}:{server.password}@{url.hostname}:{url.port}/root/cimv2:{target}"
    done = subprocess.run(
        ["wbemcli", operation, "-nl", *(["-noverify"] if tls else []), uri, *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_pywbemcli_enumerates_instances_as_a_table(server):
    table = pywbemcli(
        server, "-o", "table", "instance", "enumerate", "Xen_ComputerSystem", "--pl", "ElementName,EnabledState"
    )
    assert '"web-0"' in table
    assert "2 (Enabled)" in table


def test_pywbemcli_walks_the_class_tree(server):
    assert "Xen_ComputerSystem" in pywbemcli(server, "class", "tree", "CIM_System")


def test_pywbemcli_shrub_shows_the_association_tree(server, xenapi):
    (ref,) = xenapi.VM.get_by_name_label("web-0")
    path = f'Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{xenapi.VM.get_uuid(ref)}"'
    tree = pywbemcli(server, "instance", "shrub", path)
    for word in ("Xen_SystemDevice", "Xen_SettingsDefineState", "Xen_HostedDependency", "Xen_LogicalDisk"):
        assert word in tree


def test_pywbemcli_lists_profiles_and_central_instances(server):
    assert "Virtual System" in pywbemcli(server, "profile", "list")
    assert "Xen_HostComputerSystem" in pywbemcli(
        server, "profile", "centralinsts", "--profile", "System Virtualization"
    )


def test_wbemcli_enumerates_and_gets(server, xenapi):
    names = wbemcli(server, "ein", "Xen_ComputerSystem").split()
    assert len(names) == 12
    (ref,) = xenapi.VM.get_by_name_label("web-0")
    uuid = xenapi.VM.get_uuid(ref)
    shown = wbemcli(server, "gi", f'Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{uuid}"')
    assert '-ElementName="web-0"' in shown
    assert "-EnabledState=2" in shown


def test_wbemcli_enumerates_instances_associators_and_classes(server, xenapi):
    assert '"web-0"' in wbemcli(server, "ei", "Xen_ComputerSystem")
    (ref,) = xenapi.VM.get_by_name_label("web-0")
    key = f'Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{xenapi.VM.get_uuid(ref)}"'
    assert "Xen_LogicalDisk" in wbemcli(server, "ain", key, "-ac", "Xen_SystemDevice")
    assert "Xen_ComputerSystem" in wbemcli(server, "ecn", "CIM_ComputerSystem")
    assert "-EnabledState=" in wbemcli(server, "gc", "Xen_ComputerSystem")


def test_wbemcli_speaks_tls(server):
    assert len(wbemcli(server, "ein", "Xen_HostComputerSystem", tls=True).split()) == 3


def test_wbemcli_changes_a_state(server, xenapi):
    (ref,) = xenapi.VM.get_by_name_label("build-2")
    key = f'Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="{xenapi.VM.get_uuid(ref)}"'
    answer = wbemcli(server, "cm", key, "RequestStateChange.RequestedState=2")
    assert "4096" in answer
    import time

    deadline = time.monotonic() + 20
    while xenapi.VM.get_power_state(ref) != "Running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    xenapi.VM.hard_shutdown(ref)


def test_wbemcli_shows_the_cim_status_of_a_failure(server):
    url = urlsplit(server.ready["wbem"])
    uri = f"http://{server.user}:{server.password}@{url.hostname}:{url.port}/root/cimv2:Xen_NoSuchClass"
    done = subprocess.run(["wbemcli", "gc", uri], capture_output=True, text=True, timeout=60, check=False)
    assert "CIM_ERR_NOT_FOUND" in done.stdout + done.stderr
    assert "Xen_NoSuchClass" in done.stdout + done.stderr
