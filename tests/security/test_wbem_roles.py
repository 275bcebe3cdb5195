"""Who may what at the WBEM face: every operation in every role, and every method with parameters for who only reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from cim_golden import Session, operation, requests
from server_client import complaints
from server_process import ServerProcess, start_server, until_done

from cim_provider.operations.api import OPERATIONS
from xenapi_core.api.auth.users_file import add_user
from xenapi_core.model.schema import POOL_ADMIN, POOL_OPERATOR, READ_ONLY, ROLES, roles_above

SCHEMA_WRITES = {"CreateClass", "ModifyClass", "DeleteClass", "SetQualifier", "DeleteQualifier"}
INSTANCE_WRITES = {"CreateInstance", "ModifyInstance", "DeleteInstance", "SetProperty"}
LEAST = {
    name: POOL_ADMIN if name in SCHEMA_WRITES else POOL_OPERATOR if name in INSTANCE_WRITES else READ_ONLY
    for name in OPERATIONS
}
DENIED = b'<ERROR CODE="2"'


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_its_row_says_and_nothing_else(role: str) -> None:
    """Each request is sent in the role; where that is refused, an administrator goes on."""
    session = Session()
    for request in requests():
        name = operation(request)
        reply = session.send(request, role)
        if role in roles_above(LEAST[name]):
            assert b"<ERROR" not in reply, (name, reply)
        else:
            assert DENIED in reply, (name, reply)
            assert b"<ERROR" not in session.send(request, POOL_ADMIN), name


# ---- methods

ADMIN, READER = ("admin", "admin's password"), ("reader", "reader's password")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("roles")
    users: Path = folder / "users"
    add_user(users, *ADMIN, ("pool-admin",))
    add_user(users, *READER, ("read-only",))
    yield from until_done(
        start_server(folder / "server", "--users", str(users), "--hosts", "2", "--vms", "4", "--speed", "100")
    )


def connect(server: ServerProcess, who: tuple[str, str]) -> pywbem.WBEMConnection:
    return pywbem.WBEMConnection(server.ready["wbem"], who, default_namespace="root/cimv2", timeout=30)


Call = tuple[str, pywbem.CIMInstanceName, list[pywbem.CIMParameter]]  # method, instance, parameters


COMPLETED = 7  # JobState; those before it are of jobs that go on

# What a reference of a general class is given: machines are what most methods are about.
PREFERRED = {"CIM_ManagedElement": "Xen_ComputerSystem", "CIM_ComputerSystem": "Xen_ComputerSystem"}
MOST_VALUES = 12  # of a parameter that are tried


class Arguments:
    """Believable values for the parameters of methods: instances that are there, and numbers the schema names."""

    def __init__(self, admin: pywbem.WBEMConnection) -> None:
        self.admin = admin
        self.found: dict[str, list[pywbem.CIMInstance]] = {}

    def instances(self, classname: str) -> list[pywbem.CIMInstance]:
        name = PREFERRED.get(classname, classname)
        if name not in self.found:
            self.found[name] = self.admin.EnumerateInstances(name, namespace="root/cimv2")
        return self.found[name]

    def calls(self, method: pywbem.CIMMethod, path: pywbem.CIMInstanceName) -> Iterator[Call]:
        """Calls with a value for each parameter that there is one for: one call for each value of the parameter that
        has most."""
        inputs = [p for p in method.parameters.values() if "In" not in p.qualifiers or p.qualifiers["In"].value]
        values = {p.name: found for p in inputs if (found := self.of(p))}
        for number in range(max(map(len, values.values()), default=1)):
            yield method.name, path, [found[number % len(found)] for found in values.values()]

    def of(self, declared: pywbem.CIMParameter) -> list[pywbem.CIMParameter]:
        return [
            pywbem.CIMParameter(
                declared.name,
                declared.type,
                value=[value] if declared.is_array else value,
                is_array=declared.is_array,
                embedded_object="instance" if isinstance(value, pywbem.CIMInstance) else None,
            )
            for value in self._values(declared)[:MOST_VALUES]
        ]

    def _values(self, declared: pywbem.CIMParameter) -> list[Any]:
        quals = declared.qualifiers
        if declared.type == "reference":
            return [one.path for one in self.instances(declared.reference_class)]
        if "EmbeddedInstance" in quals:
            return self.instances(quals["EmbeddedInstance"].value)
        if "EmbeddedObject" in quals or declared.type == "datetime":
            return []
        if declared.type in ("string", "boolean"):
            return ["renamed"] if declared.type == "string" else [True, False]
        listed = quals["ValueMap"].value if "ValueMap" in quals else ["3"]
        return [pywbem.cimvalue(text, declared.type) for text in listed if text.isdigit()]


def state_of(admin: pywbem.WBEMConnection) -> dict[str, Any]:
    """What a method could change: machines, settings, pools and services."""
    ignored = {"TimeOfLastStateChange", "Description"}
    return {
        str(one.path): {key: str(value) for key, value in one.items() if key not in ignored}
        for name in ("CIM_ComputerSystem", "CIM_SettingData", "CIM_ResourcePool", "CIM_Service")
        for one in admin.EnumerateInstances(name)
    }


def ended(client: pywbem.WBEMConnection, job: pywbem.CIMInstanceName) -> pywbem.CIMInstance:
    """A job that has come to its end."""
    deadline = time.monotonic() + 20
    while (found := client.GetInstance(job))["JobState"] < COMPLETED:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def available(client: pywbem.WBEMConnection, method: str, path: pywbem.CIMInstanceName) -> bool:
    """Whether a method has a behaviour; it is asked without parameters."""
    try:
        client.InvokeMethod(method, path)
    except pywbem.CIMError as error:
        return bool(error.status_code != pywbem.CIM_ERR_METHOD_NOT_AVAILABLE)
    return True


def outcome(client: pywbem.WBEMConnection, call: Call) -> tuple[int | None, Any]:
    """Return value (None for a CIM error) and output parameters."""
    try:
        return client.InvokeMethod(*call[:2], Params=call[2])
    except pywbem.CIMError:
        return None, {}


def test_methods_with_parameters_change_nothing_for_who_only_reads(server: ServerProcess) -> None:
    """Every method of every class that has instances, with a value for each parameter there is one for. That the
    values are good for something is seen when the administrator sends the same."""
    with connect(server, ADMIN) as admin, connect(server, READER) as reader:
        arguments, before = Arguments(admin), state_of(admin)
        calls: list[Call] = []
        for namespace in ("root/cimv2", "interop"):
            targets = {path.classname: path for path in admin.EnumerateInstanceNames("CIM_ManagedElement", namespace)}
            for classname, path in targets.items():
                declared = admin.GetClass(classname, namespace, LocalOnly=False, IncludeQualifiers=True)
                for method in declared.methods.values():
                    if available(reader, method.name, path):
                        calls += arguments.calls(method, path)
        for call in calls:
            value, out = outcome(reader, call)
            if value == 4096:  # a task of the reader's own: it may find nothing to change, or be refused to change it
                ended(admin, out["Job"])
            else:
                assert "Job" not in out, call
        assert state_of(admin) == before
        done: set[str] = set()
        for call in calls:
            if len(done) < 5 and outcome(admin, call)[0] in (0, 4096):
                done.add(call[0])
        assert len(done) == 5, done
        assert state_of(admin) != before
    assert complaints(server) == []
