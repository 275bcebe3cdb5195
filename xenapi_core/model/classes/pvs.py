"""Caches for Citrix Provisioning: sites, their servers, and the proxies and storage that cache for them."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import PVS_PROXY_STATUS
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, Ref, Set

# fmt: off
pvs_site = Param("self", Ref("PVS_site"))

PVS_SITE = Class(
    "PVS_site",
    "A site of Citrix Provisioning, whose disk streams hosts may cache.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("PVS_uuid", STRING, STATIC, "Identifier the site has in Citrix Provisioning.", default=""),
        Field("cache_storage", Set(Ref("PVS_cache_storage")), RO, "Storage that hosts cache the site's streams in.",
              default=(), inverse="PVS_cache_storage.site"),
        Field("servers", Set(Ref("PVS_server")), RO, "Servers of the site.", default=(), inverse="PVS_server.site"),
        Field("proxies", Set(Ref("PVS_proxy")), RO, "Proxies that cache for the site.", default=(),
              inverse="PVS_proxy.site"),
    ),
    messages=(
        Message("introduce", (Param("name_label", STRING, "its name"),
                Param("name_description", STRING, "its description"),
                Param("PVS_uuid", STRING, "its identifier in Citrix Provisioning")), Ref("PVS_site"), "Record a site.",
                role=POOL_OPERATOR),
        Message("forget", (pvs_site,), None, "Drop the record of a site that nothing uses.",
                errors=(E.PVS_SITE_CONTAINS_RUNNING_PROXIES, E.PVS_SITE_CONTAINS_SERVERS), role=POOL_OPERATOR),
        Message("set_PVS_uuid", (pvs_site, Param("value", STRING)), None, "Set the identifier of the site.",
                role=POOL_OPERATOR),
    ),
)

pvs_server = Param("self", Ref("PVS_server"))

PVS_SERVER = Class(
    "PVS_server",
    "Servers that stream disks, at one or more addresses.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("addresses", Set(STRING), STATIC, "IPv4 addresses of the servers.", default=()),
        Field("first_port", INT, STATIC, "First of the UDP ports they use.", default=0),
        Field("last_port", INT, STATIC, "Last of the UDP ports they use.", default=0),
        Field("site", Ref("PVS_site"), STATIC, "Site they belong to.", default=NULL_REF),
    ),
    messages=(
        Message("introduce", (Param("addresses", Set(STRING), "IPv4 addresses"),
                Param("first_port", INT, "first UDP port"), Param("last_port", INT, "last UDP port"),
                Param("site", Ref("PVS_site"), "the site")), Ref("PVS_server"), "Record servers of a site.",
                role=POOL_OPERATOR),
        Message("forget", (pvs_server,), None, "Drop the record of servers.", role=POOL_OPERATOR),
    ),
)

pvs_proxy = Param("self", Ref("PVS_proxy"))

PVS_PROXY = Class(
    "PVS_proxy",
    "A cache between a VM's interface and the servers of a site.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("site", Ref("PVS_site"), STATIC, "Site it caches for.", default=NULL_REF),
        Field("VIF", Ref("VIF"), STATIC, "Interface of the VM that streams its disk.", default=NULL_REF),
        Field("currently_attached", BOOL, RO, "Whether it is at work.", default=False),
        Field("status", PVS_PROXY_STATUS, RO, "What it does now, or why it cannot work.", default="stopped"),
    ),
    messages=(
        Message("create", (Param("site", Ref("PVS_site"), "the site"), Param("VIF", Ref("VIF"))), Ref("PVS_proxy"),
                "Have what an interface streams from a site cached.", role=POOL_OPERATOR),
        Message("destroy", (pvs_proxy,), None, "End the caching for an interface.", role=POOL_OPERATOR),
    ),
)

PVS_CACHE_STORAGE = Class(
    "PVS_cache_storage",
    "Storage on a host that holds what proxies cache for a site.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("host", Ref("host"), STATIC, "Host that caches.", default=NULL_REF),
        Field("SR", Ref("SR"), STATIC, "Storage repository for the cache.", default=NULL_REF),
        Field("site", Ref("PVS_site"), STATIC, "Site the cache is for.", default=NULL_REF),
        Field("size", INT, STATIC, "Size of the cache disk, in bytes.", default=20 << 30),
        Field("VDI", Ref("VDI"), RO, "Disk that holds the cache, or null until it is made.", default=NULL_REF),
    ),
    creatable=True,
)
# fmt: on
