"""DSP1050 Ethernet Port Resource Virtualization: network interfaces of a machine and how they are connected."""

from __future__ import annotations

from cim_provider.mapping.rule import computed, const, field, via
from cim_provider.mapping.subject import Subject
from cim_provider.mapping.view import View
from cim_provider.profiles.configuration import device_setting_id, is_plugged, of_plugged, part_of_configuration
from cim_provider.profiles.device import VirtualDevice


def mac_address(vif: Subject) -> str:
    """Twelve hexadecimal digits, as CIM_NetworkPort.PermanentAddress wants them."""
    return str(vif["MAC"]).replace(":", "").replace("-", "").upper()


def network_addresses(vif: Subject) -> tuple[str, ...]:
    return (mac_address(vif),)


def device_name(vif: Subject) -> str:
    return f"eth{vif['device']}"


def max_data_size(vif: Subject) -> int | None:
    return vif["MTU"] if vif["MTU"] > 0 else None


class NetworkPort(VirtualDevice, cim="Xen_NetworkPort", of="VIF", where=is_plugged):
    """A network interface."""

    ElementName = computed(device_name)
    Name = computed(device_name)
    PermanentAddress = computed(mac_address)
    NetworkAddresses = computed(network_addresses)
    LinkTechnology = const(2)
    MaxDataSize = computed(max_data_size)


def _rate(vif: Subject) -> int | None:
    text = vif["qos_algorithm_params"].get("kbps", "")
    return int(text) if vif["qos_algorithm_type"] == "ratelimit" and text.isdecimal() and len(text) < 16 else None


def limit(vif: Subject) -> int | None:
    return _rate(vif)


def allocation_units(vif: Subject) -> str:
    """The Xen-API's kbps are 1,024 bytes a second; without a rate the unit is the interface itself."""
    return "count" if _rate(vif) is None else "byte/second*2^10"


def connection(vif: Subject) -> tuple[str, ...]:
    network = vif.follow("network")
    return () if network is None else (network["uuid"],)


class NetworkPortSettingData(
    View, cim="Xen_NetworkPortSettingData", of="VIF", where=part_of_configuration, items=of_plugged
):
    """A network interface as a part of the machine's configuration."""

    InstanceID = device_setting_id()
    ElementName = computed(device_name)
    ResourceType = const(10)
    PoolID = via("network", field("uuid"))
    Connection = computed(connection)
    Address = computed(mac_address)
    AddressOnParent = field("device")
    AllocationUnits = computed(allocation_units)
    Limit = computed(limit)
    VirtualQuantity = const(1)
    VirtualQuantityUnits = const("count")
    SourceMACFilteringEnabled = field("locking_mode").table(
        {"locked": True, "unlocked": False, "disabled": True, "network_default": None}
    )
    ConsumerVisibility = const(3)
