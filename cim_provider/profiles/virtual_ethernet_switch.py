"""DSP1097 Virtual Ethernet Switch: a network as a switch, with a port for each plugged interface and each uplink.

Rule 1: a switch is one network, whichever hosts it spans; its ports are plugged VIFs and PIFs. What is not plugged is
        part of no configuration of a switch, so each switch has one configuration: it is the current and the next one.
Rule 2: an interface and the port it is plugged into are views of the same record; so are their endpoints, and the
        connection between them exists as long as the port does.
Rule 3: a VLAN of the Xen-API is a network whose uplinks are tagged outside it; so its switch takes part in one VLAN,
        by an access endpoint above each such uplink. A tag outside 802.1Q's range of VLANs is none.
"""

from __future__ import annotations

from cim_provider.mapping.association import Association, Owned, Pointing, SameRecord, Where
from cim_provider.mapping.extent import Rendition
from cim_provider.mapping.rule import OWN_CLASS, computed, const, field, item_text, via, xen_id
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.computer_system import ComputerSystem, HostComputerSystem
from cim_provider.profiles.configuration import is_plugged
from cim_provider.profiles.ethernet import NetworkPort, mac_address, network_addresses
from cim_provider.profiles.ethernet_port import HostNetworkPort
from cim_provider.profiles.kvm_redirection import HostedAccessPoint
from cim_provider.profiles.resource_allocation import hosts_of_network
from cim_provider.profiles.resource_pool import NETWORK, NetworkPool
from cim_provider.profiles.system_virtualization import SWITCH_TYPE, HostedDependency
from cim_provider.profiles.virtual_system import (
    ElementSettingData,
    SettingDataComponent,
    SettingsDefineState,
    SystemDevice,
)

# What Xen's back end of every interface has as its address.
BACK_END_MAC = "FEFFFFFFFFFF"

# Tags that name a VLAN (802.1Q); 0 means priority only.
VLANS = range(1, 4095)


class VirtualSwitch(View, cim="Xen_VirtualSwitch", of="network"):
    """A network as a switch; 38: Ethernet Switch."""

    CreationClassName = OWN_CLASS
    Name = field("uuid")
    NameFormat = const("Other")
    Caption = const("Virtual Ethernet switch")
    ElementName = field("name_label")
    Description = field("name_description")
    Dedicated = const((38,))
    EnabledState = const(2)
    EnabledDefault = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)


def vlan_connection(network: Subject) -> tuple[str, ...]:
    """The tags under which hosts connect it to the network outside."""
    return tuple(sorted({str(pif["VLAN"]) for pif in network.each("PIFs") if pif["VLAN"] >= 0}))


def associated_resource_pool(network: Subject) -> tuple[str, ...]:
    """The path of the pool of its interfaces (DSP0207 names of instances)."""
    return (f'root/cimv2:{NetworkPool.cim}.InstanceID="Xen:{NETWORK}/{network["uuid"]}"',)


class VirtualSwitchSettingData(View, cim="Xen_VirtualSwitchSettingData", of="network"):
    """The configuration of a switch; 2: VEB."""

    InstanceID = xen_id(field("uuid"))
    ElementName = field("name_label")
    Description = field("name_description")
    VirtualSystemIdentifier = field("uuid")
    VirtualSystemType = const(SWITCH_TYPE)
    VLANConnection = computed(vlan_connection)
    AssociatedResourcePool = computed(associated_resource_pool)
    EVBMode = const(2)
    Bridge = field("bridge")


def is_uplink(pif: Subject) -> bool:
    return bool(pif["currently_attached"]) and pif.follow("network") is not None


def port_name(vif: Subject) -> str:
    vm = vif.follow("VM")
    return f"Port of {vm['name_label']}, eth{vif['device']}" if vm is not None else "Port"


def uplink_name(pif: Subject) -> str:
    host = pif.follow("host")
    return f"Uplink {pif['device']} of {host['name_label']}" if host is not None else "Uplink"


class Port(View):
    """The lines shared by ports of a switch."""

    SystemCreationClassName = const(VirtualSwitch.cim)
    SystemName = via("network", field("uuid"))
    CreationClassName = OWN_CLASS
    DeviceID = field("uuid")
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    LinkTechnology = const(2)


class SwitchPort(Port, cim="Xen_SwitchPort", of="VIF", where=is_plugged):
    """The port a machine's interface is plugged into."""

    ElementName = computed(port_name)
    PermanentAddress = const(BACK_END_MAC)
    NetworkAddresses = const((BACK_END_MAC,))


