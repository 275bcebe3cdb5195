"""The VM lifecycle table, row by row, and the checks around it in their documented order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import VM_OPERATIONS, VM_POWER_STATE
from xenapi_core.model.lifecycle import (
    OPERATIONS,
    REQUESTED_STATE,
    allowed_vm_operations,
    check_vm_operation,
    requested_states_supported,
)
from xenapi_core.testing.records import Records

H, P, S, R = "Halted", "Paused", "Suspended", "Running"
ANY = (H, P, R, S)

# The table of the API reference again, written down independently of the code: operations -> states.
ALLOWED_FROM: dict[tuple[str, ...], tuple[str, ...]] = {
    ("start", "start_on"): (H,),
    ("pause",): (R,),
    ("unpause",): (P,),
    ("suspend",): (R,),
    ("resume", "resume_on"): (S,),
    ("clean_shutdown", "clean_reboot"): (R,),
    ("shutdown", "hard_shutdown"): (P, S, R),
    ("hard_reboot",): (P, R),
    ("pool_migrate",): (R,),
    ("migrate_send",): (H, S, R),
    (
        "snapshot", "revert", "reverting", "metadata_export", "power_state_reset", "assert_operation_valid",
        "update_allowed_operations", "query_services",
    ): ANY,
    ("checkpoint", "get_boot_record"): (P, S, R),
    ("clone", "copy"): (H,),
    ("export", "destroy", "create_template"): (H, S),
    (
        "provision", "make_into_template", "changing_shadow_memory", "changing_NVRAM", "create_vtpm", "changing_VCPUs",
        "changing_static_range", "changing_memory_limits",
    ): (H,),
    ("changing_dynamic_range",): (H, R),
    (
        "changing_memory_live", "awaiting_memory_live", "changing_VCPUs_live", "changing_shadow_memory_live",
        "send_sysrq", "send_trigger", "call_plugin", "data_source_op", "snapshot_with_quiesce", "sysprep",
    ): (R,),
    ("csvm",): (S,),
    ("import",): (),
}  # fmt: skip
STATES = {name: states for names, states in ALLOWED_FROM.items() for name in names}

NOT_LISTED = {
    "create_template", "power_state_reset", "csvm", "get_boot_record", "send_sysrq", "send_trigger", "query_services",
    "shutdown", "call_plugin", "changing_memory_live", "awaiting_memory_live", "changing_memory_limits",
    "changing_shadow_memory_live", "changing_VCPUs", "assert_operation_valid", "data_source_op",
    "update_allowed_operations", "import", "reverting",
}  # fmt: skip


class World(Records):
    """One VM in a store."""

    def __init__(self, **values: Any) -> None:
        super().__init__("lifecycle")
        self.metrics = self.add("VM_metrics", current_domain_type="pv")
        self.ref = self.add("VM", metrics=self.metrics, **values)

    def check(self, operation: str, **options: Any) -> None:
        check_vm_operation(self.store, self.store.get(self.ref), operation, **options)

    def error(self, operation: str, **options: Any) -> list[str]:
        with pytest.raises(ApiError) as failure:
            self.check(operation, **options)
        return failure.value.description

    def allowed(self) -> tuple[str, ...]:
        return allowed_vm_operations(self.store, self.store.get(self.ref))


def test_table_has_one_row_per_operation_in_schema_order() -> None:
    assert tuple(OPERATIONS) == VM_OPERATIONS.values
    assert set(STATES) == set(VM_OPERATIONS.values)
    assert {name for name, row in OPERATIONS.items() if not row.listed} == NOT_LISTED


@pytest.mark.parametrize("state", VM_POWER_STATE.values)
@pytest.mark.parametrize("operation", VM_OPERATIONS.values)
def test_operation_is_allowed_in_its_states_and_refused_in_others(operation: str, state: str) -> None:
    world = World(power_state=state)
    expected = STATES[operation]
    if state not in expected:
        names = ", ".join(name.lower() for name in expected)
        assert world.error(operation) == ["VM_BAD_POWER_STATE", world.ref, names, state.lower()]
        assert operation not in world.allowed()
        return
    special = {
        "provision": ["PROVISION_ONLY_ALLOWED_ON_TEMPLATE"],
        "revert": ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"],
        "reverting": ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"],
        "snapshot_with_quiesce": ["VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", world.ref, "not supported"],
    }
    if operation in special:
        assert world.error(operation) == special[operation]
    else:
        world.check(operation)
        assert (operation in world.allowed()) == (operation not in NOT_LISTED)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (H, {"start", "start_on", "clone", "copy", "snapshot", "export", "destroy", "make_into_template",
             "migrate_send", "metadata_export", "changing_dynamic_range", "changing_static_range",
             "changing_shadow_memory", "changing_NVRAM", "create_vtpm"}),
        (R, {"clean_shutdown", "clean_reboot", "hard_shutdown", "hard_reboot", "pause", "suspend", "snapshot",
             "checkpoint", "pool_migrate", "migrate_send", "changing_dynamic_range", "changing_VCPUs_live",
             "metadata_export", "sysprep"}),
        (P, {"unpause", "hard_shutdown", "hard_reboot", "snapshot", "checkpoint", "metadata_export"}),
        (S, {"resume", "resume_on", "hard_shutdown", "snapshot", "checkpoint", "export", "destroy", "migrate_send",
             "metadata_export"}),
    ],
)  # fmt: skip
def test_allowed_operations_of_a_plain_vm(state: str, expected: set[str]) -> None:
    allowed = World(power_state=state).allowed()
    assert set(allowed) == expected
    assert list(allowed) == sorted(allowed, key=VM_OPERATIONS.values.index)


def test_blocked_operation_comes_before_everything_else() -> None:
    world = World(power_state=H, blocked_operations={"pause": "because"}, current_operations={"t": "start"})
    assert world.error("pause") == ["OPERATION_BLOCKED", world.ref, "because"]


def test_power_state_comes_before_concurrency() -> None:
    world = World(power_state=H, current_operations={"t": "start"}, is_a_template=True)
    assert world.error("pause")[0] == "VM_BAD_POWER_STATE"


def test_concurrency_comes_before_template() -> None:
    world = World(power_state=H, current_operations={"t": "export"}, is_a_template=True)
    assert world.error("start") == ["OTHER_OPERATION_IN_PROGRESS", "VM", world.ref, "export", "t"]


def test_several_operations_in_progress_are_told_as_lists() -> None:
    world = World(power_state=H, current_operations={"t1": "clone", "t2": "data_source_op"})
    assert world.error("start") == [
        "OTHER_OPERATION_IN_PROGRESS", "VM", world.ref, "{clone,data_sources_op}", "{t1,t2}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "current", "state"),
    [
        ("clone", "copy", H), ("copy", "export", H), ("export", "clone", H),
        ("snapshot", "checkpoint", R), ("snapshot", "snapshot", R), ("checkpoint", "snapshot", R),
        ("clean_shutdown", "migrate_send", R), ("clean_reboot", "migrate_send", R),
        *[("hard_shutdown", other, R) for other in VM_OPERATIONS.values if other != "hard_shutdown"],
        *[("hard_reboot", o, R) for o in ("clean_shutdown", "clean_reboot", "pool_migrate", "call_plugin", "suspend")],
    ],
)  # fmt: skip
def test_operations_that_may_begin_beside_others(operation: str, current: str, state: str) -> None:
    World(power_state=state, current_operations={"t": current}).check(operation)


@pytest.mark.parametrize(
    ("operation", "current", "state"),
    [
        ("hard_shutdown", "hard_shutdown", R), ("hard_reboot", "hard_shutdown", R), ("hard_reboot", "hard_reboot", R),
        ("start", "start", H), ("clone", "snapshot", H), ("snapshot", "clone", H), ("clean_shutdown", "suspend", R),
        ("pause", "clean_reboot", R), ("destroy", "clone", H), ("suspend", "hard_shutdown", R),
    ],
)  # fmt: skip
def test_operations_that_must_wait_for_others(operation: str, current: str, state: str) -> None:
    world = World(power_state=state, current_operations={"t": current})
    assert world.error(operation) == ["OTHER_OPERATION_IN_PROGRESS", "VM", world.ref, current, "t"]


def test_hard_shutdown_cancels_what_stands_in_its_way() -> None:
    assert set(OPERATIONS["hard_shutdown"].cancels) == {
        "clean_shutdown", "clean_reboot", "hard_reboot", "pool_migrate", "call_plugin", "shutdown", "suspend",
    }  # fmt: skip


ON_TEMPLATE = {
    "changing_dynamic_range", "changing_static_range", "changing_memory_limits", "changing_shadow_memory",
    "changing_VCPUs", "changing_NVRAM", "clone", "copy", "export", "metadata_export", "provision", "destroy",
    "migrate_send",
}  # fmt: skip


@pytest.mark.parametrize("operation", sorted(name for name, states in STATES.items() if H in states))
def test_operations_on_a_template(operation: str) -> None:
    world = World(power_state=H, is_a_template=True)
    spelled = {"create_template": "(unknown operation)", "query_services": "(unknown operation)",
               "assert_operation_valid": "assertoperationvalid"}  # fmt: skip
    if operation in ON_TEMPLATE:
        world.check(operation)
    else:
        assert world.error(operation) == ["VM_IS_TEMPLATE", world.ref, spelled.get(operation, operation)]


@pytest.mark.parametrize("operation", ["destroy", "migrate_send"])
def test_default_template_stays(operation: str) -> None:
    world = World(power_state=H, is_a_template=True, is_default_template=True)
    assert world.error(operation) == ["VM_IS_TEMPLATE", world.ref, operation]


ON_SNAPSHOT = {"revert", "reverting", "clone", "copy", "export", "destroy", "metadata_export"}


@pytest.mark.parametrize("operation", sorted(name for name, states in STATES.items() if H in states))
def test_operations_on_a_snapshot(operation: str) -> None:
    world = World(power_state=H, is_a_template=True, is_a_snapshot=True)
    if operation in ON_SNAPSHOT:
        world.check(operation)
    else:
        assert world.error(operation)[:2] == ["VM_IS_SNAPSHOT", world.ref]


def test_suspended_snapshot_can_be_cloned_and_shut_down() -> None:
    world = World(power_state=S, is_a_template=True, is_a_snapshot=True)
    world.check("clone")
    world.check("hard_shutdown")
    assert "clone" in world.allowed()


@pytest.mark.parametrize("operation", ["suspend", "checkpoint", "pool_migrate", "migrate_send"])
def test_immobile_vm_stays_where_it_is(operation: str) -> None:
    for key in ("nomigrate", "nested-virt"):
        world = World(power_state=R, platform={key: "true"})
        assert world.error(operation) == ["VM_IS_IMMOBILE", world.ref]


def test_control_domain_is_left_alone() -> None:
    world = World(power_state=R, is_control_domain=True)
    for operation in ("clean_shutdown", "hard_shutdown", "suspend", "snapshot"):
        assert world.error(operation)[0] == "OPERATION_NOT_ALLOWED"
    for operation in ("changing_VCPUs", "changing_static_range", "changing_memory_limits", "changing_dynamic_range"):
        world.check(operation)


@pytest.mark.parametrize(
    "operation", ["clean_shutdown", "clean_reboot", "suspend", "checkpoint", "pool_migrate", "changing_VCPUs_live"]
)
def test_hvm_guest_without_drivers_lacks_features_unless_forced(operation: str) -> None:
    world = World(power_state=R)
    world.change(world.metrics, current_domain_type="hvm")
    assert world.error(operation) == ["VM_LACKS_FEATURE", world.ref]
    assert operation not in world.allowed()
    if operation == "changing_VCPUs_live":
        assert world.error(operation, strict=False) == ["VM_LACKS_FEATURE", world.ref]
    else:
        world.check(operation, strict=False)
    world.change(world.ref, guest_metrics=world.add("VM_guest_metrics", PV_drivers_detected=True))
    world.check(operation)


def test_guest_may_refuse_to_be_suspended() -> None:
    world = World(power_state=R)
    agent = world.add("VM_guest_metrics", other={"data-cant-suspend-reason": "busy"}, PV_drivers_detected=True)
    world.change(world.ref, guest_metrics=agent)
    assert world.error("suspend") == ["VM_NON_SUSPENDABLE", world.ref, "busy"]
    world.check("clean_shutdown")


@pytest.mark.parametrize("operation", ["snapshot", "checkpoint", "suspend"])
def test_disk_that_resets_at_boot_is_in_no_saved_state(operation: str) -> None:
    world = World(power_state=R)
    vdi = world.add("VDI", on_boot="reset")
    world.add("VBD", VM=world.ref, VDI=vdi, userdevice="0")
    assert world.error(operation) == ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_allowed_operations_are_exactly_those_the_check_lets_pass(data: st.DataObject) -> None:
    pick = data.draw
    flags = {
        name: pick(st.booleans(), label=name)
        for name in ("is_a_template", "is_a_snapshot", "is_control_domain", "is_default_template")
    }
    operations = st.sampled_from(VM_OPERATIONS.values)
    world = World(
        power_state=pick(st.sampled_from(VM_POWER_STATE.values)),
        current_operations=pick(st.dictionaries(st.sampled_from("ab"), operations, max_size=2)),
        blocked_operations=pick(st.dictionaries(operations, st.just("no"), max_size=2)),
        platform=pick(st.sampled_from([{}, {"nomigrate": "true"}, {"nested-virt": "true"}, {"nomigrate": "false"}])),
        other_config=pick(st.sampled_from([{}, {"default_template": "true"}, {"default_template": "no"}])),
        appliance=pick(st.sampled_from([NULL_REF, "OpaqueRef:a"])),
        snapshot_schedule=pick(st.sampled_from([NULL_REF, "OpaqueRef:s"])),
        **flags,
    )
    world.change(world.metrics, current_domain_type=pick(st.sampled_from(["pv", "hvm", "unspecified"])))
    keys = ("feature-suspend", "feature-shutdown", "feature-vcpu-hotplug", "data-cant-suspend-reason")
    other = {key: pick(st.sampled_from(["1", "0"])) for key in keys if pick(st.booleans())}
    if pick(st.booleans()):
        agent = world.add("VM_guest_metrics", other=other, PV_drivers_detected=pick(st.booleans()))
        world.change(world.ref, guest_metrics=agent)

    def passes(operation: str) -> bool:
        try:
            world.check(operation)
        except ApiError:
            return False
        return True

    assert world.allowed() == tuple(name for name in VM_OPERATIONS.values if name not in NOT_LISTED and passes(name))


@pytest.mark.parametrize(
    ("cls", "field", "code"),
    [
        ("PCI", "attached_VMs", "VM_HAS_PCI_ATTACHED"),
        ("VGPU", "VM", "VM_HAS_VGPU"),
        ("VUSB", "VM", "VM_HAS_VUSBS"),
    ],
)
def test_vm_with_devices_of_its_host_stays_and_is_not_saved(cls: str, field: str, code: str) -> None:
    world = World(power_state=R)
    world.add(cls, **{field: (world.ref,) if cls == "PCI" else world.ref})
    for operation in ("suspend", "checkpoint", "pool_migrate", "migrate_send"):
        assert world.error(operation) == [code, world.ref]
        assert operation not in world.allowed()
    assert ("snapshot" in world.allowed()) == (cls != "VUSB")
    world.check("clean_shutdown")


def test_vm_in_an_appliance_does_not_become_a_template() -> None:
    world = World(power_state=H, appliance="OpaqueRef:a")
    assert world.error("make_into_template") == ["VM_IS_PART_OF_AN_APPLIANCE", world.ref, "OpaqueRef:a"]


def test_requested_states_follow_the_table() -> None:
    assert {code: dict(by_state) for code, by_state in REQUESTED_STATE.items()} == {
        2: {H: "start", P: "unpause", S: "resume"},
        3: {P: "hard_shutdown", S: "hard_shutdown", R: "hard_shutdown"},
        4: {R: "clean_shutdown"},
        6: {R: "suspend"},
        9: {R: "pause"},
        10: {R: "clean_reboot"},
        11: {P: "hard_reboot", R: "hard_reboot"},
    }


@pytest.mark.parametrize(
    ("state", "codes"), [(H, (2,)), (P, (2, 3, 11)), (S, (2, 3)), (R, (3, 4, 6, 9, 10, 11))], ids=[H, P, S, R]
)
def test_requested_states_supported_in_each_state(state: str, codes: tuple[int, ...]) -> None:
    world = World(power_state=state, affinity=NULL_REF)
    assert requested_states_supported(world.store, world.store.get(world.ref)) == codes
