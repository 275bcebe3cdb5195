"""The pool: hosts managed as one."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.classes.pool_messages import MESSAGES
from xenapi_core.model.enums import POOL_ALLOWED_OPERATIONS, TELEMETRY_FREQUENCY, UPDATE_SYNC_FREQUENCY
from xenapi_core.model.infrastructure_lifecycle import allowed_pool_operations
from xenapi_core.model.schema import RO, RW, STATIC, VM_OPERATOR, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, STRING_MAP, Map, Ref, Set

# Keys that graphical clients keep for every user who may see the object.
CLIENT_KEYS = {"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR, "EMPTY_FOLDERS": VM_OPERATOR}

# fmt: off
POOL = Class(
    "pool",
    "All hosts that are managed as one, with the settings they share; there is exactly one.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people."),
        Field("name_description", STRING, RW, "Free text shown to people."),
        # coordinator and storage
        Field("master", Ref("host"), RO, "The coordinator: the host that holds the database.", default=NULL_REF),
        Field("default_SR", Ref("SR"), RW, "Where new disks go when nobody says where."),
        Field("suspend_image_SR", Ref("SR"), RW, "Where memory images of suspended VMs go."),
        Field("crash_dump_SR", Ref("SR"), RW, "Where crash dumps of VMs go."),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", key_roles=CLIENT_KEYS),
        # high availability
        Field("ha_enabled", BOOL, RO, "True if failed hosts are fenced and their VMs restarted.", default=False),
        Field("ha_configuration", STRING_MAP, RO, "Settings of the high availability daemon.", default={}),
        Field("ha_statefiles", Set(STRING), RO, "References of the disks that carry the heartbeat.", default=()),
        Field("ha_host_failures_to_tolerate", INT, RO, "How many hosts may fail before protected VMs stay down.",
              default=0),
        Field("ha_plan_exists_for", INT, RO, "How many host failures the present plan covers.", default=0),
        Field("ha_allow_overcommit", BOOL, RW, "True if operations that would break the plan are accepted.",
              default=False),
        Field("ha_overcommitted", BOOL, RO, "True if the pool cannot restart all protected VMs any more.",
              default=False),
        Field("ha_restarts_from", DATETIME, RO, "Until then no VM is restarted (ha_prevent_restarts_for).", default=0,
              internal=True),
        # what clients keep with it
        Field("blobs", Map(STRING, Ref("blob")), RO, "Named binary objects kept with the pool.", default={}),
        Field("tags", Set(STRING), RW, "Labels for finding and grouping.", default=(), role=VM_OPERATOR),
        Field("gui_config", STRING_MAP, RW, "Settings of graphical clients.", default={}, role=VM_OPERATOR),
        Field("health_check_config", STRING_MAP, RW, "Settings of the health check service.", default={}),
        # workload balancing
        Field("binary_storage", BOOL, RO, "True if the pool keeps binary objects.", default=True, internal=True),
        Field("wlb_url", STRING, RO, "Address of the workload balancing server.", default=""),
        Field("wlb_username", STRING, RO, "Account on the workload balancing server.", default=""),
        Field("wlb_password", Ref("secret"), RO, "Password of that account.", default=NULL_REF, internal=True),
        Field("wlb_enabled", BOOL, RW, "True if the workload balancing server is asked for advice.", default=False,
              client_cert=True),
        Field("wlb_verify_cert", BOOL, RW,
              "True if its certificate is checked; TLS verification of the pool decides now.", default=False,
              state="deprecated"),
        # copies of the database, network and licence limits
        Field("redo_log_enabled", BOOL, RO, "True if database changes are also written to shared storage.",
              default=False),
        Field("redo_log_vdi", Ref("VDI"), RO, "The disk that carries the redo log.", default=NULL_REF),
        Field("vswitch_controller", STRING, RO,
              "Address of the OpenFlow controller; the class SDN_controller replaces it.", default="",
              state="deprecated"),
        Field("restrictions", STRING_MAP, RO, "Licence limits that hold for the whole pool.", default={}),
        Field("metadata_VDIs", Set(Ref("VDI")), RO, "Disks that hold a copy of this pool's database.", default=(),
              inverse="VDI.metadata_of_pool"),
        Field("ha_cluster_stack", STRING, RO, "The cluster stack in use.", default=""),
        # what may happen to it
        Field("allowed_operations", Set(POOL_ALLOWED_OPERATIONS), RO, "Operations that may be requested now.",
              default=(), computed=allowed_pool_operations, persist=False),
        Field("current_operations", Map(STRING, POOL_ALLOWED_OPERATIONS), RO, "Operations in progress, by task.",
              default={}, persist=False),
        # guests and processors
        Field("guest_agent_config", STRING_MAP, RO, "Settings handed to guest agents.", default={}),
        Field("cpu_info", STRING_MAP, RO, "Processor features that all hosts have in common.", default={}),
        Field("policy_no_vendor_device", BOOL, RW, "True if new VMs get no Windows update device; decided per VM now.",
              default=False, state="deprecated"),
        Field("live_patching_disabled", BOOL, RW, "True if updates never patch running code.", default=False),
        # network and secure boot
        Field("igmp_snooping_enabled", BOOL, RO, "True if bridges send multicast only where it is wanted.",
              default=False),
        Field("uefi_certificates", STRING, STATIC, "Secure boot certificates in use, as a base64 tar archive.",
              default=""),
        Field("custom_uefi_certificates", STRING, STATIC,
              "Secure boot certificates of the administrator, as a base64 tar archive.", default="",
              state="prototyped"),
        # security
        Field("is_psr_pending", BOOL, RW, "True if a change of the pool secret was interrupted and must be repeated.",
              default=False),
        Field("tls_verification_enabled", BOOL, RO, "True if hosts check each other's certificates.", default=False),
        Field("crls", STRING_MAP, RO, "Revocation lists in PEM form, by name.", default={}, internal=True),
        # update repositories and client certificates
        Field("repositories", Set(Ref("Repository")), RO, "Enabled update repositories.", default=()),
        Field("client_certificate_auth_enabled", BOOL, RO, "True if clients may log in with a certificate.",
              default=False),
        Field("client_certificate_auth_name", STRING, RO, "Name such a certificate must carry.", default=""),
        Field("repository_proxy_url", STRING, RO, "Proxy in front of the repositories.", default=""),
        Field("repository_proxy_username", STRING, RO, "Account on the proxy.", default=""),
        Field("repository_proxy_password", Ref("secret"), RO, "Password of that account.", default=NULL_REF),
        # placement and migration
        Field("migration_compression", BOOL, RW, "True if migrations compress memory unless told otherwise.",
              default=False, state="prototyped"),
        Field("coordinator_bias", BOOL, RW, "True if VMs are placed on other hosts before the coordinator.",
              default=True),
        # how logins are checked
        Field("local_auth_max_threads", INT, STATIC, "Logins checked against the local accounts at once.", default=8,
              state="prototyped"),
        Field("ext_auth_max_threads", INT, STATIC, "Logins checked against the directory at once.", default=1,
              state="prototyped"),
        Field("ext_auth_cache_enabled", BOOL, RO, "True if answers of the directory are remembered.", default=True,
              state="prototyped"),
        Field("ext_auth_cache_size", INT, RO, "How many answers are remembered.", default=50, state="prototyped"),
        Field("ext_auth_cache_expiry", INT, RO, "How long an answer is remembered, in seconds.", default=300,
              state="prototyped"),
        # telemetry
        Field("telemetry_uuid", Ref("secret"), RO, "Identity of the pool in telemetry.", default=NULL_REF,
              state="prototyped"),
        Field("telemetry_frequency", TELEMETRY_FREQUENCY, RO, "How often telemetry is sent.", default="weekly",
              state="prototyped"),
        Field("telemetry_next_collection", DATETIME, RO, "Earliest moment of the next telemetry.", default=0,
              state="prototyped"),
        # downloads of updates
        Field("last_update_sync", DATETIME, RO, "When updates were last downloaded.", default=0, state="prototyped"),
        Field("update_sync_frequency", UPDATE_SYNC_FREQUENCY, RO, "How often updates are downloaded.", default="weekly",
              state="prototyped"),
        Field("update_sync_day", INT, RO, "Day of the download: 0 for daily, 1 (Sunday) to 7 for weekly.", default=0,
              state="prototyped"),
        Field("update_sync_enabled", BOOL, RO, "True if updates are downloaded by themselves.", default=False,
              state="prototyped"),
        # advice, licence and newer settings
        Field("recommendations", STRING_MAP, RO, "Advice on limits, by topic.", default={}, state="prototyped"),
        Field("license_server", STRING_MAP, RW, "Address and port of the licence server.", default={},
              state="prototyped"),
        Field("ha_reboot_vm_on_internal_shutdown", BOOL, RW,
              "True if a protected VM that shuts itself down is started again.", default=True, state="prototyped"),
        Field("limit_console_sessions", BOOL, RW, "True if a VM's console accepts one client at a time.", default=False,
              state="prototyped"),
        Field("vm_console_idle_timeout", INT, RW,
              "Idle time after which a console is closed, in seconds; 0 means never.", default=0, state="prototyped"),
        Field("auto_update_vm_secureboot_certificates", BOOL, RW,
              "True if VMs get new secure boot certificates by themselves.", default=False, state="prototyped"),
    ),
    messages=MESSAGES,
)
# fmt: on
