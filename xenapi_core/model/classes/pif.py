"""The PIF: a network interface of a host."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import (
    IP_CONFIGURATION_MODE,
    IPV6_CONFIGURATION_MODE,
    PIF_IGMP_STATUS,
    PRIMARY_ADDRESS_TYPE,
)
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref, Set

me = Param("self", Ref("PIF"), "the interface")
host = Param("host", Ref("host"), "the host")

# fmt: off
PIF = Class(
    "PIF",
    "A network interface of a host: physical, or a VLAN, bond, tunnel or SR-IOV function on one.",
    fields=(
        # identity and place
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("device", STRING, STATIC, "Name of the interface in the host's kernel, such as eth0."),
        Field("network", Ref("network"), STATIC, "The network the interface connects to."),
        Field("host", Ref("host"), STATIC, "The host that has the interface."),
        Field("MAC", STRING, STATIC, "Ethernet address."),
        Field("MTU", INT, STATIC, "Largest packet, in bytes."),
        Field("VLAN", INT, STATIC, "VLAN tag of the interface; -1 if it has none."),
        Field("device_name", STRING, RW, "Name as it was when the interface was found.", internal=True),
        # state
        Field("metrics", Ref("PIF_metrics"), RO, "Link state and hardware details.", default=NULL_REF),
        Field("physical", BOOL, RO, "True for hardware, false for a VLAN, bond, tunnel or SR-IOV logical interface.",
              default=False),
        Field("currently_attached", BOOL, RO, "True while the interface is up and connected to its network.",
              default=True),
        # IPv4 addresses of the host
        Field("ip_configuration_mode", IP_CONFIGURATION_MODE, RO, "How the IPv4 address is found.", default="None"),
        Field("IP", STRING, RO, "IPv4 address; empty if there is none.", default=""),
        Field("netmask", STRING, RO, "IPv4 netmask.", default=""),
        Field("gateway", STRING, RO, "IPv4 gateway.", default=""),
        Field("DNS", STRING, RO, "Name servers, separated by commas.", default=""),
        # interfaces above and below
        Field("bond_slave_of", Ref("Bond"), RO, "The bond that uses this interface as a member.", default=NULL_REF),
        Field("bond_master_of", Set(Ref("Bond")), RO, "The bond this interface stands for.", default=(),
              inverse="Bond.master"),
        Field("VLAN_master_of", Ref("VLAN"), RO, "The VLAN this interface stands for.", default=NULL_REF),
        Field("VLAN_slave_of", Set(Ref("VLAN")), RO, "VLANs carried by this interface.", default=(),
              inverse="VLAN.tagged_PIF"),
        # use by the host
        Field("management", BOOL, RO, "True if the Xen-API of the host listens here.", default=False),
        Field("other_config", STRING_MAP, RW,
              "Free-form settings of clients; the server reads a few, such as mtu and domain.", default={}),
        Field("disallow_unplug", BOOL, RO, "True if unplug must be refused.", default=False),
        # tunnels
        Field("tunnel_access_PIF_of", Set(Ref("tunnel")), RO, "The tunnel this interface stands for.", default=(),
              inverse="tunnel.access_PIF"),
        Field("tunnel_transport_PIF_of", Set(Ref("tunnel")), RO, "Tunnels carried by this interface.", default=(),
              inverse="tunnel.transport_PIF"),
        # IPv6 addresses of the host
        Field("ipv6_configuration_mode", IPV6_CONFIGURATION_MODE, RO, "How the IPv6 addresses are found.",
              default="None"),
        Field("IPv6", Set(STRING), RO, "IPv6 addresses with prefix length.", default=()),
        Field("ipv6_gateway", STRING, RO, "IPv6 gateway.", default=""),
        Field("primary_address_type", PRIMARY_ADDRESS_TYPE, RO, "Address family that names the host on this interface.",
              default="IPv4"),
        # the hardware and its settings
        Field("managed", BOOL, STATIC, "True if the server configures the interface; otherwise it is left to the host.",
              default=True),
        Field("properties", STRING_MAP, RO, "Ethernet settings of the interface, such as gro.", default={}),
        Field("capabilities", Set(STRING), RO, "What the hardware can do, such as fcoe or sriov.", default=()),
        Field("igmp_snooping_status", PIF_IGMP_STATUS, RO, "Whether the bridge above filters multicast traffic.",
              default="unknown"),
        # SR-IOV
        Field("sriov_physical_PIF_of", Set(Ref("network_sriov")), RO,
              "The SR-IOV network whose functions this interface provides.", default=(),
              inverse="network_sriov.physical_PIF"),
        Field("sriov_logical_PIF_of", Set(Ref("network_sriov")), RO, "The SR-IOV network this interface stands for.",
              default=(), inverse="network_sriov.logical_PIF"),
        Field("PCI", Ref("PCI"), RO, "The PCI device behind a physical interface.", default=NULL_REF),
    ),
    messages=(
        # discovery
        Message("scan", (Param("host", Ref("host"), "where to look"),), None,
                "Look for interfaces of a host and record those that are new.", role=POOL_OPERATOR),
        Message("introduce", (Param("host", Ref("host"), "where it is"),
                Param("MAC", STRING, "its address; empty: ask the kernel"), Param("device", STRING, "its kernel name"),
                Param("managed", BOOL, "whether the server configures it", default=True)), Ref("PIF"),
                "Record an interface that the host already has.", role=POOL_OPERATOR),
        Message("forget", (me,), None, "Drop the record of an interface; the hardware is not touched.",
                errors=(E.PIF_TUNNEL_STILL_EXISTS, E.CLUSTERING_ENABLED), role=POOL_OPERATOR),
        # up, down and addresses
        Message("plug", (me,), None, "Bring the interface up and connect it to its network.",
                errors=(E.TRANSPORT_PIF_NOT_CONFIGURED,), role=POOL_OPERATOR),
        Message("unplug", (me,), None, "Disconnect the interface from its network.",
                errors=(E.HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN, E.VIF_IN_USE, E.PIF_DOES_NOT_ALLOW_UNPLUG,
                E.PIF_HAS_FCOE_SR_IN_USE), role=POOL_OPERATOR),
        Message("reconfigure_ip", (me, Param("mode", IP_CONFIGURATION_MODE), Param("IP", STRING, "for mode Static"),
                Param("netmask", STRING, "for mode Static"), Param("gateway", STRING, "for mode Static; may be empty"),
                Param("DNS", STRING, "for mode Static; comma-separated")), None,
                "Change how the host gets its IPv4 address on this interface.", errors=(E.CLUSTERING_ENABLED,),
                role=POOL_OPERATOR),
        Message("reconfigure_ipv6", (me, Param("mode", IPV6_CONFIGURATION_MODE),
                Param("IPv6", STRING, "address/length, for mode Static"),
                Param("gateway", STRING, "for mode Static; may be empty"),
                Param("DNS", STRING, "for mode Static; comma-separated")), None,
                "Change how the host gets its IPv6 address on this interface.", errors=(E.CLUSTERING_ENABLED,),
                role=POOL_OPERATOR),
        Message("set_primary_address_type", (me, Param("primary_address_type", PRIMARY_ADDRESS_TYPE)), None,
                "Choose the address family that names the host on this interface.", role=POOL_OPERATOR),
        Message("set_disallow_unplug", (me, Param("value", BOOL)), None, "Allow or forbid unplugging the interface.",
                errors=(E.OTHER_OPERATION_IN_PROGRESS, E.CLUSTERING_ENABLED), role=POOL_OPERATOR),
        Message("set_property", (me, Param("name", STRING, "such as gro"), Param("value", STRING, "on or off")), None,
                "Set one Ethernet property of the interface.", role=POOL_OPERATOR),
        # VLANs: superseded by the classes VLAN and pool
        Message("create_VLAN", (Param("device", STRING, "interface that carries it"),
                Param("network", Ref("network"), "what it connects to"), host, Param("VLAN", INT, "tag, 0 to 4094")),
                Ref("PIF"), "Make a VLAN interface on one host; pool.create_VLAN_from_PIF does it on all.",
                errors=(E.VLAN_TAG_INVALID,), role=POOL_OPERATOR, state="deprecated"),
        Message("destroy", (me,), None, "Remove a VLAN interface.", errors=(E.PIF_IS_PHYSICAL,), role=POOL_OPERATOR,
                state="deprecated"),
        # records only
        Message("db_introduce", (Param("device", STRING), Param("network", Ref("network")), host, Param("MAC", STRING),
                Param("MTU", INT, "in bytes"), Param("VLAN", INT, "tag, or -1"), Param("physical", BOOL),
                Param("ip_configuration_mode", IP_CONFIGURATION_MODE), Param("IP", STRING), Param("netmask", STRING),
                Param("gateway", STRING), Param("DNS", STRING), Param("bond_slave_of", Ref("Bond")),
                Param("VLAN_master_of", Ref("VLAN")), Param("management", BOOL), Param("other_config", STRING_MAP),
                Param("disallow_unplug", BOOL, default=False),
                Param("ipv6_configuration_mode", IPV6_CONFIGURATION_MODE, default="None"),
                Param("IPv6", Set(STRING), default=()), Param("ipv6_gateway", STRING, default=""),
                Param("primary_address_type", PRIMARY_ADDRESS_TYPE, default="IPv4"),
                Param("managed", BOOL, default=True), Param("properties", STRING_MAP, default={})), Ref("PIF"),
                "Make the record of an interface without touching the host.", role=POOL_OPERATOR),
        Message("db_forget", (me,), None, "Drop the record of an interface without touching the host.",
                role=POOL_OPERATOR),
        Message("pool_introduce", (Param("device", STRING), Param("network", Ref("network")), host,
                Param("MAC", STRING), Param("MTU", INT, "in bytes"), Param("VLAN", INT, "tag, or -1"),
                Param("physical", BOOL), Param("ip_configuration_mode", IP_CONFIGURATION_MODE), Param("IP", STRING),
                Param("netmask", STRING), Param("gateway", STRING), Param("DNS", STRING),
                Param("bond_slave_of", Ref("Bond")), Param("VLAN_master_of", Ref("VLAN")), Param("management", BOOL),
                Param("other_config", STRING_MAP), Param("disallow_unplug", BOOL, default=False),
                Param("ipv6_configuration_mode", IPV6_CONFIGURATION_MODE, default="None"),
                Param("IPv6", Set(STRING), default=()), Param("ipv6_gateway", STRING, default=""),
                Param("primary_address_type", PRIMARY_ADDRESS_TYPE, default="IPv4"),
                Param("managed", BOOL, default=True), Param("properties", STRING_MAP, default={})), Ref("PIF"),
                "Record an interface that a joining host brings along.", role=POOL_OPERATOR, hidden=True),
    ),
)
# fmt: on
