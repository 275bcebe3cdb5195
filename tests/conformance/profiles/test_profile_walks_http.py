"""Each profile walked over HTTP by pywbem, on a host by itself and on a pool of three: what test_profile_walks.py
proves in process, of a server as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import pywbem
import XenAPI
from server_process import start_server
from walk_rows import ROWS, Row

from cim_provider.profiles.profile_registration import PROFILES

Found = dict[pywbem.CIMInstanceName, pywbem.CIMInstance]


class Client:
    """A walker: what was asked before is not asked again."""

    def __init__(self, connection: pywbem.WBEMConnection) -> None:
        self.connection = connection
        self.server = pywbem.WBEMServer(connection)
        self._walked: dict[tuple[pywbem.CIMInstanceName, str], Found] = {}
        self._central: dict[str, Found] = {}

    def central(self, name: str) -> Found:
        """The central instances of the profile registered under a name."""
        if name not in self._central:
            (profile,) = self.server.get_selected_profiles("DMTF", name)
            found = self.connection.Associators(profile.path, AssocClass="CIM_ElementConformsToProfile")
            self._central[name] = {one.path: one for one in found}
        return self._central[name]

    def hop(self, start: pywbem.CIMInstanceName, hop: str) -> Found:
        """What one hop leads to. The first of it must lead back."""
        if (start, hop) not in self._walked:
            association, role, cls = hop.split()
            found = self.connection.Associators(start, AssocClass=association, Role=role, ResultClass=cls)
            for one in found[:1]:
                back = self.connection.AssociatorNames(one.path, AssocClass=association, ResultRole=role)
                assert _key(start) in map(_key, back), f"{one.path} does not lead back to {start}"
            self._walked[start, hop] = {one.path: one for one in found}
        return self._walked[start, hop]


def _key(path: pywbem.CIMInstanceName) -> Any:
    return path.classname.lower(), path.namespace.lower(), tuple(sorted(path.keybindings.items()))


@pytest.fixture(scope="module", params=[1, 3], ids=["one host", "pool of three"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    running = start_server(
        tmp_path_factory.mktemp("walk"), "--hosts", str(request.param), "--vms", "4", "--speed", "10"
    )
    try:
        session = XenAPI.Session(running.ready["xenapi"])
        with contextlib.ExitStack() as stack:
            stack.callback(session("close"))
            session.login_with_password(running.user, running.password, "2.21", "tests")
            _start_with_a_disc(session.xenapi)
            _have_a_vlan(session.xenapi)
        with pywbem.WBEMConnection(
            running.ready["wbem"], (running.user, running.password), default_namespace="root/cimv2", timeout=30
        ) as connection:
            yield Client(connection)
    finally:
        ended = running.stop()
    assert ended == 0, running.output


def _start_with_a_disc(xenapi: Any) -> None:
    """A machine that starts with a disc in its drive: a new pool has none."""
    machines = xenapi.VM.get_all_records().items()
    machine = next(ref for ref, vm in machines if vm["power_state"] == "Running" and not vm["is_control_domain"])
    xenapi.VM.hard_shutdown(machine)
    discs = next(sr["VDIs"] for sr in xenapi.SR.get_all_records().values() if sr["content_type"] == "iso")
    drive = {
        "VM": machine, "VDI": discs[0], "userdevice": "9", "mode": "RO", "type": "CD", "empty": False,
        "bootable": False, "unpluggable": True, "other_config": {}, "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }  # fmt: skip
    xenapi.VBD.create(drive)
    xenapi.VM.start(machine, False, False)


def _have_a_vlan(xenapi: Any) -> None:
    office = {"name_label": "office", "name_description": "", "MTU": "1500", "other_config": {}, "tags": []}
    xenapi.pool.create_VLAN("eth0", xenapi.network.create(office), "7")


def test_every_profile_is_registered_with_its_version(client: Client) -> None:
    registered = {(one["RegisteredName"], one["RegisteredVersion"]) for one in client.server.profiles}
    assert registered == {(profile.name, profile.version) for profile in PROFILES}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " > ".join((row.profile, *(h.split()[2] for h in row.hops))))
def test_a_client_gets_to_what_a_profile_asks_for(client: Client, row: Row) -> None:
    here = client.central(row.profile)
    for hop in row.hops:
        here = {path: one for start in here for path, one in client.hop(start, hop).items()}
        assert here, f"nothing at the end of {hop}"
    for path, one in here.items():
        assert [name for name in row.properties if one[name] is None] == [], path
