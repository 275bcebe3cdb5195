"""PIF for API 1.0 clients: setters for fields that are constant in later versions.

Rule 1: a value that the NIC or a record above determines is not changed here: the present value is accepted, another
        one is refused with the message that changes it.
"""

from __future__ import annotations

from xenapi_core.api.handlers.legacy_vm import LARGEST_MTU, SMALLEST_MTU
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.engine.steps import network_rules as rules
from xenapi_core.errors import E
from xenapi_core.store.api import Txn


@handles("PIF.set_MTU")
def set_mtu(call: CallContext, ref: str, value: int) -> None:
    """The largest packet, in bytes. INVALID_VALUE, PIF_UNMANAGED."""
    rules.check_managed(call.get(ref, "PIF"))
    if not SMALLEST_MTU <= value <= LARGEST_MTU:
        raise E.INVALID_VALUE("MTU", str(value))
    call.update(ref, MTU=value)


@handles("PIF.set_VLAN")
def set_vlan(call: CallContext, ref: str, value: int) -> None:
    """Change the tag of a VLAN's interface. VLAN_TAG_INVALID, PIF_VLAN_EXISTS; OPERATION_NOT_ALLOWED for others."""
    pif = call.get(ref, "PIF")
    if value == pif["VLAN"]:
        return
    vlan = call.store.find(pif["VLAN_master_of"])
    if vlan is None:
        raise E.OPERATION_NOT_ALLOWED("Only the interface of a VLAN has a tag; make one with VLAN.create")
    rules.check_tag(value)
    tagged = call.get(vlan["tagged_PIF"])
    if any(call.get(other)["tag"] == value for other in call.store.related(tagged.ref, "VLAN_slave_of")):
        raise E.PIF_VLAN_EXISTS(tagged["device"])

    def write(txn: Txn) -> None:
        txn.update(ref, VLAN=value)
        txn.update(vlan.ref, tag=value)

    call.commit(write)


@handles("PIF.set_MAC")
def set_mac(call: CallContext, ref: str, value: str) -> None:
    """Change the address of a bond and of what it carries. MAC_INVALID.

    OPERATION_NOT_ALLOWED for other interfaces: they have the address of their card.
    """
    pif = call.get(ref, "PIF")
    if value.lower() == pif["MAC"].lower():
        return
    rules.check_mac(value)
    if not call.store.related(ref, "bond_master_of"):
        raise E.OPERATION_NOT_ALLOWED("The address is that of the card; only a bond has one of its own")
    carried = [pif.ref for pif in rules.above(call.store, ref)]

    def write(txn: Txn) -> None:
        for each in (ref, *carried):
            txn.update(each, MAC=value)

    call.commit(write)


@handles("PIF.set_device")
def set_device(call: CallContext, ref: str, value: str) -> None:
    """OPERATION_NOT_ALLOWED for another name than the present one: it is the kernel's."""
    if value != call.get(ref, "PIF")["device"]:
        raise E.OPERATION_NOT_ALLOWED("The name is the kernel's")
