"""Queries and filters through pywbem and pywbemcli, against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import pywbem

RUNNING = "SELECT Name, ElementName FROM Xen_ComputerSystem WHERE EnabledState = 2"


def running(xenapi):
    return {
        r["name_label"]
        for r in xenapi.VM.get_all_records().values()
        if r["power_state"] == "Running" and not (r["is_a_template"] or r["is_control_domain"] or r["is_a_snapshot"])
    }


@pytest.mark.parametrize("language", ["WQL", "DMTF:CQL"])
def test_exec_query_returns_the_running_machines(xenapi, wbem, language):
    found = wbem.ExecQuery(language, RUNNING)
    assert {i["ElementName"] for i in found} == running(xenapi)
    assert all(set(i.keys()) == {"Name", "ElementName"} for i in found)
    assert {i.path.classname for i in found} == {"Xen_ComputerSystem"}


def test_an_opened_query_is_pulled_and_tells_its_class(xenapi, wbem):
    result = wbem.OpenQueryInstances("DMTF:CQL", RUNNING, ReturnQueryResultClass=True, MaxObjectCount=3)
    assert set(result.query_result_class.properties) == {"Name", "ElementName"}
    found = list(result.instances)
    while not result.eos:
        result = wbem.PullInstances(result.context, MaxObjectCount=3)
        found += result.instances
    assert {i["ElementName"] for i in found} == running(xenapi)


@pytest.fixture
def pulling(server):
    """A connection that insists on pull operations."""
    with pywbem.WBEMConnection(
        server.ready["wbem"], (server.user, server.password), default_namespace="root/cimv2", timeout=30,
        use_pull_operations=True,
    ) as connection:  # fmt: skip
        yield connection


def test_rows_of_elements_are_read_by_the_client(pulling):
    query = "SELECT ElementName AS Who, OperationalStatus[0] AS Status FROM Xen_ComputerSystem WHERE EnabledState = 2"
    result = list(pulling.IterQueryInstances("DMTF:CQL", query, ReturnQueryResultClass=True).generator)
    assert result
    assert all(type(row["Status"]) is pywbem.Uint16 for row in result)


def test_filters_leave_what_satisfies_them(pulling):
    asked = {"FilterQueryLanguage": "DMTF:FQL", "FilterQuery": "ElementName LIKE 'web-.*' AND EnabledState = 2"}
    found = list(pulling.IterEnumerateInstances("Xen_ComputerSystem", MaxObjectCount=2, **asked))
    assert found
    assert all(i["ElementName"].startswith("web-") for i in found)
    paths = pulling.OpenEnumerateInstancePaths("Xen_ComputerSystem", MaxObjectCount=100, **asked).paths
    assert {p["Name"] for p in paths} == {i["Name"] for i in found}
    disks = pulling.OpenAssociatorInstances(
        found[0].path, MaxObjectCount=100, FilterQueryLanguage="DMTF:FQL", FilterQuery="BlockSize > 0"
    )
    assert disks.instances
    assert all(i["BlockSize"] for i in disks.instances)


def test_pywbemcli_enumerates_with_a_filter(server):
    command = [str(Path(sys.executable).parent / "pywbemcli"), "-s", server.ready["wbem"], "-u", server.user]
    words = ["instance", "enumerate", "Xen_ComputerSystem", "--fq", "ElementName='web-0'", "--pl", "ElementName"]
    done = subprocess.run(
        [*command, "-p", server.password, "-d", "root/cimv2", "--use-pull", "yes", "-o", "mof", *words],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"web-0"' in done.stdout
    assert '"web-1"' not in done.stdout


@pytest.mark.parametrize(
    ("language", "query", "status"),
    [
        ("SQL", "SELECT", pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED),
        ("WQL", "SELECT * FROM CIM_None", pywbem.CIM_ERR_INVALID_CLASS),
        ("WQL", "SELECT * FROM CIM_System WHERE", pywbem.CIM_ERR_INVALID_QUERY),
        ("DMTF:CQL", "SELECT DISTINCT Name FROM CIM_System", 29),
    ],
)
def test_mistakes_are_cim_errors(wbem, language, query, status):
    with pytest.raises(pywbem.CIMError) as error:
        wbem.ExecQuery(language, query)
    assert error.value.status_code == status
