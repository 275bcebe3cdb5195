"""The profiles over HTTP, as pywbem finds them: registration, central instances, and a walk from machine to pool."""

from __future__ import annotations

import pytest
import pywbem


@pytest.fixture(autouse=True)
def _odd_pool(odd: dict[str, str]) -> None:
    """All tests here look at the odd machines too."""


def test_every_profile_has_central_instances(wbem: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(wbem)
    empty = {p["RegisteredName"] for p in server.profiles if not server.get_central_instances(p.path)}
    assert len(server.profiles) > 15
    assert empty <= {"Job Control"}  # jobs come and go


def test_a_client_walks_from_a_machine_over_its_configurations_to_the_pools(wbem: pywbem.WBEMConnection) -> None:
    systems = [one for one in wbem.EnumerateInstances("Xen_ComputerSystem") if one["EnabledState"] == 2]
    assert systems
    for system in systems:
        (state,) = wbem.AssociatorNames(system.path, AssocClass="CIM_SettingsDefineState")
        (defined,) = wbem.AssociatorNames(
            state,
            AssocClass="CIM_ElementSettingData",
            ResultRole="SettingData",
            ResultClass="CIM_VirtualSystemSettingData",
        )
        assert [path["InstanceID"] for path in (defined, state)] == [
            f"Xen:{system['Name']}",
            f"Xen:{system['Name']}/State",
        ]
        parts = wbem.Associators(state, AssocClass="CIM_VirtualSystemSettingDataComponent")
        devices = wbem.AssociatorNames(system.path, AssocClass="CIM_SystemDevice")
        assert {"Xen_ProcessorSettingData", "Xen_MemorySettingData"} <= {part.classname for part in parts}
        reached = set()
        for part in parts:
            reached |= {str(p) for p in wbem.AssociatorNames(part.path, AssocClass="CIM_SettingsDefineState")}
            for pool in wbem.Associators(part.path, AssocClass="CIM_ResourceAllocationFromPool"):
                assert pool["PoolID"] == part["PoolID"]
                assert wbem.AssociatorNames(pool.path, AssocClass="CIM_HostedResourcePool")
        assert reached == {str(device) for device in devices}