class UplinkPort(Port, cim="Xen_SwitchUplinkPort", of="PIF", where=is_uplink):
    """The port that leads to a network interface of a host."""

    ElementName = computed(uplink_name)
    PermanentAddress = computed(mac_address)
    NetworkAddresses = computed(network_addresses)


class Endpoint(View):
    """The lines shared by LAN endpoints; 6: Ethernet CSMA/CD."""

    CreationClassName = OWN_CLASS
    Name = field("uuid")
    ElementName = const("LAN endpoint")
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    ProtocolIFType = const(6)
    MACAddress = computed(mac_address)


class LANEndpoint(Endpoint, cim="Xen_LANEndpoint", of="VIF", where=is_plugged):
    """Where a machine's interface meets the network."""

    SystemCreationClassName = const(ComputerSystem.cim)
    SystemName = via("VM", field("uuid"))


class SwitchEndpoint(Endpoint, cim="Xen_SwitchLANEndpoint", of="VIF", where=is_plugged):
    """Where the port of a machine's interface meets it."""

    SystemCreationClassName = const(VirtualSwitch.cim)
    SystemName = via("network", field("uuid"))
    MACAddress = const(BACK_END_MAC)


class UplinkEndpoint(Endpoint, cim="Xen_SwitchUplinkLANEndpoint", of="PIF", where=is_uplink):
    """Where an uplink of a switch meets the interface of a host."""

    SystemCreationClassName = const(VirtualSwitch.cim)
    SystemName = via("network", field("uuid"))


class HostEndpoint(Endpoint, cim="Xen_HostLANEndpoint", of="PIF", where=is_uplink):
    """Where the interface of a host meets the uplink of a switch."""

    SystemCreationClassName = const(HostComputerSystem.cim)
    SystemName = via("host", field("uuid"))


class PortSetting(View):
    """The lines shared by settings of the ports of a switch; 30: Ethernet Switch Port."""

    InstanceID = xen_id(via("network", field("uuid")), field("uuid"))
    ResourceType = const(30)
    PoolID = via("network", field("uuid"))
    AllocationUnits = const("count")
    VirtualQuantity = const(1)
    VirtualQuantityUnits = const("count")
    ConsumerVisibility = const(3)


class PortSettingData(PortSetting, cim="Xen_SwitchPortSettingData", of="VIF", where=is_plugged):
    """The port of a machine's interface as a part of the switch's configuration."""

    ElementName = computed(port_name)
    Address = const(BACK_END_MAC)


def vlan(pif: Subject) -> int | None:
    """The VLAN's tag; NULL for an interface without one."""
    return pif["VLAN"] if pif["VLAN"] >= 0 else None


def _card_path(pif: Subject) -> str:
    host = pif.follow("host")
    keys = {
        "CreationClassName": HostNetworkPort.cim, "DeviceID": pif["uuid"],
        "SystemCreationClassName": HostComputerSystem.cim, "SystemName": host["uuid"] if host is not None else "",
    }  # fmt: skip
    return f"root/cimv2:{HostNetworkPort.cim}." + ",".join(f'{name}="{value}"' for name, value in keys.items())


def cards_of(pif: Subject) -> list[Subject]:
    """The interfaces that an uplink is made of: what carries its VLAN, the members of its bond, or itself."""
    vlan = pif.follow("VLAN_master_of")
    carrier = vlan.follow("tagged_PIF") if vlan is not None else None
    if carrier is not None:
        return [carrier]
    return [member for bond in pif.each("bond_master_of") for member in bond.each("slaves")] or [pif]


def cards(pif: Subject) -> tuple[str, ...]:
    """The paths of the interfaces that an uplink is made of (DSP0207 names of instances)."""
    return tuple(sorted(map(_card_path, cards_of(pif))))


class UplinkSettingData(PortSetting, cim="Xen_SwitchUplinkPortSettingData", of="PIF", where=is_uplink):
    """An uplink as a part of the switch's configuration."""

    ElementName = computed(uplink_name)
    Address = computed(mac_address)
    DefaultPortVID = computed(vlan)
    HostResource = computed(cards)


def is_tagged(pif: Subject) -> bool:
    """Whether an uplink leads to a VLAN."""
    return pif["VLAN"] in VLANS and is_uplink(pif)


class VLANEndpoint(View, cim="Xen_VLANEndpoint", of="PIF", where=is_tagged):
    """Where an uplink of a switch takes part in a VLAN; 2: Access, 135: Layer 2 VLAN (802.1Q)."""

    SystemCreationClassName = const(VirtualSwitch.cim)
    SystemName = via("network", field("uuid"))
    CreationClassName = OWN_CLASS
    Name = field("uuid")
    ElementName = const("VLAN endpoint")
    EnabledState = const(2)
    RequestedState = const(12)
    OperationalStatus = const((2,))
    HealthState = const(5)
    ProtocolIFType = const(135)
    DesiredEndpointMode = const(2)
    OperationalEndpointMode = const(2)


