"""Which test holds us to which row of sections 9 to 13 of the wire reference; each test named here exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]

# Section -> row -> tests, each as "path without .py::test", below tests/; "." is conformance/xenapi.
ROWS = {
    "9 operations": {
        "allowed states and end state of each operation": [
            "./test_section_9_lifecycle::test_operation_in_state",
            "unit/test_lifecycle_vm::test_operation_is_allowed_in_its_states_and_refused_in_others",
        ],
        "hard_shutdown beside and over others": [
            "./test_section_9_lifecycle::test_hard_shutdown_is_allowed_beside_a_clean_one_and_cancels_it",
            "unit/test_lifecycle_vm::test_hard_shutdown_cancels_what_stands_in_its_way",
        ],
        "what may run beside what": [
            "unit/test_lifecycle_vm::test_operations_that_may_begin_beside_others",
            "unit/test_lifecycle_vm::test_operations_that_must_wait_for_others",
        ],
        "snapshot_with_quiesce": ["./test_section_9_rules::test_quiesced_snapshots_are_a_call_of_the_past"],
        "destroy from Halted and Suspended": [
            "./test_section_9_lifecycle::test_destroy_wants_a_vm_that_does_not_run",
        ],
        "allowed_operations of a plain VM": [
            "./test_section_9_lifecycle::test_each_state_allows_its_operations",
            "unit/test_lifecycle_vm::test_allowed_operations_are_exactly_those_the_check_lets_pass",
        ],
    },
    "9 check order": {
        "1 blocked": ["./test_section_9_lifecycle::test_blocked_operations_come_before_the_power_state"],
        "2 power state": ["unit/test_lifecycle_vm::test_power_state_comes_before_concurrency"],
        "3 concurrency": [
            "unit/test_lifecycle_vm::test_concurrency_comes_before_template",
            "unit/test_lifecycle_vm::test_several_operations_in_progress_are_told_as_lists",
        ],
        "4 template": [
            "./test_section_9_lifecycle::test_templates_and_snapshots_are_not_started",
            "unit/test_lifecycle_vm::test_operations_on_a_template",
        ],
        "5 snapshot": ["unit/test_lifecycle_vm::test_operations_on_a_snapshot"],
        "6 provision and revert": ["./test_section_9_lifecycle::test_what_is_not_for_plain_vms"],
        "7 immobile": ["./test_section_9_rules::test_an_immobile_vm_keeps_its_memory_where_it_is"],
        "8 control domain": ["./test_section_9_lifecycle::test_control_domains_are_left_alone"],
        "9 guest features": [
            "unit/test_lifecycle_vm::test_hvm_guest_without_drivers_lacks_features_unless_forced",
            "unit/test_lifecycle_vm::test_guest_may_refuse_to_be_suspended",
        ],
        "10 disks that forget": ["./test_section_9_rules::test_disks_that_forget_are_in_no_saved_state"],
        "11 devices passed through": [
            "unit/test_lifecycle_vm::test_vm_with_devices_of_its_host_stays_and_is_not_saved",
        ],
        "12 appliance": ["./test_section_9_rules::test_a_vm_of_an_appliance_is_made_no_template"],
        "14 create_vtpm": ["./test_section_9_rules::test_second_module_is_refused"],
    },
    "9 states": {
        "what a state leaves in the records": [
            "./test_section_9_lifecycle::test_what_a_state_leaves_in_the_records",
            "unit/test_plans_power::test_shutdown_returns_everything",
        ],
        "messages": ["./test_section_9_lifecycle::test_operations_leave_messages"],
        "start clears guest_metrics": ["unit/test_engine_reconcile::test_new_boot_forgets_what_the_old_guest_reported"],
        "a second start waits and is told": ["./test_section_9_lifecycle::test_two_starts_at_once_are_one_start"],
        "power_state_reset": [
            "./test_section_9_rules::test_power_state_of_a_control_domain_is_not_reset",
            "unit/test_api_host::test_vms_of_a_host_that_lost_power_can_be_reset_or_are_halted_when_it_is_back",
        ],
    },
    "9 choice of a host": {
        "HOST_DISABLED": ["./test_section_12_hosts::test_a_disabled_host_takes_no_vm_until_it_is_enabled"],
        "HOST_OFFLINE, VM_REQUIRES_SR": ["unit/test_plans_power::test_host_that_is_down_or_unconnected_is_refused"],
        "start_on raises what a host lacks": ["unit/test_plans_power::test_start_on_says_why_that_host_cannot"],
        "memory": ["./test_section_9_rules::test_no_host_has_that_much_memory"],
        "NO_HOSTS_AVAILABLE": [
            "./test_section_12_hosts::test_what_keeps_a_vm_here_is_told_before_and_by_the_evacuation",
        ],
        "HOST_EVACUATE_IN_PROGRESS": [
            "unit/test_api_host::test_evacuation_moves_every_vm_in_batches_with_tasks_of_their_own",
        ],
        "a network without interfaces is no obstacle": [
            "./test_section_9_rules::test_a_host_without_the_network_or_the_storage_is_not_chosen",
        ],
    },
    "9 further errors": {
        "VM.destroy": [
            "./test_section_9_rules::test_default_templates_stay",
            "unit/test_plans_copies::test_destroy_removes_the_vm_and_its_devices_but_not_its_disks",
            "unit/test_plans_copies::test_destroying_a_snapshot_hands_its_children_to_its_parent",
        ],
        "set_VCPUs": ["./test_section_9_rules::test_processors_at_startup_are_between_one_and_all"],
        "set_memory": ["./test_section_9_rules::test_memory_limits_keep_their_order"],
        "set_ha_restart_priority": ["./test_section_9_rules::test_restart_priorities_are_three"],
        "pool_migrate": [
            "unit/test_plans_vm_migrate::test_host_that_takes_no_vms_is_refused",
            "unit/test_plans_vm_migrate::test_storage_network_and_memory_of_the_other_host_are_asked_for",
        ],
    },
    "10": {
        "disks": ["./test_section_10_copies::test_disks_of_a_copy_are_its_own"],
        "copy to an ISO library": ["./test_section_10_copies::test_a_copy_does_not_go_to_an_iso_library"],
        "power state, template, name, MACs, snapshot_of, parent, snapshot_info": [
            "./test_section_10_copies::test_what_a_copy_is",
        ],
        "owner and CDs": [
            "./test_section_10_copies::test_copied_disks_are_owned_by_the_copy_and_cds_keep_their_medium",
        ],
        "ignore_vdis": ["./test_section_10_copies::test_third_argument_of_snapshot_names_disks_to_leave_out"],
        "clone of a snapshot is Halted": ["./test_section_10_copies::test_a_clone_of_a_checkpoint_is_halted"],
        "revert": [
            "./test_section_10_copies::test_reverted_vm_is_what_its_snapshot_is",
            "unit/test_plans_copies::test_revert_brings_disks_settings_and_memory_back",
        ],
        "template instantiation": [
            "./test_section_10_copies::test_template_becomes_a_vm_with_the_disks_it_describes",
            "./test_section_10_copies::test_template_with_a_repository_nobody_knows_stays_a_template",
        ],
        "failure leaves nothing": ["faults/test_plan_undo::test_a_failing_driver_call_leaves_the_world_as_it_was"],
    },
    "11 VBD": {
        "create": ["./test_section_11_devices::test_vbd_create_refuses_what_cannot_be"],
        "VDI_INCOMPATIBLE_TYPE": ["unit/test_plans_devices::test_vbd_create_looks_at_the_disk"],
        "device names": ["./test_section_11_devices::test_vbd_devices_have_several_names"],
        "plug and unplug": [
            "./test_section_11_devices::test_vbd_plug_wants_a_running_vm",
            "./test_section_11_devices::test_vbd_is_plugged_once_and_unplugged_once",
            "./test_section_11_devices::test_vbd_that_cannot_be_unplugged",
        ],
        "VDI_IN_USE, VDI_READONLY, VDI_NOT_MANAGED": [
            "unit/test_lifecycle_devices::test_plug_looks_at_the_disks_other_users",
        ],
        "insert and eject": [
            "./test_section_11_devices::test_media_are_for_cds",
            "./test_section_11_infrastructure::test_media_of_a_suspended_vm_stay",
        ],
        "HVM": ["unit/test_lifecycle_devices::test_hvm_guest_without_drivers_cannot_hotplug"],
        "destroy while attached": ["unit/test_plans_devices::test_attached_device_that_cannot_go_says_whose_it_is"],
        "during an operation of the VM": ["unit/test_lifecycle_devices::test_devices_stand_still_while_the_vm_ends"],
        "set_mode": ["./test_section_11_devices::test_vbd_mode_is_set_on_halted_vms_only"],
    },
    "11 VIF": {
        "create": [
            "./test_section_11_devices::test_vif_create_refuses_what_cannot_be",
            "./test_section_11_devices::test_vif_devices_are_taken_once",
        ],
        "MAC": ["unit/test_plans_devices::test_vif_gets_a_stable_local_mac_unless_it_brings_one"],
        "plug and unplug": ["./test_section_11_devices::test_vif_is_plugged_once_and_unplugged_once"],
        "two operations at once": ["unit/test_lifecycle_devices::test_device_does_one_thing_at_a_time"],
    },
    "11 VDI": {
        "operations exclude each other": [
            "unit/test_lifecycle_devices::test_disk_operations_exclude_each_other_but_copies",
        ],
        "attached disks": ["unit/test_lifecycle_devices::test_free_disk_can_be_changed_and_an_attached_one_cannot"],
        "refusals": [
            "./test_section_11_devices::test_disks_that_refuse",
            "unit/test_lifecycle_devices::test_disks_refuse_what_they_or_their_storage_cannot",
            "unit/test_lifecycle_devices::test_resize_needs_attached_storage",
        ],
        "on_boot": [
            "unit/test_plans_reset_disks::test_disk_that_forgets_cannot_be_copied_or_moved",
            "unit/test_plans_reset_disks::test_disk_has_at_each_start_what_it_had_when_it_was_told_to_forget",
        ],
        "what copies take over": ["./test_section_11_devices::test_a_snapshot_of_a_disk_copies_what_describes_it"],
    },
    "11 SR, PBD, network, VLAN": {
        "SR_HAS_PBD": ["./test_section_11_devices::test_an_sr_in_use_is_not_given_up"],
        "SR_HAS_NO_PBDS": ["./test_section_11_infrastructure::test_an_sr_without_a_connection_is_not_destroyed"],
        "SR_NOT_EMPTY": ["unit/test_plans_storage::test_repository_is_destroyed_only_disconnected_and_empty"],
        "PBD_EXISTS": ["./test_section_11_infrastructure::test_a_host_is_connected_once"],
        "SR_NOT_SHARABLE": ["unit/test_plans_storage::test_local_repository_is_plugged_on_one_host_at_a_time"],
        "SRmaster": ["./test_section_11_infrastructure::test_key_of_the_coordinator_is_not_for_clients"],
        "unplug with disks in use": ["./test_section_11_infrastructure::test_a_connection_with_disks_in_use_is_kept"],
        "NETWORK_CONTAINS_VIF, NETWORK_CONTAINS_PIF": [
            "./test_section_11_infrastructure::test_a_network_goes_with_idle_vifs_and_stays_with_interfaces",
        ],
        "CANNOT_DESTROY_SYSTEM_NETWORK": ["./test_section_11_infrastructure::test_the_hosts_own_network_stays"],
        "BRIDGE_NAME_EXISTS": ["./test_section_11_infrastructure::test_a_bridge_has_one_network"],
        "VLAN_TAG_INVALID": ["./test_section_11_infrastructure::test_tags_of_vlans_have_a_range"],
        "PIF_VLAN_EXISTS": ["./test_section_11_infrastructure::test_a_tag_is_used_once_on_a_device"],
    },
    "12": {
        "pool.join": [
            "unit/test_api_pool_join::test_reasons_against_joining_come_in_their_order",
            "unit/test_api_pool_join::test_joining_needs_an_administrator_of_the_pool",
            "interop/test_pool_join::test_what_keeps_a_host_from_joining_is_told_and_changes_nothing",
        ],
        "after a join": [
            "interop/test_pool_join::test_a_host_joins_with_its_vms_and_storage_and_leaves_again",
            "unit/test_api_pool_join::test_records_arrive_as_they_left_with_networks_of_the_pool",
        ],
        "eject": [
            "./test_section_12_hosts::test_the_coordinator_is_not_ejected_nor_a_host_with_guests",
            "unit/test_api_pool::test_member_is_ejected_with_its_own_storage",
        ],
        "designate_new_master": ["unit/test_api_pool::test_another_host_becomes_coordinator_unless_it_is_down"],
        "recover_slaves": ["./test_section_12_hosts::test_members_that_answer_are_recovered"],
        "disable and enable": [
            "./test_section_12_hosts::test_a_disabled_host_takes_no_vm_until_it_is_enabled",
            "./test_section_12_hosts::test_disable_takes_the_argument_of_later_clients",
        ],
        "evacuate": [
            "./test_section_12_hosts::test_evacuation_does_not_want_the_host_disabled_and_empties_it",
            "unit/test_api_host::test_vm_that_stops_before_its_turn_does_not_stop_the_evacuation",
        ],
        "assert_can_evacuate": [
            "./test_section_12_hosts::test_what_keeps_a_vm_here_is_told_before_and_by_the_evacuation",
        ],
        "reboot and shutdown": ["./test_section_12_hosts::test_a_host_goes_down_only_when_it_is_disabled"],
        "power_on, HOST_OFFLINE": [
            "./test_section_12_hosts::test_a_host_that_is_down_is_offline_until_it_is_switched_on",
        ],
        "destroy": [
            "./test_section_12_hosts::test_a_live_host_is_not_destroyed",
            "unit/test_api_host::test_dead_host_can_be_removed_with_what_was_its_own",
        ],
    },
    "13": {
        "login args": ["./test_section_5_sessions::test_login_takes_two_arguments_and_more"],
        "VM.start / resume": [
            "./test_section_13_both::test_start_and_resume_take_two_arguments_and_any_spelling_of_a_boolean",
        ],
        "VM.clone": ["./test_section_13_both::test_clone_without_a_name_has_that_of_its_source"],
        "VM.snapshot": ["./test_section_10_copies::test_third_argument_of_snapshot_names_disks_to_leave_out"],
        "VM.send_trigger": ["./test_section_13_both::test_trigger_may_name_a_processor"],
        "host.disable": ["unit/test_api_legacy_calls::test_host_is_disabled_with_and_without_the_later_parameter"],
        "VTPM.create": ["./test_section_13_both::test_vtpm_is_made_from_a_record_or_from_arguments"],
        "console.create": ["./test_section_13_both::test_console_is_made_from_a_record"],
        "VBD.create etc.": ["./test_section_13_both::test_records_of_old_clients_are_completed"],
        "ints in args": ["unit/test_api_legacy_calls::test_integers_come_as_text_or_as_numbers"],
        "events": ["./test_section_13_both::test_events_name_objects_by_uuid_and_deleted_ones_too"],
        "task.result": ["unit/test_api_legacy_calls::test_task_result_is_wrapped_and_progress_is_a_fraction"],
        "refs": ["./test_section_13_both::test_uuid_stands_for_a_reference_of_its_class"],
        "errors": ["unit/test_api_legacy_calls::test_errors_are_those_of_later_versions"],
        "get_by_name_label": ["./test_section_13_both::test_no_match_by_name_is_an_empty_set_and_one_is_a_set"],
        "VM extra methods for xm": [
            "unit/test_api_legacy_vm::test_pause_flag_is_true_of_a_paused_vm_and_makes_others_so",
            "unit/test_api_leftovers::test_vm_is_saved_under_a_name_and_restored_by_it_once",
        ],
        "VM.metrics, runtime_properties": [
            "./test_section_13_both::test_every_vm_has_metrics_and_running_devices_a_handle",
        ],
        "VDI.other_config.location": ["./test_section_13_both::test_records_of_old_clients_are_completed"],
        "host fields": ["./test_section_13_both::test_host_says_what_both_kinds_of_clients_read"],
        "RW in 1.0": ["./test_section_13_both::test_settings_that_are_constants_now_have_their_old_setters"],
        "enum crash etc.": ["./test_section_13_both::test_every_action_after_a_crash_of_both_apis_is_taken"],
    },
}  # fmt: skip

# Rows that nothing holds us to, and why.
WITHOUT = {
    "9 check order, 13 rolling upgrade": "Hosts are not upgraded; only pool.join looks at another pool's upgrade.",
    "9 choice of a host, IOMMU/GPU/USB/SR-IOV": "The simulator has no such hardware.",
}


@cache
def defined_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("section", ROWS)
def test_every_row_has_a_test_that_exists(section: str) -> None:
    for row, names in ROWS[section].items():
        assert names, row
        for name in names:
            place, _, test = name.partition("::")
            path = TESTS / f"{place.replace('./', 'conformance/xenapi/', 1)}.py"
            assert test in defined_in(path), f"{section}, {row}: there is no {name}"


def test_rows_without_a_test_say_why() -> None:
    assert all(why.endswith(".") for why in WITHOUT.values())
    assert not {name.partition(",")[2].strip() for name in WITHOUT} & {row for rows in ROWS.values() for row in rows}
