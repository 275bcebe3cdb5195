"""The host: a machine that runs virtual machines."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.classes.host_messages import MESSAGES
from xenapi_core.model.enums import (
    HOST_ALLOWED_OPERATIONS,
    HOST_DISPLAY,
    HOST_NTP_MODE,
    HOST_NUMA_AFFINITY_POLICY,
    LATEST_SYNCED_UPDATES_APPLIED_STATE,
    UPDATE_GUIDANCES,
)
from xenapi_core.model.infrastructure_lifecycle import allowed_host_operations
from xenapi_core.model.schema import RO, RW, STATIC, VM_OPERATOR, Class, Field
from xenapi_core.model.types import BOOL, DATETIME, INT, STRING, STRING_MAP, Map, Ref, Set

# Keys that graphical clients keep for every user who may see the object.
CLIENT_KEYS = {"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR}

# fmt: off
HOST = Class(
    "host",
    "A physical machine that runs VMs.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        # what it spends on itself, and what may happen to it
        Field("memory_overhead", INT, RO, "Memory the hypervisor and the control domain use, in bytes.", default=0,
              path="memory/overhead"),
        Field("allowed_operations", Set(HOST_ALLOWED_OPERATIONS), RO, "Operations that may be requested now.",
              default=(), computed=allowed_host_operations,
              follows={"metrics": ("live",), "resident_VMs": ("is_control_domain",)}, persist=False),
        Field("current_operations", Map(STRING, HOST_ALLOWED_OPERATIONS), RO, "Operations in progress, by task.",
              default={}, persist=False),
        # software, and what it can run
        Field("API_version_major", INT, RO, "Major number of the Xen-API version.", default=0,
              path="API_version/major"),
        Field("API_version_minor", INT, RO, "Minor number of the Xen-API version.", default=0,
              path="API_version/minor"),
        Field("API_version_vendor", STRING, RO, "Who implements the Xen-API.", default="", path="API_version/vendor"),
        Field("API_version_vendor_implementation", STRING_MAP, RO, "Details of that implementation.", default={},
              path="API_version/vendor_implementation"),
        Field("enabled", BOOL, RO, "True if VMs may be placed here.", default=False),
        Field("software_version", STRING_MAP, STATIC, "Names and versions of the software on the host."),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients; the server reads a few.",
              key_roles=CLIENT_KEYS),
        Field("capabilities", Set(STRING), STATIC, "Guest kinds the hypervisor can run, such as xen-3.0-x86_64."),
        Field("cpu_configuration", STRING_MAP, RO, "Processor settings that matter to VMs.", default={}),
        Field("sched_policy", STRING, RO, "Scheduler of the hypervisor.", default=""),
        Field("supported_bootloaders", Set(STRING), RO, "Boot loaders for paravirtualised guests.", default=()),
        # what it runs, is connected to and keeps
        Field("resident_VMs", Set(Ref("VM")), RO, "VMs running or paused here, with the control domain.", default=(),
              inverse="VM.resident_on"),
        Field("logging", STRING_MAP, RW, "Where log messages go: syslog_destination."),
        Field("PIFs", Set(Ref("PIF")), RO, "Network interfaces.", default=(), inverse="PIF.host"),
        Field("suspend_image_sr", Ref("SR"), RW, "Where memory images of VMs suspended here go."),
        Field("crash_dump_sr", Ref("SR"), RW, "Where crash dumps of VMs go."),
        Field("crashdumps", Set(Ref("host_crashdump")), RO, "Crash dumps of the host.", default=(),
              inverse="host_crashdump.host"),
        # updates and connections
        Field("patches", Set(Ref("host_patch")), RO, "Patches on this host; updates replace them.", default=(),
              inverse="host_patch.host", state="deprecated"),
        Field("updates", Set(Ref("pool_update")), RO, "Updates on this host.", default=()),
        Field("PBDs", Set(Ref("PBD")), RO, "Connections to storage repositories.", default=(), inverse="PBD.host"),
        # processors, addresses and state
        Field("host_CPUs", Set(Ref("host_cpu")), RO, "Processors, one record each.", default=(),
              inverse="host_cpu.host"),
        Field("resident_cpu_pools", Set(Ref("cpu_pool")), RO, "Pools the processors are divided among.", default=(),
              inverse="cpu_pool.resident_on", internal=True),
        Field("cpu_info", STRING_MAP, RO, "Processors: count, sockets, vendor, speed, features.", default={}),
        Field("hostname", STRING, RW, "Name in the host's own configuration."),
        Field("address", STRING, RW, "Address by which other hosts reach it."),
        Field("metrics", Ref("host_metrics"), RO, "Memory and liveness.", default=NULL_REF),
        Field("requested_state", INT, RO,
              "The state last asked for, as CIM's RequestedState: 12 none yet, 5 it changed by itself since.",
              default=12, internal=True),
        Field("license_params", STRING_MAP, RO, "Licence in force: edition, expiry, limits.", default={}),
        Field("joined_from", STRING, RO,
              "Address of the server that answers for this host, if it joined from another one; empty for others.",
              default="", internal=True),
        Field("boot_free_mem", INT, RO, "Memory that was free after boot, in bytes.", default=0, internal=True),
        # high availability and labels
        Field("ha_statefiles", Set(STRING), RO, "References of the heartbeat disks in use.", default=()),
        Field("ha_network_peers", Set(STRING), RO, "Hosts seen over the heartbeat network, by uuid.", default=()),
        Field("ha_metadata_vdi", STRING, RO, "Reference of the disk with the database that is attached for the next"
              " coordinator; empty for none.", default="", internal=True),
        Field("ha_generation", STRING, RO, "Number of the configuration that the heartbeat disks belong to.",
              default="", internal=True),
        Field("ha_daemon", STRING, RO, "What the daemon of high availability does: fencing, disarmed; empty: it does"
              " not run.", default="", internal=True),
        Field("local_database", STRING_MAP, RO, "What the host keeps apart from the database of the pool.", default={},
              internal=True),
        Field("proposed_coordinator", STRING, RO, "Address of the coordinator that the host has agreed to; empty for"
              " none.", default="", internal=True, persist=False),
        Field("clock_skewed", BOOL, RO, "True if a message has told that its clock is too far off.", default=False,
              internal=True, persist=False),
        Field("proposed_at", DATETIME, RO, "When it agreed to that.", default=0, internal=True, persist=False),
        Field("blobs", Map(STRING, Ref("blob")), RO, "Named binary objects kept with this host.", default={}),
        Field("tags", Set(STRING), RW, "Labels for finding and grouping.", default=(), role=VM_OPERATOR),
        # authentication
        Field("external_auth_type", STRING, RO, "Kind of directory service; empty if there is none.", default=""),
        Field("external_auth_service_name", STRING, RO, "Domain of the directory service.", default=""),
        Field("external_auth_configuration", STRING_MAP, RO, "Settings of the directory service.", default={}),
        # licence, firmware and power
        Field("edition", STRING, RO, "Edition in force.", default=""),
        Field("license_server", STRING_MAP, RW, "Address and port of the licence server.",
              default={"address": "localhost", "port": "27000"}),
        Field("bios_strings", STRING_MAP, RO, "What the firmware tells about the machine.", default={}),
        Field("power_on_mode", STRING, RO,
              "How the machine can be switched on from afar: empty, wake-on-lan, iLO, DRAC or a script name.",
              default=""),
        Field("power_on_config", STRING_MAP, RO, "Settings of that method.", default={}),
        # storage cache and devices
        Field("local_cache_sr", Ref("SR"), STATIC, "SR that caches disks of other SRs.", default=NULL_REF),
        Field("chipset_info", STRING_MAP, RO, "Features of the chipset, such as iommu.", default={}),
        Field("PCIs", Set(Ref("PCI")), RO, "PCI devices.", default=(), inverse="PCI.host"),
        Field("PGPUs", Set(Ref("PGPU")), RO, "Graphics processors.", default=(), inverse="PGPU.host"),
        Field("PUSBs", Set(Ref("PUSB")), RO, "USB devices.", default=(), inverse="PUSB.host"),
        # settings of the machine
        Field("ssl_legacy", BOOL, STATIC, "True if old TLS versions are accepted; deprecated.", default=True,
              state="deprecated"),
        Field("guest_VCPUs_params", STRING_MAP, RW, "Settings for the virtual processors of every VM here.",
              default={}),
        Field("display", HOST_DISPLAY, RW,
              "Whether the host's own screen is on, and whether that changes at the next boot.", default="enabled"),
        Field("virtual_hardware_platform_versions", Set(INT), RO, "Virtual hardware versions the host can run.",
              default=(0,)),
        Field("control_domain", Ref("VM"), RO, "The VM that runs the host's own software.", default=NULL_REF),
        # updates, features and storage paths
        Field("updates_requiring_reboot", Set(Ref("pool_update")), RO, "Updates that wait for a reboot.", default=()),
        Field("features", Set(Ref("Feature")), RO, "Experimental features.", default=(), inverse="Feature.host"),
        Field("iscsi_iqn", STRING, STATIC, "Name of the host as an iSCSI initiator.", default=""),
        Field("multipathing", BOOL, STATIC, "True if storage is reached over several paths.", default=False),
        # certificates
        Field("uefi_certificates", STRING, STATIC,
              "Secure boot certificates on the host's disk, as a base64 tar archive; the pool says which.", default="",
              state="deprecated"),
        Field("certificates", Set(Ref("Certificate")), RO, "Certificates the host has or trusts.", default=(),
              inverse="Certificate.host"),
        # licence and updates
        Field("editions", Set(STRING), RO, "Editions that can be applied.", default=()),
        Field("pending_guidances", Set(UPDATE_GUIDANCES), RO, "What must still be done after an update.", default=()),
        # security and updates
        Field("tls_verification_enabled", BOOL, RO, "True if the host checks certificates of others.", default=False),
        Field("last_software_update", DATETIME, RO, "When the software was last changed.", default=0,
              state="prototyped"),
        Field("https_only", BOOL, RO, "True if plain HTTP is refused.", default=False, state="prototyped"),
        Field("recommended_guidances", Set(UPDATE_GUIDANCES), RO,
              "Older form of pending_guidances_recommended; removed.", default=(), internal=True, state="removed"),
        Field("latest_synced_updates_applied", LATEST_SYNCED_UPDATES_APPLIED_STATE, RO,
              "Whether the host has all downloaded updates.", default="unknown", state="prototyped"),
        Field("numa_affinity_policy", HOST_NUMA_AFFINITY_POLICY, RO, "How memory of VMs is spread over NUMA nodes.",
              default="default_policy", state="prototyped"),
        Field("pending_guidances_recommended", Set(UPDATE_GUIDANCES), RO, "What should be done after an update.",
              default=(), state="prototyped"),
        Field("pending_guidances_full", Set(UPDATE_GUIDANCES), RO, "What would make an update complete.", default=(),
              state="prototyped"),
        Field("last_update_hash", STRING, RO, "Digest of the updates last applied.", default="", state="prototyped"),
        # access to the machine itself
        Field("ssh_enabled", BOOL, RO, "True if the SSH server is on.", default=True, state="prototyped"),
        Field("ssh_enabled_timeout", INT, RO, "How long SSH stays on once enabled, in seconds; 0 means until disabled.",
              default=0, state="prototyped"),
        Field("ssh_expiry", DATETIME, RO, "When SSH goes off.", default=0, state="prototyped"),
        Field("console_idle_timeout", INT, RO, "Idle time after which a console login ends, in seconds; 0 means never.",
              default=0, state="prototyped"),
        Field("ssh_auto_mode", BOOL, RO, "True if SSH is on only while the API does not answer.", default=False,
              state="prototyped"),
        # processors, boot and time
        Field("max_cstate", STRING, RO, "Deepest processor sleep state; empty means no limit.", default="",
              state="prototyped"),
        Field("secure_boot", BOOL, RO, "True if the host itself was booted with secure boot.", default=False,
              state="prototyped"),
        Field("ntp_mode", HOST_NTP_MODE, RO, "Where the host gets the time.", default="Factory", state="prototyped"),
        Field("ntp_custom_servers", Set(STRING), RO, "Time servers for mode Custom.", default=(), state="prototyped"),
        Field("timezone", STRING, RO, "Time zone, as the tz database spells it.", default="UTC", state="prototyped"),
    ),
    messages=MESSAGES,
)
# fmt: on
