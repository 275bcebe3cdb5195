"""The HTTP actions of the Xen-API's port: import and export, consoles, measurements, blobs.

Rule 1: this is the list of the API reference, whether served here or not; what is served registers itself under its
        name (server/actions), and the coverage page tells the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from xenapi_core.model.schema import (
    LOCAL_ROOT,
    POOL_ADMIN,
    POOL_OPERATOR,
    READ_ONLY,
    VM_ADMIN,
    VM_OPERATOR,
    VM_POWER_ADMIN,
)


@dataclass(frozen=True, slots=True)
class HttpAction:
    """One kind of request. `role`: the least that may make it; `args`: of the query, as "name:type" ("*": any).

    client_cert: clients with a client certificate may, too. listed: whether the reference tells SDKs of it.
    """

    name: str
    method: str
    path: str
    role: str
    doc: str
    args: tuple[str, ...] = ()
    client_cert: bool = False
    listed: bool = True


HTTP_ACTIONS: Final[tuple[HttpAction, ...]] = (
    HttpAction("get_services", "GET", "/services", READ_ONLY, "The services on this port."),
    HttpAction("post_services", "POST", "/services", POOL_ADMIN, "Talk to a service.", listed=False),
    HttpAction("put_services", "PUT", "/services", POOL_ADMIN, "Send something to a service.", listed=False),
    HttpAction(
        "post_remote_db_access",
        "POST",
        "/remote_db_access",
        POOL_ADMIN,
        "The database of the coordinator, for members of the pool.",
        listed=False,
    ),
    HttpAction(
        "post_remote_db_access_v2",
        "POST",
        "/remote_db_access_v2",
        POOL_ADMIN,
        "The same, in the second form of its protocol.",
        listed=False,
    ),
    HttpAction(
        "get_services_xenops",
        "GET",
        "/services/xenops",
        VM_POWER_ADMIN,
        "Talk to the domain manager of the host.",
        listed=False,
    ),
    HttpAction(
        "post_services_xenops",
        "POST",
        "/services/xenops",
        VM_POWER_ADMIN,
        "Talk to the domain manager of the host.",
        client_cert=True,
        listed=False,
    ),
    HttpAction(
        "put_services_xenops",
        "PUT",
        "/services/xenops",
        VM_POWER_ADMIN,
        "Send memory of a domain to the host.",
        client_cert=True,
        listed=False,
    ),
    HttpAction(
        "get_services_sm",
        "GET",
        "/services/SM",
        VM_POWER_ADMIN,
        "Talk to the storage back ends of the host.",
        listed=False,
    ),
    HttpAction(
        "post_services_sm",
        "POST",
        "/services/SM",
        VM_POWER_ADMIN,
        "Talk to the storage back ends of the host.",
        listed=False,
    ),
    HttpAction(
        "put_services_sm", "PUT", "/services/SM", VM_POWER_ADMIN, "Send the data of a disk to the host.", listed=False
    ),
    HttpAction(
        "put_import",
        "PUT",
        "/import",
        VM_ADMIN,
        "Bring a VM with its disks.",
        args=("restore:bool", "force:bool", "sr_id:string"),
    ),
    HttpAction(
        "put_import_metadata",
        "PUT",
        "/import_metadata",
        VM_ADMIN,
        "Bring the records of VMs, without disks.",
        args=("restore:bool", "force:bool", "dry_run:bool"),
    ),
    HttpAction(
        "put_import_raw_vdi",
        "PUT",
        "/import_raw_vdi",
        VM_ADMIN,
        "Write a disk, as raw bytes or as a VHD.",
        args=("vdi:string", "format:string", "chunked:bool"),
    ),
    HttpAction(
        "get_export",
        "GET",
        "/export",
        VM_ADMIN,
        "Fetch a VM with its disks.",
        args=("uuid:string", "use_compression:string", "preserve_power_state:bool"),
    ),
    HttpAction(
        "get_export_metadata",
        "GET",
        "/export_metadata",
        VM_ADMIN,
        "Fetch the records of VMs, without disks.",
        args=(
            "uuid:string",
            "all:bool",
            "include_dom0:bool",
            "include_vhd_parents:bool",
            "export_snapshots:bool",
            "excluded_device_types:string",
        ),
    ),
    HttpAction(
        "get_export_raw_vdi",
        "GET",
        "/export_raw_vdi",
        VM_ADMIN,
        "Read a disk, as raw bytes or as a VHD.",
        args=("vdi:string", "format:string"),
    ),
    HttpAction("connect_console", "CONNECT", "/console", VM_OPERATOR, "The screen of a VM, over RFB.", listed=False),
    HttpAction(
        "connect_console_ws",
        "GET",
        "/console",
        VM_OPERATOR,
        "The screen of a VM, over RFB in a WebSocket.",
        listed=False,
    ),
    HttpAction("get_root", "GET", "/", READ_ONLY, "The start page.", listed=False),
    HttpAction("post_cli", "POST", "/cli", READ_ONLY, "The protocol of the command line client.", listed=False),
    HttpAction("get_host_backup", "GET", "/host_backup", POOL_ADMIN, "Fetch a backup of the host."),
    HttpAction("put_host_restore", "PUT", "/host_restore", POOL_ADMIN, "Bring back a backup of the host."),
    HttpAction("get_host_logs_download", "GET", "/host_logs_download", POOL_OPERATOR, "Fetch the logs of the host."),
    HttpAction(
        "put_pool_patch_upload", "PUT", "/pool_patch_upload", POOL_OPERATOR, "Bring a patch.", args=("sr_id:string",)
    ),
    HttpAction(
        "get_vncsnapshot", "GET", "/vncsnapshot", VM_OPERATOR, "A picture of the screen of a VM.", args=("uuid:string",)
    ),
    HttpAction("get_pool_xml_db_sync", "GET", "/pool/xmldbdump", POOL_ADMIN, "Fetch the database of the pool."),
    HttpAction(
        "put_pool_xml_db_sync", "PUT", "/pool/xmldbdump", POOL_ADMIN, "Bring a database for the pool.", listed=False
    ),
    HttpAction(
        "get_config_sync",
        "GET",
        "/sync_config_files",
        POOL_ADMIN,
        "Fetch configuration files of the coordinator, for members.",
        listed=False,
    ),
    HttpAction(
        "get_system_status",
        "GET",
        "/system-status",
        POOL_OPERATOR,
        "Fetch a status report of the host.",
        args=("entries:string", "output:string"),
    ),
    HttpAction(
        "vm_rrd", "GET", "/vm_rrd", READ_ONLY, "Everything measured on a VM.", args=("uuid:string", "json:bool")
    ),
    HttpAction(
        "get_vm_rrds",
        "GET",
        "/vm_rrds",
        READ_ONLY,
        "The same, under another name.",
        args=("uuid:string", "json:bool"),
        listed=False,
    ),
    HttpAction("host_rrd", "GET", "/host_rrd", READ_ONLY, "Everything measured on the host.", args=("json:bool",)),
    HttpAction(
        "get_host_rrds",
        "GET",
        "/host_rrds",
        READ_ONLY,
        "The same, under another name.",
        args=("json:bool",),
        listed=False,
    ),
    HttpAction("sr_rrd", "GET", "/sr_rrd", READ_ONLY, "Everything measured on an SR.", args=("uuid:string",)),
    HttpAction(
        "rrd_updates",
        "GET",
        "/rrd_updates",
        READ_ONLY,
        "What was measured since an instant.",
        args=("start:int", "cf:string", "interval:int", "host:bool", "uuid:string", "json:bool"),
    ),
    HttpAction("rrd", "PUT", "/rrd", POOL_ADMIN, "Bring the measurements of a VM that comes here.", listed=False),
    HttpAction("get_blob", "GET", "/blob", READ_ONLY, "Fetch a blob.", listed=False),
    HttpAction("put_blob", "PUT", "/blob", VM_POWER_ADMIN, "Bring the data of a blob.", args=("ref:string",)),
    HttpAction(
        "put_messages",
        "PUT",
        "/messages",
        VM_POWER_ADMIN,
        "Bring messages, from a member that was alone.",
        listed=False,
    ),
    HttpAction("connect_remotecmd", "CONNECT", "/remotecmd", POOL_ADMIN, "Run a command on the host.", listed=False),
    HttpAction(
        "get_wlb_report",
        "GET",
        "/wlb_report",
        READ_ONLY,
        "A report of the workload balancer.",
        args=("report:string", "*"),
    ),
    HttpAction("get_wlb_diagnostics", "GET", "/wlb_diagnostics", READ_ONLY, "Diagnostics of the workload balancer."),
    HttpAction("get_audit_log", "GET", "/audit_log", READ_ONLY, "Fetch the audit log.", args=("since:string",)),
    HttpAction("post_root", "POST", "/", READ_ONLY, "XML-RPC calls.", listed=False),
    HttpAction("post_RPC2", "POST", "/RPC2", READ_ONLY, "XML-RPC calls.", listed=False),
    HttpAction("post_json", "POST", "/json", READ_ONLY, "XML-RPC calls.", listed=False),
    HttpAction("post_root_options", "OPTIONS", "/", READ_ONLY, "What a browser may do here.", listed=False),
    HttpAction("post_json_options", "OPTIONS", "/json", READ_ONLY, "What a browser may do here.", listed=False),
    HttpAction("post_jsonrpc", "POST", "/jsonrpc", READ_ONLY, "JSON-RPC calls.", listed=False),
    HttpAction("post_jsonrpc_options", "OPTIONS", "/jsonrpc", READ_ONLY, "What a browser may do here.", listed=False),
    HttpAction("get_pool_update_download", "GET", "/update/", READ_ONLY, "Fetch a file of an update.", listed=False),
    HttpAction("get_repository", "GET", "/repository", LOCAL_ROOT, "Fetch a file of a repository.", listed=False),
    HttpAction(
        "get_enabled_repository",
        "GET",
        "/repository/enabled",
        POOL_OPERATOR,
        "Fetch a file of the enabled repository.",
        client_cert=True,
        listed=False,
    ),
    HttpAction(
        "get_host_updates",
        "GET",
        "/host_updates",
        POOL_OPERATOR,
        "Updates that fit the host.",
        client_cert=True,
        listed=False,
    ),
    HttpAction("get_updates", "GET", "/updates", POOL_OPERATOR, "Updates that fit the pool.", client_cert=True),
    HttpAction("put_bundle", "PUT", "/bundle", POOL_OPERATOR, "Bring a bundle of updates."),
)
