"""The built-in simulator: hosts, storage and guests that behave like real ones, under the real stack."""

from xenapi_core.drivers.sim.hypervisor import SimHypervisor
from xenapi_core.drivers.sim.storage import SimStorage
from xenapi_core.drivers.sim.storage_backend import SimBackend, sim_backends
from xenapi_core.drivers.sim.world import SimGuest, SimWorld

__all__ = ["SimBackend", "SimGuest", "SimHypervisor", "SimStorage", "SimWorld", "sim_backends"]
