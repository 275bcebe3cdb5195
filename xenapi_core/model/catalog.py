"""The data model as a whole: every class of the Xen-API that this server has, in one schema."""

from __future__ import annotations

from typing import Final

from xenapi_core.model.classes.console import CONSOLE
from xenapi_core.model.classes.event import EVENT
from xenapi_core.model.classes.host import HOST
from xenapi_core.model.classes.host_cpu import HOST_CPU
from xenapi_core.model.classes.host_metrics import HOST_METRICS
from xenapi_core.model.classes.message import MESSAGE
from xenapi_core.model.classes.network import NETWORK
from xenapi_core.model.classes.pbd import PBD
from xenapi_core.model.classes.pif import PIF
from xenapi_core.model.classes.pif_metrics import PIF_METRICS
from xenapi_core.model.classes.pool import POOL
from xenapi_core.model.classes.session import SESSION
from xenapi_core.model.classes.sr import SR
from xenapi_core.model.classes.task import TASK
from xenapi_core.model.classes.vbd import VBD
from xenapi_core.model.classes.vbd_metrics import VBD_METRICS
from xenapi_core.model.classes.vdi import VDI
from xenapi_core.model.classes.vif import VIF
from xenapi_core.model.classes.vif_metrics import VIF_METRICS
from xenapi_core.model.classes.vm import VM
from xenapi_core.model.classes.vm_guest_metrics import VM_GUEST_METRICS
from xenapi_core.model.classes.vm_metrics import VM_METRICS
from xenapi_core.model.schema import Schema

SCHEMA: Final = Schema(
    SESSION,
    TASK,
    EVENT,
    POOL,
    VM,
    VM_METRICS,
    VM_GUEST_METRICS,
    HOST,
    HOST_METRICS,
    HOST_CPU,
    NETWORK,
    VIF,
    VIF_METRICS,
    PIF,
    PIF_METRICS,
    SR,
    VDI,
    VBD,
    VBD_METRICS,
    PBD,
    CONSOLE,
    MESSAGE,
)
