"""DSP1014 Ethernet Port: the network interfaces of a host, physical ones and those built on them."""

from __future__ import annotations

from cim_provider.mapping.association import Pointing
from cim_provider.mapping.rule import computed, const, field, via
from cim_provider.mapping.subject import Subject
from cim_provider.profiles.computer_system import HostComputerSystem
from cim_provider.profiles.device import HostDevice
from cim_provider.profiles.ethernet import mac_address, max_data_size, network_addresses
from cim_provider.profiles.virtual_system import SystemDevice


def device_name(pif: Subject) -> str:
    """The device as the host names it, with the VLAN's tag behind it."""
    return pif["device"] if pif["VLAN"] < 0 else f"{pif['device']}.{pif['VLAN']}"


def operational_status(pif: Subject) -> tuple[int, ...]:
    """10 Stopped while it is unplugged, 13 Lost Communication without a carrier, else 2 OK."""
    if not pif["currently_attached"]:
        return (10,)
    metrics = pif.follow("metrics")
    return (2,) if metrics is None or metrics["carrier"] else (13,)


def speed(pif: Subject) -> int | None:
    """Bits a second; NULL if it is not known."""
    metrics = pif.follow("metrics")
    return metrics["speed"] * 1_000_000 if metrics is not None and metrics["speed"] > 0 else None


class HostNetworkPort(HostDevice, cim="Xen_HostNetworkPort", of="PIF"):
    """A network interface of a host."""

    DeviceID = field("uuid")
    ElementName = computed(device_name)
    Name = computed(device_name)
    EnabledState = field("currently_attached").table({True: 2, False: 3})
    OperationalStatus = computed(operational_status)
    PermanentAddress = computed(mac_address)
    NetworkAddresses = computed(network_addresses)
    LinkTechnology = const(2)
    MaxDataSize = computed(max_data_size)
    Speed = computed(speed)
    FullDuplex = via("metrics", field("duplex"))
    Physical = field("physical")
    Management = field("management")


SystemDevice.also(Pointing(HostComputerSystem, HostNetworkPort, "PIF.host"))
