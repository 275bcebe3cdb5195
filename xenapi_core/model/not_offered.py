"""Why some messages of the Xen-API have no behaviour here: one reason for each, shown on the coverage page.

Rule 1: a reason is given to patterns of wire names; the first pattern that fits counts. A test keeps the table true:
        each message without behaviour has a reason, and no pattern names only messages that have behaviour.
Rule 2: a reason says what is missing, so that whoever adds it knows where to begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

# fmt: off
REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Out of scope: patches, updates and their repositories, and the licences of products.": (
        "pool_patch.*", "pool_update.*", "host_patch.*", "Repository.*", "pool.*repositor*", "pool.*update*",
        "pool.apply_edition", "host.apply_edition", "host.license_*", "host.set_license_params", "host.apply_updates",
        "host.refresh_pack_info", "host.emergency_clear_mandatory_guidance",
    ),
    "Out of scope: clustering.": (
        "Cluster.*", "Cluster_host.*",
    ),
    "Out of scope: GPUs, USB and PCI devices; the simulator has no such hardware.": (
        "PCI.*", "PGPU.*", "GPU_group.*", "VGPU.*", "PUSB.*", "USB_group.*", "VUSB.*", "DPCI.*", "host.*_vf_setup",
    ),
    "Out of scope: SCSI devices passed to guests; the simulator has none.": ("DSCSI.*", "DSCSI_HBA.*"),
    "Out of scope: services outside the pool that would have to be tried or asked.": (
        "pool.send_test_post",
    ),
    "No protocol of workload balancing servers is spoken, so a pool has none.": ("pool.initialize_wlb",),
    "No driver caches what servers of Citrix Provisioning stream to guests.": ("PVS_proxy.*", "PVS_cache_storage.*"),
    "No driver splits a network card into virtual functions.": ("network_sriov.*",),
    "No driver has transcendent memory; Xen has given it up.": ("host.tmem_*",),
    "No guest offers services to the pool; xapi, too, answers NOT_IMPLEMENTED.": ("VM.query_services",),
    "Certificates for secure boot are in the record of the pool; hosts have no file of them.": (
        "host.write_uefi_certificates_to_disk",
    ),
    "Nothing here converts machines of other hypervisors.": ("VM.import_convert",),
    "Members of a pool say it to each other, and members here are simulated by the coordinator.": (
        "pool.exchange_certificates_on_join", "host.ha_*", "host.preconfigure_ha", "host.*_new_master",
        "host.update_master", "host.tickle_heartbeat", "host.create", "host.request_*", "host.notify",
        "host.signal_networking_change",
        "host.set_localdb_key", "host.sync_*", "host.update_pool_secret",
        "host.apply_guest_agent_config", "host.update_firewalld_service_status", "host.sm_dp_destroy",
        "host.attach_static_vdis", "host.detach_static_vdis", "host.copy_primary_host_certs", "host.cert_distrib_atom",
        "host.prepare_for_poweroff", "VM.pool_migrate_complete", "VM.assert_can_migrate_sender",
    ),
    "Hosts of a pool share a process, so there is no certificate between them.": ("host.refresh_server_certificate",),
    "The server is one program; nobody traces calls through the parts of a toolstack.": ("Observer.*",),
    "Archives went with VMPP, which the API has removed.": ("pool.test_archive_target",),
    "Limits of calls are the same for all callers; none is counted or slowed by name.": (
        "Caller.*", "Rate_limit.*",
    ),
}
# fmt: on


def reason(wire_name: str) -> str | None:
    """Why a message has no behaviour; None if no pattern fits."""
    for words, patterns in REASONS.items():
        if any(fnmatchcase(wire_name, pattern) for pattern in patterns):
            return words
    return None
