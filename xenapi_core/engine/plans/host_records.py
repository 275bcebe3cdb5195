"""Removing the records of a host: what host.destroy and pool.eject have in common."""

from __future__ import annotations

from xenapi_core.engine.plan import World
from xenapi_core.engine.plans.host_drivers import drivers_of, remove_driver
from xenapi_core.ids import NULL_REF
from xenapi_core.store.api import Txn


def remove_host(world: World, txn: Txn, host: str) -> None:
    """Delete a host with everything that is its own: control domain, interfaces, connections, storage only it had.

    VMs that preferred the host prefer none from now on. The disks of its local storage are forgotten with it.
    """
    values = txn.get(host, "host")
    for pbd in txn.related(host, "PBDs"):
        sr = txn.get(pbd)["SR"]
        txn.delete(pbd)
        record = txn.find(sr)
        if record is not None and not record["shared"] and not txn.related(sr, "PBDs"):
            _forget_sr(txn, sr)
    for pif in txn.related(host, "PIFs"):
        txn.delete(txn.get(pif)["metrics"])
        txn.delete(pif)
    for field in ("host_CPUs", "certificates"):
        for each in txn.related(host, field):
            txn.delete(each)
    for driver in drivers_of(world, host):
        remove_driver(txn, driver.ref)
    for cpus in world.store.all("cpu_pool").values():
        if cpus["resident_on"] == host and txn.find(cpus.ref) is not None:
            txn.delete(cpus.ref)
    for vm in txn.related(host, "resident_VMs"):
        if txn.get(vm)["is_control_domain"]:
            txn.delete(txn.get(vm)["metrics"])
            for field in ("VBDs", "VIFs", "consoles"):
                for device in txn.related(vm, field):
                    txn.delete(device)
            txn.delete(vm)
    for vm_record in world.store.all("VM").values():
        if vm_record["affinity"] == host and txn.find(vm_record.ref) is not None:
            txn.update(vm_record.ref, affinity=NULL_REF)
    txn.delete(values["metrics"])
    txn.delete(host)


def _forget_sr(txn: Txn, sr: str) -> None:
    for vdi in txn.related(sr, "VDIs"):
        for vbd in txn.related(vdi, "VBDs"):
            if txn.get(vbd)["type"] == "CD":
                txn.update(vbd, VDI=NULL_REF, empty=True)
            else:
                txn.delete(vbd)
        txn.delete(vdi)
    txn.delete(sr)