class VLANEndpointSettingData(View, cim="Xen_VLANEndpointSettingData", of="PIF", where=is_tagged):
    """The VLAN of such an endpoint."""

    InstanceID = xen_id(via("network", field("uuid")), field("uuid"), "VLAN")
    ElementName = const("VLAN endpoint")
    AccessVLAN = field("VLAN")


def vlans_of(network: Subject) -> tuple[int, ...]:
    """The VLANs that uplinks of a network lead to: one, unless hosts were set up differently."""
    return tuple(sorted({pif["VLAN"] for pif in network.each("PIFs") if is_tagged(pif)}))


def vlan_name(network: Subject) -> str:
    return f"VLAN {network.item} of {network['name_label']}"


def vlan_id(network: Subject) -> int:
    return int(network.item)


class NetworkVLAN(View, cim="Xen_NetworkVLAN", of="network", items=vlans_of):
    """A VLAN that a network is, as the collection of the endpoints that take part in it; 3: Ethernet."""

    InstanceID = xen_id(field("uuid"), "VLAN", item_text("{}"))
    ElementName = computed(vlan_name)
    VLANId = computed(vlan_id)
    TypeOfMedia = const(3)


def in_vlan(collection: Rendition, endpoint: Rendition) -> bool:
    return endpoint.version is not None and bool(endpoint.version.values["VLAN"] == collection.item)


class VLANMember(Association, cim="Xen_VLANMember", left="Collection", right="Member"):
    """An endpoint takes part in a VLAN."""

    relations = (Where(Pointing(NetworkVLAN, VLANEndpoint, "PIF.network"), in_vlan),)


class HostedVLAN(Association, cim="Xen_HostedVLAN", left="Antecedent", right="Dependent"):
    """A VLAN belongs to the switch that is its network."""

    relations = (SameRecord(VirtualSwitch, NetworkVLAN),)


class VLANBindsTo(Association, cim="Xen_VLANBindsTo", left="Antecedent", right="Dependent"):
    """An endpoint of a VLAN uses the LAN endpoint of the same uplink."""

    relations = (SameRecord(UplinkEndpoint, VLANEndpoint),)


class DeviceSAPImplementation(Association, cim="Xen_DeviceSAPImplementation", left="Antecedent", right="Dependent"):
    """A port implements its endpoint."""

    relations = (
        SameRecord(NetworkPort, LANEndpoint),
        SameRecord(SwitchPort, SwitchEndpoint),
        SameRecord(UplinkPort, UplinkEndpoint),
        SameRecord(HostNetworkPort, HostEndpoint),
    )


class ActiveConnection(Association, cim="Xen_ActiveConnection", left="Antecedent", right="Dependent"):
    """Two endpoints are connected."""

    relations = (SameRecord(SwitchEndpoint, LANEndpoint), SameRecord(HostEndpoint, UplinkEndpoint))


SystemDevice.also(
    Pointing(VirtualSwitch, SwitchPort, "VIF.network"), Pointing(VirtualSwitch, UplinkPort, "PIF.network")
)
HostedAccessPoint.also(
    Pointing(ComputerSystem, LANEndpoint, "VIF.VM"),
    Pointing(VirtualSwitch, SwitchEndpoint, "VIF.network"),
    Pointing(VirtualSwitch, UplinkEndpoint, "PIF.network"),
    Pointing(VirtualSwitch, VLANEndpoint, "PIF.network"),
    Pointing(HostComputerSystem, HostEndpoint, "PIF.host"),
)
HostedDependency.also(Owned(HostComputerSystem, VirtualSwitch, hosts_of_network, reads=("PIF", "pool")))
SettingsDefineState.also(
    SameRecord(VirtualSwitch, VirtualSwitchSettingData),
    SameRecord(SwitchPort, PortSettingData),
    SameRecord(UplinkPort, UplinkSettingData),
    SameRecord(VLANEndpoint, VLANEndpointSettingData),
)
SettingDataComponent.also(
    Pointing(VirtualSwitchSettingData, PortSettingData, "VIF.network"),
    Pointing(VirtualSwitchSettingData, UplinkSettingData, "PIF.network"),
)
ElementSettingData.also(
    Where(
        SameRecord(VirtualSwitchSettingData, VirtualSwitchSettingData),
        properties={"IsDefault": 1, "IsCurrent": 1, "IsNext": 1},
    )
)
