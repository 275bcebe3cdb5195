"""The SR: a store of virtual disks."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import STORAGE_OPERATIONS
from xenapi_core.model.infrastructure_lifecycle import allowed_sr_operations
from xenapi_core.model.schema import (
    LOCAL_ROOT,
    POOL_OPERATOR,
    READ_ONLY,
    RO,
    RW,
    STATIC,
    VM_OPERATOR,
    VM_POWER_ADMIN,
    Class,
    Field,
    Message,
    Param,
)
from xenapi_core.model.types import BOOL, FLOAT, INT, STRING, STRING_MAP, Map, Record, Ref, Set

device_config = Param("device_config", STRING_MAP, "what the back end needs to connect")
name_label = Param("name_label", STRING, "its name")
name_description = Param("name_description", STRING, "its description")
sr_type = Param("type", STRING, "storage back end")
content_type = Param("content_type", STRING, "user, iso or disk")
sm_config = Param("sm_config", STRING_MAP, "settings of the back end", default={})
sr = Param("sr", Ref("SR"), "the SR")
me = Param("self", Ref("SR"), "the SR")
data_source = Param("data_source", STRING, "name of the data source")
# Keys that graphical clients keep for every user who may see the object.
CLIENT_KEYS = {"folder": VM_OPERATOR, "XenCenter.CustomFields.*": VM_OPERATOR}

# fmt: off
SR = Class(
    "SR",
    "A storage repository: a store of virtual disks that hosts reach through PBDs.",
    fields=(
        # identity
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, STATIC, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, STATIC, "Free text shown to people.", default="", path="name/description"),
        # what may happen to it
        Field("allowed_operations", Set(STORAGE_OPERATIONS), RO,
              "Operations that may be requested now, on the SR or on its disks.", default=(),
              computed=allowed_sr_operations, follows={"PBDs": ("currently_attached",), "VDIs": ("managed", "type")},
              persist=False),
        Field("current_operations", Map(STRING, STORAGE_OPERATIONS), RO, "Operations in progress, by task.", default={},
              persist=False),
        # contents and connections
        Field("VDIs", Set(Ref("VDI")), RO, "Virtual disks in this SR.", default=(), inverse="VDI.SR"),
        Field("PBDs", Set(Ref("PBD")), RO, "Connections of hosts to this SR.", default=(), inverse="PBD.SR"),
        # size
        Field("virtual_allocation", INT, RO, "Sum of the sizes promised to disks, in bytes.", default=0),
        Field("physical_utilisation", INT, RO, "Space in use, in bytes.", default=0),
        Field("physical_size", INT, STATIC, "Space there is, in bytes."),
        # kind
        Field("type", STRING, STATIC, "Storage back end, such as ext, nfs or lvmoiscsi."),
        Field("content_type", STRING, STATIC, "What it is for: user, iso, disk."),
        Field("shared", BOOL, RO, "True if several hosts may be connected at once.", default=False),
        # what clients and back ends keep with it
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", key_roles=CLIENT_KEYS),
        Field("tags", Set(STRING), RW, "Labels for finding and grouping.", default=(), role=VM_OPERATOR),
        Field("default_vdi_visibility", BOOL, RO, "Whether disks found by a scan are shown to clients.", default=False,
              internal=True),
        Field("sm_config", STRING_MAP, RW, "Settings kept by the storage back end.", default={}),
        Field("blobs", Map(STRING, Ref("blob")), RO, "Named binary objects kept with this SR.", default={}),
        # special parts it may play
        Field("local_cache_enabled", BOOL, RO, "True if the SR caches disks of other SRs for its host.", default=False),
        Field("introduced_by", Ref("DR_task"), RO, "The disaster recovery task that brought the SR in.",
              default=NULL_REF),
        Field("clustered", BOOL, RO, "True if the hosts share it through a cluster file system.", default=False),
        Field("is_tools_sr", BOOL, RO, "True for the SR that holds the guest tools.", default=False),
    ),
    messages=(
        # life
        Message("create", (Param("host", Ref("host"), "where to create it"), device_config,
                Param("physical_size", INT, "in bytes; back ends that can tell ignore it"), name_label,
                name_description, sr_type, content_type, Param("shared", BOOL, "several hosts may be connected"),
                sm_config), Ref("SR"), "Format storage and connect it on a host, or on all hosts if it is shared.",
                errors=(E.SR_UNKNOWN_DRIVER,), role=POOL_OPERATOR, secret=True),
        Message("introduce", (Param("uuid", STRING, "the one the SR had"), name_label, name_description, sr_type,
                content_type, Param("shared", BOOL, "several hosts may be connected"), sm_config), Ref("SR"),
                "Record storage that already holds disks; PBDs connect it afterwards.", role=POOL_OPERATOR),
        Message("make", (Param("host", Ref("host"), "the host"), device_config, Param("physical_size", INT, "in bytes"),
                name_label, name_description, sr_type, content_type, sm_config), STRING,
                "Format storage without recording it; SR.create does both.", role=POOL_OPERATOR, state="deprecated",
                secret=True),
        Message("forget", (sr,), None, "Drop the record of an SR; its disks stay on the storage.",
                errors=(E.SR_HAS_PBD,), role=POOL_OPERATOR, operation="forget"),
        Message("destroy", (sr,), None, "Erase an SR from its storage and drop the record.", errors=(E.SR_HAS_PBD,),
                role=POOL_OPERATOR, operation="destroy"),
        # contents
        Message("scan", (sr,), None, "Compare the records of disks and sizes with the storage.", role=VM_POWER_ADMIN,
                operation="scan"),
        Message("update", (sr,), None, "Refresh the figures of the SR from its back end.", role=POOL_OPERATOR,
                operation="update"),
        Message("get_supported_types", (), Set(STRING), "Names of the storage back ends that the pool has.",
                role=READ_ONLY, asynchronous=False),
        Message("get_live_hosts", (sr,), Set(Ref("host")), "Hosts that are up, enabled and connected to the SR.",
                role=POOL_OPERATOR, hidden=True),
        Message("probe", (Param("host", Ref("host"), "where to look"), device_config, sr_type, sm_config), STRING,
                "Look for SRs on storage; the answer is in the back end's own XML.", role=POOL_OPERATOR, secret=True),
        Message("probe_ext", (Param("host", Ref("host"), "where to look"), device_config, sr_type, sm_config),
                Set(Record("probe_result")), "Look for SRs on storage; the answer is a list of records.",
                role=POOL_OPERATOR, secret=True),
        # properties
        Message("set_name_label", (sr, Param("value", STRING)), None, "Set the name.", role=POOL_OPERATOR),
        Message("set_name_description", (sr, Param("value", STRING)), None, "Set the description.", role=POOL_OPERATOR),
        Message("set_shared", (sr, Param("value", BOOL)), None,
                "Say whether several hosts may be connected; refused while hosts disagree.", role=POOL_OPERATOR),
        Message("create_new_blob", (sr, Param("name", STRING, "its name"), Param("mime_type", STRING, "content type"),
                Param("public", BOOL, "readable without login", default=False)), Ref("blob"),
                "Attach a new, empty named binary object to the SR.", role=POOL_OPERATOR),
        # figures, set by storage back ends
        Message("set_physical_size", (me, Param("value", INT, "in bytes")), None, "Record the space there is.",
                role=POOL_OPERATOR, asynchronous=False),
        Message("set_virtual_allocation", (me, Param("value", INT, "in bytes")), None, "Record the sum of disk sizes.",
                role=LOCAL_ROOT, asynchronous=False, hidden=True),
        Message("set_physical_utilisation", (me, Param("value", INT, "in bytes")), None, "Record the space in use.",
                role=LOCAL_ROOT, asynchronous=False, hidden=True),
        # high availability and disaster recovery
        Message("assert_can_host_ha_statefile", (sr,), None, "Raise an error if the SR cannot carry a heartbeat file.",
                role=POOL_OPERATOR),
        Message("assert_supports_database_replication", (sr,), None,
                "Raise an error if the SR cannot carry a copy of the database.", role=POOL_OPERATOR),
        Message("enable_database_replication", (sr,), None, "Keep a copy of the pool's database on the SR.",
                role=POOL_OPERATOR),
        Message("disable_database_replication", (sr,), None, "Stop keeping a copy of the pool's database on the SR.",
                role=POOL_OPERATOR),
        # data sources
        Message("get_data_sources", (sr,), Set(Record("data_source")), "Everything that can be measured on this SR.",
                role=READ_ONLY, asynchronous=False),
        Message("record_data_source", (sr, data_source), None, "Start recording a data source.", role=POOL_OPERATOR,
                asynchronous=False),
        Message("query_data_source", (sr, data_source), FLOAT, "The latest value of a data source.", role=READ_ONLY,
                asynchronous=False),
        Message("forget_data_source_archives", (sr, data_source), None, "Drop the recorded history of a data source.",
                role=POOL_OPERATOR, asynchronous=False),
    ),
)
# fmt: on
