"""The pool: hosts managed as one."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.classes.pool_messages import MESSAGES
from xenapi_core.model.enums import POOL_ALLOWED_OPERATIONS, TELEMETRY_FREQUENCY, UPDATE_SYNC_FREQUENCY
from xenapi_core.model.infrastructure_lifecycle import allowed_pool_operations
from xenapi_core.model.schema import RO, RW, STATIC, VM_OPERATOR, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, STRING_MAP, Map, Ref, Set

# fmt: off
POOL = Class(
    "pool",
    "All hosts that are managed as one, with the settings they share; there is exactly one.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Unique identifier.", ""),
        Field("name_label", STRING, RW, "Name shown to people."),
        Field("name_description", STRING, RW, "Free text shown to people."),
        Field("tags", Set(STRING), RW, "Labels for finding and grouping.", (), role=VM_OPERATOR),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.",
              key_roles={"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR, "EMPTY_FOLDERS": VM_OPERATOR}),
        Field("gui_config", STRING_MAP, RW, "Settings of graphical clients.", {}, role=VM_OPERATOR),
        Field("blobs", Map(STRING, Ref("blob")), RO, "Named binary objects kept with the pool.", {}),
        # what may happen to it
        Field("allowed_operations", Set(POOL_ALLOWED_OPERATIONS), RO, "Operations that may be requested now.",
              "unknown", computed=allowed_pool_operations, persist=False),
        Field("current_operations", Map(STRING, POOL_ALLOWED_OPERATIONS), RO, "Operations in progress, by task.", {},
              persist=False),
        # hosts and storage
        Field("master", Ref("host"), RO, "The coordinator: the host that holds the database.", NULL_REF),
        Field("default_SR", Ref("SR"), RW, "Where new disks go when nobody says where."),
        Field("suspend_image_SR", Ref("SR"), RW, "Where memory images of suspended VMs go."),
        Field("crash_dump_SR", Ref("SR"), RW, "Where crash dumps of VMs go."),
        Field("metadata_VDIs", Set(Ref("VDI")), RO, "Disks that hold a copy of this pool's database.", (),
              inverse="VDI.metadata_of_pool"),
        Field("cpu_info", STRING_MAP, RO, "Processor features that all hosts have in common.", {}),
        Field("coordinator_bias", BOOL, RW, "True if VMs are placed on other hosts before the coordinator.", True),
        # high availability
        Field("ha_enabled", BOOL, RO, "True if failed hosts are fenced and their VMs restarted.", False),
        Field("ha_configuration", STRING_MAP, RO, "Settings of the high availability daemon.", {}),
        Field("ha_statefiles", Set(STRING), RO, "Disks that carry the heartbeat, by uuid.", ()),
        Field("ha_host_failures_to_tolerate", INT, RO, "How many hosts may fail before protected VMs stay down.", 0),
        Field("ha_plan_exists_for", INT, RO, "How many host failures the present plan covers.", 0),
        Field("ha_allow_overcommit", BOOL, RW, "True if operations that would break the plan are accepted.", False),
        Field("ha_overcommitted", BOOL, RO, "True if the pool cannot restart all protected VMs any more.", False),
        Field("ha_cluster_stack", STRING, RO, "The cluster stack in use.", ""),
        Field("ha_reboot_vm_on_internal_shutdown", BOOL, RW,
              "True if a protected VM that shuts itself down is started again.", True, state="prototyped"),
        Field("redo_log_enabled", BOOL, RO, "True if database changes are also written to shared storage.", False),
        Field("redo_log_vdi", Ref("VDI"), RO, "The disk that carries the redo log.", NULL_REF),
        # workload balancing
        Field("wlb_url", STRING, RO, "Address of the workload balancing server.", ""),
        Field("wlb_username", STRING, RO, "Account on the workload balancing server.", ""),
        Field("wlb_password", Ref("secret"), RO, "Password of that account.", NULL_REF, internal=True),
        Field("wlb_enabled", BOOL, RW, "True if the workload balancing server is asked for advice.", False,
              client_cert=True),
        Field("wlb_verify_cert", BOOL, RW,
              "True if its certificate is checked; TLS verification of the pool decides now.", False,
              state="deprecated"),
        # network
        Field("vswitch_controller", STRING, RO,
              "Address of the OpenFlow controller; the class SDN_controller replaces it.", "", state="deprecated"),
        Field("igmp_snooping_enabled", BOOL, RO, "True if bridges send multicast only where it is wanted.", False),
        Field("migration_compression", BOOL, RW, "True if migrations compress memory unless told otherwise.", False,
              state="prototyped"),
        # licence and health
        Field("restrictions", STRING_MAP, RO, "Licence limits that hold for the whole pool.", {}),
        Field("license_server", STRING_MAP, RW, "Address and port of the licence server.", {}, state="prototyped"),
        Field("health_check_config", STRING_MAP, RW, "Settings of the health check service.", {}),
        Field("recommendations", STRING_MAP, RO, "Advice on limits, by topic.", {}, state="prototyped"),
        Field("guest_agent_config", STRING_MAP, RO, "Settings handed to guest agents.", {}),
        Field("policy_no_vendor_device", BOOL, RW, "True if new VMs get no Windows update device; decided per VM now.",
              False, state="deprecated"),
        # boot security
        Field("uefi_certificates", STRING, STATIC, "Secure boot certificates in use, as a base64 tar archive.", ""),
        Field("custom_uefi_certificates", STRING, STATIC,
              "Secure boot certificates of the administrator, as a base64 tar archive.", "", state="prototyped"),
        Field("auto_update_vm_secureboot_certificates", BOOL, RW,
              "True if VMs get new secure boot certificates by themselves.", False, state="prototyped"),
        Field("is_psr_pending", BOOL, RW, "True if a change of the pool secret was interrupted and must be repeated.",
              False),
        Field("tls_verification_enabled", BOOL, RO, "True if hosts check each other's certificates.", False),
        Field("client_certificate_auth_enabled", BOOL, RO, "True if clients may log in with a certificate.", False),
        Field("client_certificate_auth_name", STRING, RO, "Name such a certificate must carry.", ""),
        Field("local_auth_max_threads", INT, STATIC, "Logins checked against the local accounts at once.", 8,
              state="prototyped"),
        Field("ext_auth_max_threads", INT, STATIC, "Logins checked against the directory at once.", 1,
              state="prototyped"),
        Field("ext_auth_cache_enabled", BOOL, RO, "True if answers of the directory are remembered.", True,
              state="prototyped"),
        Field("ext_auth_cache_size", INT, RO, "How many answers are remembered.", 50, state="prototyped"),
        Field("ext_auth_cache_expiry", INT, RO, "How long an answer is remembered, in seconds.", 300,
              state="prototyped"),
        Field("limit_console_sessions", BOOL, RW, "True if a VM's console accepts one client at a time.", False,
              state="prototyped"),
        Field("vm_console_idle_timeout", INT, RW,
              "Idle time after which a console is closed, in seconds; 0 means never.", 0, state="prototyped"),
        # updates
        Field("live_patching_disabled", BOOL, RW, "True if updates never patch running code.", False),
        Field("repositories", Set(Ref("Repository")), RO, "Enabled update repositories.", ()),
        Field("repository_proxy_url", STRING, RO, "Proxy in front of the repositories.", ""),
        Field("repository_proxy_username", STRING, RO, "Account on the proxy.", ""),
        Field("repository_proxy_password", Ref("secret"), RO, "Password of that account.", NULL_REF),
        Field("last_update_sync", DATETIME, RO, "When updates were last downloaded.", 0, state="prototyped"),
        Field("update_sync_frequency", UPDATE_SYNC_FREQUENCY, RO, "How often updates are downloaded.", "weekly",
              state="prototyped"),
        Field("update_sync_day", INT, RO, "Day of the download: 0 for daily, 1 (Sunday) to 7 for weekly.", 0,
              state="prototyped"),
        Field("update_sync_enabled", BOOL, RO, "True if updates are downloaded by themselves.", False,
              state="prototyped"),
        # telemetry
        Field("telemetry_uuid", Ref("secret"), RO, "Identity of the pool in telemetry.", NULL_REF, state="prototyped"),
        Field("telemetry_frequency", TELEMETRY_FREQUENCY, RO, "How often telemetry is sent.", "weekly",
              state="prototyped"),
        Field("telemetry_next_collection", DATETIME, RO, "Earliest moment of the next telemetry.", 0,
              state="prototyped"),
    ),
    messages=MESSAGES,
)
# fmt: on
