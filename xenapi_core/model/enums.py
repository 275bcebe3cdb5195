"""The enumerations of the Xen-API, one name each, in the order of the API reference."""

from __future__ import annotations

from xenapi_core.model.types import Enum

AFTER_APPLY_GUIDANCE = Enum("after_apply_guidance", "restartHVM", "restartPV", "restartHost", "restartXAPI")
ALLOCATION_ALGORITHM = Enum("allocation_algorithm", "breadth_first", "depth_first")
BOND_MODE = Enum("bond_mode", "balance-slb", "active-backup", "lacp")
CERTIFICATE_PURPOSE = Enum("certificate_purpose", "licensing", "ldaps")
CERTIFICATE_TYPE = Enum("certificate_type", "ca", "host", "host_internal", "pinned")
CLS = Enum("cls", "VM", "Host", "SR", "Pool", "VMPP", "VMSS", "PVS_proxy", "VDI", "Certificate")
CLUSTER_HOST_OPERATION = Enum("cluster_host_operation", "enable", "disable", "destroy")
CLUSTER_OPERATION = Enum("cluster_operation", "add", "remove", "enable", "disable", "destroy")
CONSOLE_PROTOCOL = Enum("console_protocol", "vt100", "rfb", "rdp")
DOMAIN_TYPE = Enum("domain_type", "hvm", "pv", "pv_in_pvh", "pvh", "unspecified")
EVENT_OPERATION = Enum("event_operation", "add", "del", "mod")
HELLO_RETURN = Enum("hello_return", "ok", "unknown_host", "cannot_talk_back")
HOST_ALLOWED_OPERATIONS = Enum(
    "host_allowed_operations", "provision", "evacuate", "shutdown", "reboot", "power_on", "vm_start", "vm_resume",
    "vm_migrate", "apply_updates", "enable",
)  # fmt: skip
HOST_DISPLAY = Enum("host_display", "enabled", "disable_on_reboot", "disabled", "enable_on_reboot")
HOST_NTP_MODE = Enum("host_ntp_mode", "DHCP", "Custom", "Factory", "Disabled")
HOST_NUMA_AFFINITY_POLICY = Enum("host_numa_affinity_policy", "any", "best_effort", "default_policy")
HOST_SCHED_GRAN = Enum("host_sched_gran", "core", "cpu", "socket")
IMAGE_FORMAT_TYPE = Enum("image_format_type", "raw", "vhd", "qcow2")
IP_CONFIGURATION_MODE = Enum("ip_configuration_mode", "None", "DHCP", "Static")
IPV6_CONFIGURATION_MODE = Enum("ipv6_configuration_mode", "None", "DHCP", "Static", "Autoconf")
LATEST_SYNCED_UPDATES_APPLIED_STATE = Enum("latest_synced_updates_applied_state", "yes", "no", "unknown")
LIVEPATCH_STATUS = Enum("livepatch_status", "ok_livepatch_complete", "ok_livepatch_incomplete", "ok")
NETWORK_DEFAULT_LOCKING_MODE = Enum("network_default_locking_mode", "unlocked", "disabled")
NETWORK_OPERATIONS = Enum("network_operations", "attaching")
NETWORK_PURPOSE = Enum("network_purpose", "nbd", "insecure_nbd")
ON_BOOT = Enum("on_boot", "reset", "persist")
ON_CRASH_BEHAVIOUR = Enum(
    "on_crash_behaviour", "destroy", "coredump_and_destroy", "restart", "coredump_and_restart", "preserve",
    "rename_restart",
)  # fmt: skip
ON_NORMAL_EXIT = Enum("on_normal_exit", "destroy", "restart")
ON_SOFTREBOOT_BEHAVIOR = Enum("on_softreboot_behavior", "soft_reboot", "destroy", "restart", "preserve")
ORIGIN = Enum("origin", "remote", "bundle", "remote_pool")
PCI_DOM0_ACCESS = Enum("pci_dom0_access", "enabled", "disable_on_reboot", "disabled", "enable_on_reboot")
PERSISTENCE_BACKEND = Enum("persistence_backend", "xapi")
PIF_IGMP_STATUS = Enum("pif_igmp_status", "enabled", "disabled", "unknown")
PLACEMENT_POLICY = Enum("placement_policy", "anti_affinity", "normal")
POOL_ALLOWED_OPERATIONS = Enum(
    "pool_allowed_operations", "ha_enable", "ha_disable", "cluster_create", "designate_new_master",
    "configure_repositories", "sync_updates", "sync_bundle", "get_updates", "apply_updates",
    "tls_verification_enable", "cert_refresh", "exchange_certificates_on_join", "exchange_ca_certificates_on_join",
    "copy_primary_host_certs", "eject", "exchange_crls_on_join",
)  # fmt: skip
POOL_GUEST_SECUREBOOT_READINESS = Enum("pool_guest_secureboot_readiness", "ready", "ready_no_dbx", "not_ready")
PRIMARY_ADDRESS_TYPE = Enum("primary_address_type", "IPv4", "IPv6")
PVS_PROXY_STATUS = Enum(
    "pvs_proxy_status", "stopped", "initialised", "caching", "incompatible_write_cache_mode",
    "incompatible_protocol_version",
)  # fmt: skip
SDN_CONTROLLER_PROTOCOL = Enum("sdn_controller_protocol", "ssl", "pssl")
SR_HEALTH = Enum("sr_health", "healthy", "recovering", "unreachable", "unavailable")
SRIOV_CONFIGURATION_MODE = Enum("sriov_configuration_mode", "sysfs", "modprobe", "manual", "unknown")
STORAGE_OPERATIONS = Enum(
    "storage_operations", "scan", "destroy", "forget", "plug", "unplug", "update", "vdi_create", "vdi_introduce",
    "vdi_destroy", "vdi_resize", "vdi_clone", "vdi_snapshot", "vdi_mirror", "vdi_enable_cbt", "vdi_disable_cbt",
    "vdi_data_destroy", "vdi_list_changed_blocks", "vdi_set_on_boot", "vdi_blocked", "vdi_copy", "vdi_force_unlock",
    "vdi_forget", "vdi_generate_config", "vdi_resize_online", "vdi_update", "vdi_revert", "pbd_create",
    "pbd_destroy",
)  # fmt: skip
TASK_ALLOWED_OPERATIONS = Enum("task_allowed_operations", "cancel", "destroy")
TASK_STATUS_TYPE = Enum("task_status_type", "pending", "success", "failure", "cancelling", "cancelled")
TELEMETRY_FREQUENCY = Enum("telemetry_frequency", "daily", "weekly", "monthly")
TRISTATE_TYPE = Enum("tristate_type", "yes", "no", "unspecified")
TUNNEL_PROTOCOL = Enum("tunnel_protocol", "gre", "vxlan")
UPDATE_AFTER_APPLY_GUIDANCE = Enum(
    "update_after_apply_guidance", "restartHVM", "restartPV", "restartHost", "restartXAPI",
)  # fmt: skip
UPDATE_GUIDANCES = Enum(
    "update_guidances", "reboot_host", "reboot_host_on_livepatch_failure", "reboot_host_on_kernel_livepatch_failure",
    "reboot_host_on_xen_livepatch_failure", "restart_toolstack", "restart_device_model", "restart_vm",
)  # fmt: skip
UPDATE_STATUS = Enum("update_status", "yes", "no", "unspecified")
UPDATE_SYNC_FREQUENCY = Enum("update_sync_frequency", "daily", "weekly")
VBD_MODE = Enum("vbd_mode", "RO", "RW")
VBD_OPERATIONS = Enum(
    "vbd_operations", "attach", "eject", "insert", "plug", "unplug", "unplug_force", "pause", "unpause",
)  # fmt: skip
VBD_TYPE = Enum("vbd_type", "CD", "Disk", "Floppy")
VDI_OPERATIONS = Enum(
    "vdi_operations", "clone", "copy", "resize", "resize_online", "snapshot", "mirror", "destroy", "forget",
    "update", "force_unlock", "generate_config", "enable_cbt", "disable_cbt", "data_destroy", "list_changed_blocks",
    "set_on_boot", "blocked", "revert_to", "revert_from",
)  # fmt: skip
VDI_TYPE = Enum(
    "vdi_type", "system", "user", "ephemeral", "suspend", "crashdump", "ha_statefile", "metadata", "redo_log", "rrd",
    "pvs_cache", "cbt_metadata",
)  # fmt: skip
VGPU_TYPE_IMPLEMENTATION = Enum("vgpu_type_implementation", "passthrough", "nvidia", "nvidia_sriov", "gvt_g", "mxgpu")
VIF_IPV4_CONFIGURATION_MODE = Enum("vif_ipv4_configuration_mode", "None", "Static", "DHCP")
VIF_IPV6_CONFIGURATION_MODE = Enum("vif_ipv6_configuration_mode", "None", "Static", "Autoconf")
VIF_LOCKING_MODE = Enum("vif_locking_mode", "network_default", "locked", "unlocked", "disabled")
VIF_OPERATIONS = Enum("vif_operations", "attach", "plug", "unplug")
VM_APPLIANCE_OPERATION = Enum("vm_appliance_operation", "start", "clean_shutdown", "hard_shutdown", "shutdown")
VM_OPERATIONS = Enum(
    "vm_operations", "snapshot", "clone", "copy", "create_template", "revert", "checkpoint", "snapshot_with_quiesce",
    "provision", "start", "start_on", "pause", "unpause", "clean_shutdown", "clean_reboot", "hard_shutdown",
    "power_state_reset", "hard_reboot", "suspend", "csvm", "resume", "resume_on", "pool_migrate", "migrate_send",
    "get_boot_record", "send_sysrq", "send_trigger", "query_services", "shutdown", "call_plugin",
    "changing_memory_live", "awaiting_memory_live", "changing_dynamic_range", "changing_static_range",
    "changing_memory_limits", "changing_shadow_memory", "changing_shadow_memory_live", "changing_VCPUs",
    "changing_VCPUs_live", "changing_NVRAM", "assert_operation_valid", "data_source_op", "update_allowed_operations",
    "make_into_template", "import", "export", "metadata_export", "reverting", "destroy", "create_vtpm", "sysprep",
)  # fmt: skip
VM_POWER_STATE = Enum("vm_power_state", "Halted", "Paused", "Running", "Suspended")
VM_SECUREBOOT_CERTIFICATES_STATE = Enum("vm_secureboot_certificates_state", "ok", "update_available", "update_on_boot")
VM_SECUREBOOT_READINESS = Enum(
    "vm_secureboot_readiness", "not_supported", "disabled", "first_boot", "ready", "ready_no_dbx", "setup_mode",
    "certs_incomplete",
)  # fmt: skip
VM_UEFI_MODE = Enum("vm_uefi_mode", "setup", "user")
VMPP_ARCHIVE_FREQUENCY = Enum("vmpp_archive_frequency", "never", "always_after_backup", "daily", "weekly")
VMPP_ARCHIVE_TARGET_TYPE = Enum("vmpp_archive_target_type", "none", "cifs", "nfs")
VMPP_BACKUP_FREQUENCY = Enum("vmpp_backup_frequency", "hourly", "daily", "weekly")
VMPP_BACKUP_TYPE = Enum("vmpp_backup_type", "snapshot", "checkpoint")
VMSS_FREQUENCY = Enum("vmss_frequency", "hourly", "daily", "weekly")
VMSS_TYPE = Enum("vmss_type", "snapshot", "checkpoint", "snapshot_with_quiesce")
VTPM_OPERATIONS = Enum("vtpm_operations", "destroy")
VUSB_OPERATIONS = Enum("vusb_operations", "attach", "plug", "unplug")
