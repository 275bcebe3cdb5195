"""DSP1057 and DSP1042: a virtual machine in every state, its host, its configuration, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from cim_pool import NULL, SmallPool, graph

from cim_provider.mapping.check import fits
from cim_provider.mapping.view import VIEWS
from cim_provider.methods.state_change import REPEATABLE
from cim_provider.profiles.computer_system import STATES, TRANSITIONS
from xenapi_core.model.enums import VM_OPERATIONS, VM_POWER_STATE
from xenapi_core.model.lifecycle import REQUESTED_STATE


@pytest.fixture
def pool() -> SmallPool:
    pool = SmallPool()
    pool.vm("web", resident_on=pool.refs["host-0"])
    return pool


def system(pool: SmallPool, **values: Any) -> dict[str, Any]:
    pool.set("web", **values)
    return dict(pool.values("Xen_ComputerSystem", "web"))


# Power state -> EnabledState, OperationalStatus, OperatingStatus, AvailableRequestedStates without guest tools.
# fmt: off
RESTING = [
    ("Halted",    3, (10,), 5,  (2,)),
    ("Running",   2, (2,),  16, (3, 9, 11)),
    ("Paused",    9, (2,),  7,  (2, 3, 11)),
    ("Suspended", 6, (10,), 7,  (2, 3)),
]

# Power state, operation in progress -> EnabledState, OperationalStatus, OperatingStatus, TransitioningToState.
MOVING = [
    ("Running", "clean_shutdown", 4,  (9,),    13, 4),
    ("Running", "hard_shutdown",  4,  (9,),    13, 3),
    ("Halted",  "start",          10, (8,),    3,  2),
    ("Suspended", "resume",       10, (8,),    3,  2),
    ("Running", "pool_migrate",   2,  (2, 19), 9,  5),
    ("Running", "migrate_send",   2,  (2, 19), 9,  5),
    ("Running", "snapshot",       2,  (2,),    12, 5),
    ("Halted",  "snapshot",       3,  (10,),   12, 5),
    ("Running", "checkpoint",     2,  (2,),    12, 5),
    ("Running", "suspend",        2,  (2,),    16, 6),
    ("Running", "pause",          2,  (2,),    16, 9),
    ("Running", "clean_reboot",   2,  (2,),    16, 10),
    ("Running", "hard_reboot",    2,  (2,),    16, 11),
]
# fmt: on


@pytest.mark.parametrize(("state", "enabled", "operational", "operating", "available"), RESTING)
def test_a_machine_at_rest_shows_its_power_state(
    pool: SmallPool, state: str, enabled: int, operational: tuple[int, ...], operating: int, available: tuple[int, ...]
) -> None:
    found = system(pool, power_state=state)
    assert found["EnabledState"] == enabled
    assert found["OperationalStatus"] == operational
    assert found["OperatingStatus"] == operating
    assert found["HealthState"] == 5
    assert (found["RequestedState"], found["TransitioningToState"]) == (12, 5)
    assert found["AvailableRequestedStates"] == available


@pytest.mark.parametrize(("state", "operation", "enabled", "operational", "operating", "goal"), MOVING)
def test_a_machine_in_transition_shows_where_it_goes(
    pool: SmallPool, state: str, operation: str, enabled: int, operational: tuple[int, ...], operating: int, goal: int
) -> None:
    task = pool.add("task", "task")
    found = system(pool, power_state=state, current_operations={task: operation})
    assert found["EnabledState"] == enabled
    assert found["OperationalStatus"] == operational
    assert found["OperatingStatus"] == operating
    assert found["TransitioningToState"] == goal
    assert found["RequestedState"] == (12 if goal == 5 else goal)


def test_the_tables_know_every_power_state_and_only_operations_that_exist() -> None:
    assert set(STATES) == set(VM_POWER_STATE.values) >= set(REPEATABLE.values())
    assert set(TRANSITIONS) <= set(VM_OPERATIONS.values)
    assert set(REPEATABLE) <= set(REQUESTED_STATE)


def test_identity_and_names_of_a_machine(pool: SmallPool) -> None:
    found = system(pool, name_label="web server", name_description="serves", domid=7)
    assert (found["CreationClassName"], found["Name"]) == ("Xen_ComputerSystem", pool.uuid("web"))
    assert (found["ElementName"], found["Description"]) == ("web server", "serves")
    assert dict(zip(found["IdentifyingDescriptions"], found["OtherIdentifyingInfo"], strict=True)) == {
        "Xen domain": "7"
    }


def test_times_of_a_machine_come_from_its_metrics(pool: SmallPool) -> None:
    assert system(pool)["TimeOfLastStateChange"] is None
    pool.set("web/metrics", start_time=1_767_225_600, install_time=1_767_225_601)
    found = system(pool)
    assert found["TimeOfLastStateChange"] == "20260101000000.000000+000"
    assert found["InstallDate"] == "20260101000001.000000+000"


SETTING_CLASSES = {
    "Xen_VirtualSystemSettingData",
    "Xen_ProcessorSettingData",
    "Xen_MemorySettingData",
    "Xen_DiskSettingData",
    "Xen_NetworkPortSettingData",
}


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("is_a_template", SETTING_CLASSES), ("is_a_snapshot", SETTING_CLASSES), ("is_control_domain", set())],
)
def test_what_is_no_virtual_machine_has_a_defined_configuration_at_most(
    pool: SmallPool, flag: str, expected: set[str]
) -> None:
    pool.set("web", power_state="Running")
    pool.disk("disk", "web")
    pool.nic("nic", "web")
    shown = [pool.provider.extent(v) for v in VIEWS.values() if v.of in ("VM", "VBD", "VIF")]
    before = {extent.view.cim for extent in shown if list(extent)}
    assert before >= SETTING_CLASSES | {"Xen_ComputerSystem", "Xen_Processor", "Xen_Memory", "Xen_LogicalDisk"}
    pool.set("web", **{flag: True})
    assert {extent.view.cim for extent in shown if list(extent)} == expected
    assert {one.item for extent in shown for one in extent} <= {None}


# fmt: off
SETTINGS = [
    ({"domain_type": "hvm"},                    "VirtualSystemType", "DMTF:Xen:HVM"),
    ({"domain_type": "pv"},                     "VirtualSystemType", "DMTF:Xen:PV"),
    ({"domain_type": "pvh"},                    "VirtualSystemType", "DMTF:Xen:PVH"),
    ({"domain_type": "pv_in_pvh"},              "VirtualSystemType", "DMTF:Xen:PV"),
    ({"domain_type": "unspecified", "HVM_boot_policy": "BIOS order"}, "VirtualSystemType", "DMTF:Xen:HVM"),
    ({"domain_type": "unspecified", "HVM_boot_policy": ""}, "VirtualSystemType", "DMTF:Xen:PV"),
    ({"other_config": {"auto_poweron": "true"}}, "AutomaticStartupAction", 4),
    ({"ha_restart_priority": "restart"},        "AutomaticStartupAction", 3),
    ({"other_config": {"auto_poweroff": "hard_shutdown"}}, "AutomaticShutdownAction", 2),
    ({"other_config": {"auto_poweroff": "clean_shutdown"}}, "AutomaticShutdownAction", 4),
    ({"other_config": {"auto_poweroff": "destroy"}}, "AutomaticShutdownAction", None),
    ({},                                        "AutomaticStartupAction", 2),
    ({"start_delay": 90},                       "AutomaticStartupActionDelay", "00000000000130.000000:000"),
    ({"order": 3},                              "AutomaticStartupActionSequenceNumber", 3),
    ({"order": -1},                             "AutomaticStartupActionSequenceNumber", None),
    ({"actions_after_crash": "destroy"},        "AutomaticRecoveryAction", 2),
    ({"actions_after_crash": "coredump_and_restart"}, "AutomaticRecoveryAction", 3),
    ({"tags": ("prod", "web")},                 "Notes", ("prod", "web")),
    ({"HVM_boot_params": {"order": "cd"}},      "HVM_Boot_Params", ("order=cd",)),
    ({"platform": {"acpi": "1", "nx": "true"}}, "Platform", ("acpi=1", "nx=true")),
]
# fmt: on


@pytest.mark.parametrize(("record", "name", "value"), SETTINGS)
def test_the_configuration_of_a_machine(pool: SmallPool, record: dict[str, Any], name: str, value: Any) -> None:
    pool.set("web", **record)
    assert pool.values("Xen_VirtualSystemSettingData", "web")[name] == value


def test_the_configuration_is_identified_by_the_machine(pool: SmallPool) -> None:
    found = pool.values("Xen_VirtualSystemSettingData", "web")
    assert found["InstanceID"] == f"Xen:{pool.uuid('web')}"
    assert found["VirtualSystemIdentifier"] == pool.uuid("web")


def test_the_types_a_host_supports_are_those_machines_and_switches_have(pool: SmallPool) -> None:
    supported = pool.values("Xen_VirtualSystemManagementCapabilities", "host-0")["VirtualSystemTypesSupported"]
    switch = pool.values("Xen_VirtualSwitchSettingData", "lan")["VirtualSystemType"]
    assert {row[2] for row in SETTINGS if row[1] == "VirtualSystemType"} | {switch} == set(supported)


@pytest.mark.parametrize(
    ("enabled", "live", "expected"),
    [
        (True, True, (2, (2,), 5)),
        (False, True, (6, (2,), 5)),
        (True, False, (0, (12,), 0)),
        (False, False, (3, (12,), 0)),
    ],
)
def test_a_host_shows_maintenance_and_loss_of_contact(
    pool: SmallPool, enabled: bool, live: bool, expected: tuple[Any, ...]
) -> None:
    pool.set("host-1", enabled=enabled)
    pool.set("host-1/metrics", live=live)
    found = pool.values("Xen_HostComputerSystem", "host-1")
    assert (found["EnabledState"], found["OperationalStatus"], found["HealthState"]) == expected


def test_every_value_of_every_instance_fits_its_declaration(pool: SmallPool) -> None:
    pool.disk("disk", "web")
    pool.disk("cd", "web", type="CD", mode="RO", VDI=NULL, empty=True)
    pool.nic("nic", "web")
    pool.add("task", "task", status="failure", error_info=("SR_FULL", "1", "2"), finished=pool.clock.now())
    for state in VM_POWER_STATE.values:
        pool.set("web", power_state=state)
        for view in VIEWS.values():
            cls = graph().classes[view.cim.lower()]
            for shown in pool.provider.extent(view):
                for name, value in shown.values.items():
                    assert fits(cls.properties[name.lower()], value), f"{view.cim}.{name} = {value!r}"
