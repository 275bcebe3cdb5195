"""Why some messages of the Xen-API have no behaviour here: one reason for each, shown on the coverage page.

Rule 1: a reason is given to patterns of wire names; the first pattern that fits counts. A test keeps the table true:
        each message without behaviour has a reason, and no pattern names only messages that have behaviour.
Rule 2: a reason says what is missing, so that whoever adds it knows where to begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

# fmt: off
REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Out of scope: patches, updates and their repositories, and the licences of products.": (
        "pool_patch.*", "pool_update.*", "host_patch.*", "Repository.*", "pool.*repositor*", "pool.*update*",
        "pool.apply_edition", "host.apply_edition", "host.license_*", "host.set_license_params", "host.apply_updates",
        "host.refresh_pack_info", "host.emergency_clear_mandatory_guidance",
    ),
    "Out of scope: clustering, and high availability, which stands on it.": (
        "Cluster.*", "Cluster_host.*", "pool.*ha", "pool.ha_*", "pool.set_ha_*", "pool.enable_redo_log",
        "pool.disable_redo_log", "host.ha_*", "host.*_ha", "host.emergency_ha_disable",
        "host.*_new_master", "host.update_master", "host.tickle_heartbeat",
    ),
    "Out of scope: GPUs, USB and PCI devices; the simulator has no such hardware.": (
        "PCI.*", "PGPU.*", "GPU_group.*", "VGPU.*", "PUSB.*", "USB_group.*", "VUSB.*", "DPCI.*", "host.*_vf_setup",
    ),
    "Out of scope: SCSI devices passed to guests; the simulator has none.": ("DSCSI.*", "DSCSI_HBA.*"),
    "Out of scope: services outside the pool (workload balancing, PVS streaming, SDN controllers, support).": (
        "*wlb*", "PVS_*.*", "SDN_controller.*", "pool.set_vswitch_controller", "pool.send_test_post",
        "host.bugreport_upload", "host.allocate_resources_for_vm",
    ),
    "No driver splits a network card into virtual functions.": ("network_sriov.*",),
    "No driver divides the processors of a host among pools: the one of each host has all of them.": (
        "cpu_pool.*", "VM.cpu_pool_migrate", "VM.set_pool_name",
    ),
    "No driver has transcendent memory; Xen has given it up.": ("host.tmem_*",),
    "There is no mandatory access control whose policy could be read or changed.": (
        "XSPolicy.*", "ACMPolicy.*", "*.set_security_label",
    ),
    "Guests offer no services to the pool: there are no driver domains.": ("VM.query_services",),
    "A driver continues saved memory only as the machine it was saved from.": ("VM.csvm",),
    "Certificates for secure boot are in the record of the pool; hosts have no file of them.": (
        "host.write_uefi_certificates_to_disk",
    ),
    "The counters of API 1.0 were totals since the start of the VM; drivers tell rates.": ("VIF_metrics.get_io_*",),
    "The server does not send to a URL that a client names.": ("host_crashdump.upload", "VM.import_convert"),
    "Members of a pool say it to each other, and members here are simulated by the coordinator.": (
        "pool.hello", "pool.exchange_*", "host.create", "host.request_*", "host.notify*",
        "host.signal_networking_change",
        "host.set_localdb_key", "host.sync_*", "host.update_pool_secret", "host.cleanup_pool_secret",
        "host.apply_guest_agent_config", "host.update_firewalld_service_status", "host.sm_dp_destroy",
        "host.attach_static_vdis", "host.detach_static_vdis", "host.copy_primary_host_certs", "host.cert_distrib_atom",
        "host.prepare_for_poweroff", "VM.pool_migrate_complete", "VM.assert_can_migrate_sender",
    ),
    "Hosts of a pool share a process, so there is no certificate between them.": ("host.refresh_server_certificate",),
    "What another pool trusts is not fetched; trusted certificates are given as PEM.": (
        "pool.sync_trusted_certificates_from",
    ),
    "Options say which listeners there are (--xenapi-port) and whose certificates log in (--client-ca, --users).": (
        "*.set_https_only", "pool.*able_client_certificate_auth",
    ),
    "Passwords are checked by the users file or PAM (--users, --pam), which the command line chooses.": (
        "*.enable_external_auth", "*.disable_external_auth", "*.external_auth_set_ldaps",
        "pool.detect_nonhomogeneous_external_auth", "pool.set_local_auth_max_threads", "pool.set_ext_auth_*",
    ),
    "The server is one program without plugins, agents or a toolstack to restart and look into.": (
        "host.restart_agent", "host.shutdown_agent", "host.get_diagnostic_timing_stats",
        "host.get_sm_diagnostics", "host.get_thread_diagnostics", "host.get_system_status_capabilities",
        "Diagnostics.*", "Observer.*", "host.get_tracked_user_agents", "pool.audit_log_append",
    ),
    "A simulated host has no kernel and no clock of its own that could be set.": (
        "host.rescan_drivers", "host.set_servertime", "host.get_ntp_servers_status",
        "host.get_ntp_synchronized", "Host_driver.*", "Driver_variant.*",
    ),
    "Storage is as its driver has it; there is no cache, archive or conversion to switch on.": (
        "*.enable_local_storage_caching", "*.disable_local_storage_caching", "LVHD.*", "pool.test_archive_target",
        "*.enable_binary_storage", "*.disable_binary_storage",
    ),
    "Limits of calls are the same for all callers; none is counted or slowed by name.": (
        "Caller.*", "Rate_limit.*",
    ),
}
# fmt: on


def reason(wire_name: str) -> str | None:
    """Why a message has no behaviour; None if no pattern fits."""
    for words, patterns in REASONS.items():
        if any(fnmatchcase(wire_name, pattern) for pattern in patterns):
            return words
    return None
