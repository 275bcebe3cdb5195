"""The data model as a whole: every class of the Xen-API that this server has, in one schema.

The order is that of the API reference; the classes that only API 1.0 has come last. Classes of both get the messages
that only API 1.0 has (classes/legacy/messages.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from xenapi_core.model.classes.auth import AUTH
from xenapi_core.model.classes.blob import BLOB
from xenapi_core.model.classes.bond import BOND
from xenapi_core.model.classes.caller import CALLER
from xenapi_core.model.classes.certificate import CERTIFICATE
from xenapi_core.model.classes.cluster import CLUSTER
from xenapi_core.model.classes.cluster_host import CLUSTER_HOST
from xenapi_core.model.classes.console import CONSOLE
from xenapi_core.model.classes.crashdump import CRASHDUMP
from xenapi_core.model.classes.data_source import DATA_SOURCE
from xenapi_core.model.classes.diagnostics import DIAGNOSTICS
from xenapi_core.model.classes.dr_task import DR_TASK
from xenapi_core.model.classes.driver_variant import DRIVER_VARIANT
from xenapi_core.model.classes.event import EVENT, EVENT_BATCH
from xenapi_core.model.classes.feature import FEATURE
from xenapi_core.model.classes.gpu_group import GPU_GROUP
from xenapi_core.model.classes.host import HOST
from xenapi_core.model.classes.host_cpu import HOST_CPU
from xenapi_core.model.classes.host_crashdump import HOST_CRASHDUMP
from xenapi_core.model.classes.host_driver import HOST_DRIVER
from xenapi_core.model.classes.host_metrics import HOST_METRICS
from xenapi_core.model.classes.host_patch import HOST_PATCH
from xenapi_core.model.classes.legacy.cpu_pool import CPU_POOL
from xenapi_core.model.classes.legacy.debug import DEBUG
from xenapi_core.model.classes.legacy.messages import LEGACY_MESSAGES
from xenapi_core.model.classes.legacy.pci_passthrough import DPCI, PPCI
from xenapi_core.model.classes.legacy.scsi_passthrough import DSCSI, DSCSI_HBA, PSCSI, PSCSI_HBA
from xenapi_core.model.classes.legacy.security_policy import ACMPOLICY, XSPOLICY
from xenapi_core.model.classes.lvhd import LVHD
from xenapi_core.model.classes.message import MESSAGE
from xenapi_core.model.classes.network import NETWORK
from xenapi_core.model.classes.network_sriov import NETWORK_SRIOV
from xenapi_core.model.classes.observer import OBSERVER
from xenapi_core.model.classes.pbd import PBD
from xenapi_core.model.classes.pci import PCI
from xenapi_core.model.classes.pgpu import PGPU
from xenapi_core.model.classes.pif import PIF
from xenapi_core.model.classes.pif_metrics import PIF_METRICS
from xenapi_core.model.classes.pool import POOL
from xenapi_core.model.classes.pool_patch import POOL_PATCH
from xenapi_core.model.classes.pool_update import POOL_UPDATE
from xenapi_core.model.classes.pusb import PUSB
from xenapi_core.model.classes.pvs import PVS_CACHE_STORAGE, PVS_PROXY, PVS_SERVER, PVS_SITE
from xenapi_core.model.classes.rate_limit import RATE_LIMIT
from xenapi_core.model.classes.repository import REPOSITORY
from xenapi_core.model.classes.role import ROLE
from xenapi_core.model.classes.sdn_controller import SDN_CONTROLLER
from xenapi_core.model.classes.secret import SECRET
from xenapi_core.model.classes.session import SESSION
from xenapi_core.model.classes.sm import SM
from xenapi_core.model.classes.sr import SR
from xenapi_core.model.classes.sr_probe import PROBE_RESULT, SR_STAT
from xenapi_core.model.classes.subject import SUBJECT
from xenapi_core.model.classes.task import TASK
from xenapi_core.model.classes.tunnel import TUNNEL
from xenapi_core.model.classes.usb_group import USB_GROUP
from xenapi_core.model.classes.user import USER
from xenapi_core.model.classes.vbd import VBD
from xenapi_core.model.classes.vbd_metrics import VBD_METRICS
from xenapi_core.model.classes.vdi import VDI
from xenapi_core.model.classes.vdi_nbd_server_info import VDI_NBD_SERVER_INFO
from xenapi_core.model.classes.vgpu import VGPU
from xenapi_core.model.classes.vgpu_type import VGPU_TYPE
from xenapi_core.model.classes.vif import VIF
from xenapi_core.model.classes.vif_metrics import VIF_METRICS
from xenapi_core.model.classes.vlan import VLAN
from xenapi_core.model.classes.vm import VM
from xenapi_core.model.classes.vm_appliance import VM_APPLIANCE
from xenapi_core.model.classes.vm_group import VM_GROUP
from xenapi_core.model.classes.vm_guest_metrics import VM_GUEST_METRICS
from xenapi_core.model.classes.vm_metrics import VM_METRICS
from xenapi_core.model.classes.vmpp import VMPP
from xenapi_core.model.classes.vmss import VMSS
from xenapi_core.model.classes.vtpm import VTPM
from xenapi_core.model.classes.vusb import VUSB
from xenapi_core.model.schema import Class, Schema

# fmt: off
REFERENCE: Final = (
    SESSION, AUTH, SUBJECT, ROLE, TASK, EVENT, EVENT_BATCH, POOL, POOL_PATCH, POOL_UPDATE, VM, VM_METRICS,
    VM_GUEST_METRICS, VMPP, VMSS, VM_APPLIANCE, DR_TASK, HOST, HOST_CRASHDUMP, HOST_PATCH, HOST_METRICS, HOST_CPU,
    NETWORK, VIF, VIF_METRICS, PIF, PIF_METRICS, BOND, VLAN, SM, SR, SR_STAT, PROBE_RESULT, LVHD, VDI, VBD,
    VBD_METRICS, PBD, CRASHDUMP, VTPM, CONSOLE, USER, DATA_SOURCE, BLOB, MESSAGE, SECRET, TUNNEL, NETWORK_SRIOV, PCI,
    PGPU, GPU_GROUP, VGPU, VGPU_TYPE, PVS_SITE, PVS_SERVER, PVS_PROXY, PVS_CACHE_STORAGE, FEATURE, SDN_CONTROLLER,
    VDI_NBD_SERVER_INFO, PUSB, USB_GROUP, VUSB, CLUSTER, CLUSTER_HOST, CERTIFICATE, DIAGNOSTICS, REPOSITORY, OBSERVER,
    VM_GROUP, HOST_DRIVER, DRIVER_VARIANT, CALLER, RATE_LIMIT,
)
ONLY_1_0: Final = (DPCI, PPCI, DSCSI, DSCSI_HBA, PSCSI, PSCSI_HBA, XSPOLICY, ACMPOLICY, CPU_POOL, DEBUG)
# fmt: on


def _for_both(cls: Class) -> Class:
    """`cls` with the messages that only API 1.0 has."""
    more = LEGACY_MESSAGES.get(cls.name)
    return replace(cls, messages=(*cls.messages, *more)) if more else cls


SCHEMA: Final = Schema(*map(_for_both, REFERENCE), *ONLY_1_0)
