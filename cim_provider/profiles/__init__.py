"""One module per DMTF profile; importing this package declares all views and associations."""

from cim_provider.profiles import (
    computer_system,
    ethernet,
    indications,
    job_control,
    memory,
    processor,
    profile_registration,
    storage,
    system_virtualization,
    virtual_system,
)

__all__ = [
    "computer_system",
    "ethernet",
    "indications",
    "job_control",
    "memory",
    "processor",
    "profile_registration",
    "storage",
    "system_virtualization",
    "virtual_system",
]
