"""A client of API 1.0 against a real server: what xm asks for, in the order and the form in which xm asks."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Iterator
from typing import Any

import pytest
from clients import wait_until


class Xend:
    """The session of an XenAPI.py of that time: two arguments to log in, and ErrorDescription as it comes."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.proxy = xmlrpc.client.ServerProxy(url)
        self.session = self._value(self.proxy.session.login_with_password(user, password))

    @staticmethod
    def _value(answer: Any) -> Any:
        assert answer["Status"] == "Success", answer
        return answer["Value"]

    def ask(self, method: str, *params: Any) -> Any:
        return self._value(getattr(self.proxy, method)(self.session, *params))

    def refusal(self, method: str, *params: Any) -> list[str]:
        answer = getattr(self.proxy, method)(self.session, *params)
        assert answer["Status"] == "Failure", answer
        return answer["ErrorDescription"]


@pytest.fixture
def xend(server: Any) -> Iterator[Xend]:
    client = Xend(server.ready["xenapi"], server.user, server.password)
    yield client
    client.ask("session.logout")
    client.proxy("close")()


def named(xend: Xend, name: str) -> str:
    (ref,) = xend.ask("VM.get_by_name_label", name)
    return ref


def test_xm_list_finds_metrics_for_every_vm(xend: Xend) -> None:
    vms, metrics = xend.ask("VM.get_all_records"), xend.ask("VM_metrics.get_all_records")
    for vm in vms.values():
        assert {"memory_actual", "VCPUs_number", "state", "start_time"} <= metrics[vm["metrics"]].keys()
        assert int(vm["domid"]) >= -1
    assert sum(vm["is_control_domain"] for vm in vms.values()) == 3


def test_xm_info_finds_every_key_it_prints(xend: Xend) -> None:
    host = xend.ask("session.get_this_host", xend.session)
    record = xend.ask("host.get_record", host)
    assert {
        "release", "version", "machine", "xen_major", "xen_minor", "xen_extra", "xen_changeset", "cc_compiler",
        "cc_compile_by", "cc_compile_domain", "cc_compile_date", "xend_config_format",
    } <= record["software_version"].keys()  # fmt: skip
    assert {"nr_nodes", "cores_per_socket", "threads_per_core"} <= record["cpu_configuration"].keys()
    assert {"xen_pagesize", "platform_params", "xen_commandline"} <= record["other_config"].keys()
    assert record["sched_policy"] == "credit"
    assert xend.ask("host.get_sched_policy", host) == "credit"
    cpu = xend.ask("host_cpu.get_record", record["host_CPUs"][0])
    assert float(cpu["speed"]) > 0
    assert cpu["features"]
    assert int(xend.ask("host_metrics.get_record", record["metrics"])["memory_total"]) > 0


def test_xm_pause_and_unpause(xend: Xend) -> None:
    vm = named(xend, "web-1")
    xend.ask("VM.pause", vm)
    xend.ask("VM.set_pauseflag", vm, 1)
    assert xend.ask("VM.get_power_state", vm) == "Paused"
    xend.ask("VM.unpause", vm)
    xend.ask("VM.set_pauseflag", vm, 0)
    assert xend.ask("VM.get_power_state", vm) == "Running"


def test_xm_block_list_finds_the_back_end_of_each_disk(xend: Xend) -> None:
    vm = named(xend, "db-0")
    found = [xend.ask("VBD.get_runtime_properties", vbd) for vbd in xend.ask("VM.get_VBDs", vm)]
    domain = xend.ask("VM.get_domid", vm)
    ends = {f"/local/domain/0/backend/vbd/{domain}/{properties['virtual-device']}" for properties in found}
    assert {properties["backend"] for properties in found} == ends
    assert {properties["device-type"] for properties in found} == {"disk", "cdrom"}


def test_xm_vcpu_pin_keeps_a_mask_for_each_virtual_cpu(xend: Xend) -> None:
    vm = named(xend, "db-0")
    xend.ask("VM.add_to_VCPUs_params_live", vm, "cpumap0", "0,1")
    xend.ask("VM.add_to_VCPUs_params_live", vm, "cpumap3", "2")
    assert xend.ask("VM.get_VCPUs_params", vm) == {"cpumap0": "0,1", "cpumap3": "2"}
    assert xend.refusal("VM.add_to_VCPUs_params_live", vm, "cpumap4", "2") == ["INVALID_VALUE", "cpumap4", "2"]


def test_xm_network_detach_finds_the_interface_by_its_handle(xend: Xend) -> None:
    vm = named(xend, "app-0")
    vifs = xend.ask("VM.get_VIFs", vm)
    handles = [xend.ask("VIF.get_runtime_properties", vif)["handle"] for vif in vifs]
    assert handles == [xend.ask("VIF.get_device", vif) for vif in vifs]
    assert xend.ask("VIF.get_runtime_properties", vifs[0])["mac"] == xend.ask("VIF.get_MAC", vifs[0])


def test_xm_migrate_and_cpupool_list(xend: Xend) -> None:
    vm = named(xend, "web-0")
    pools, cpus = xend.ask("cpu_pool.get_all_records"), xend.ask("host_cpu.get_all_records")
    assert len(pools) == len(xend.ask("host.get_all"))
    assert sorted(cpu for pool in pools.values() for cpu in pool["host_CPUs"]) == sorted(cpus)
    assert xend.ask("host_cpu.get_unassigned_cpus") == []
    (before,) = xend.ask("VM.get_cpu_pool", vm)
    target = next(pool["resident_on"] for ref, pool in pools.items() if ref != before)
    xend.ask("VM.migrate", vm, xend.ask("host.get_record", target)["address"], 1, {"port": "8002"})
    (after,) = xend.ask("VM.get_cpu_pool", vm)
    assert pools[after]["resident_on"] == target
    assert xend.refusal("VM.migrate", vm, "host-0", 1, {"port": [8002]})[0] == "INTERNAL_ERROR"
    assert vm in xend.ask("cpu_pool.get_record", after)["started_VMs"]
    assert vm not in xend.ask("cpu_pool.get_record", before)["started_VMs"]
    assert xend.ask("VM.get_pool_name", vm) == "Pool-0"


def test_xm_cpupool_divides_the_cpus_of_a_host(xend: Xend) -> None:
    pools, cpus = xend.ask("cpu_pool.get_all_records"), xend.ask("host_cpu.get_all_records")
    host = xend.ask("session.get_this_host", xend.session)
    (first,) = (ref for ref, pool in pools.items() if pool["resident_on"] == host)
    cpu = max(pools[first]["host_CPUs"], key=lambda ref: int(cpus[ref]["number"]))
    xend.ask("cpu_pool.remove_host_CPU_live", first, cpu)
    fast = xend.ask("cpu_pool.create", {"name_label": "fast", "ncpu": "1", "sched_policy": "", "proposed_CPUs": []})
    xend.ask("cpu_pool.activate", fast)
    record = xend.ask("cpu_pool.get_record", fast)
    assert (record["host_CPUs"], record["activated"], record["started_VMs"]) == ([cpu], True, [])
    assert xend.refusal("cpu_pool.destroy", fast) == ["POOL_BAD_STATE", "activated"]
    assert xend.refusal("cpu_pool.deactivate", first) == ["POOL_BAD_STATE", "in use"]
    vm = next(vm for vm in xend.ask("cpu_pool.get_started_VMs", first) if xend.ask("VM.get_domid", vm) != "0")
    xend.ask("VM.cpu_pool_migrate", vm, fast)
    assert xend.ask("cpu_pool.get_started_VMs", fast) == [vm]
    assert xend.ask("VM.get_pool_name", vm) == "fast"
    xend.ask("VM.cpu_pool_migrate", vm, first)
    xend.ask("cpu_pool.deactivate", fast)
    xend.ask("cpu_pool.destroy", fast)
    xend.ask("cpu_pool.add_host_CPU_live", first, cpu)
    assert xend.ask("host_cpu.get_unassigned_cpus") == []


def test_xsm_is_off_as_in_a_xend_without_it(xend: Xend) -> None:
    assert xend.ask("XSPolicy.get_xspolicy")["type"] == "0"
    assert xend.refusal("XSPolicy.set_resource_label", "vdi", "ACM:example:blue", "")[:2] == ["SECURITY_ERROR", "-4116"]
    assert xend.refusal("VIF_metrics.get_io_total_read_kbs", "OpaqueRef:none")[0] == "MESSAGE_REMOVED"


def test_xm_create_makes_a_vm_with_disk_and_interface_and_destroys_it(xend: Xend) -> None:
    numbers = {f"memory_{name}": str(1 << 28) for name in ("static_max", "dynamic_max", "dynamic_min", "static_min")}
    empty = (
        "PV_kernel",
        "PV_ramdisk",
        "PV_args",
        "PV_bootloader_args",
        "HVM_boot_policy",
        "PCI_bus",
        "name_description",
    )
    vm = xend.ask(
        "VM.create",
        {
            **numbers, **dict.fromkeys(empty, ""), "name_label": "xm-made", "user_version": "1", "is_a_template": 0,
            "auto_power_on": 0, "VCPUs_params": {}, "VCPUs_max": "1", "VCPUs_at_startup": "1",
            "actions_after_shutdown": "destroy", "actions_after_reboot": "restart", "actions_after_crash": "preserve",
            "PV_bootloader": "pygrub", "HVM_boot_params": {}, "platform": {}, "other_config": {},
        },
    )  # fmt: skip
    sr = next(ref for ref in xend.ask("SR.get_all") if xend.ask("SR.get_content_type", ref) == "user")
    vdi = xend.ask(
        "VDI.create",
        {
            "name_label": "xm-disk", "name_description": "", "SR": sr, "virtual_size": str(1 << 30), "type": "system",
            "sharable": 0, "read_only": 0, "other_config": {"location": "phy:/dev/sda1"},
        },
    )  # fmt: skip
    assert xend.ask("VDI.get_other_config", vdi)["location"]
    vbd = xend.ask("VBD.create", {"VM": vm, "VDI": vdi, "device": "xvda", "bootable": 1, "mode": "RW", "type": "Disk"})
    (network,) = xend.ask("network.get_by_name_label", "lan-0")
    xend.ask("VIF.create", {"VM": vm, "network": network, "device": "", "MAC": "", "MTU": ""})
    xend.ask("VM.start", vm, 0)
    assert xend.ask("VM.get_power_state", vm) == "Running"
    assert xend.ask("VBD.get_device", vbd) == "xvda"
    assert xend.refusal("VM.start", vm, 0) == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
    xend.ask("VM.hard_shutdown", vm)
    xend.ask("VM.destroy", vm)
    assert xend.ask("VM.get_by_name_label", "xm-made") == []
    xend.ask("VDI.destroy", vdi)


def test_xm_event_monitor_hears_of_a_vm_by_its_uuid(xend: Xend) -> None:
    vm = named(xend, "app-1")
    uuid = xend.ask("VM.get_uuid", vm)
    xend.ask("event.register", ["VM"])
    xend.ask("VM.set_name_description", uuid, "renamed by its uuid")

    def heard() -> bool:
        return any(event["obj_uuid"] == uuid and event["operation"] == "mod" for event in xend.ask("event.next"))

    wait_until(heard)
    xend.ask("event.unregister", ["VM"])


def test_list_methods_names_those_of_1_0_alone(xend: Xend) -> None:
    listed = set(xend.ask("host.list_methods"))
    assert {"cpu_pool.get_all", "DPCI.get_all", "XSPolicy.get_xstype", "VM.start", "PSCSI_HBA.get_all"} <= listed


def test_files_of_a_host_are_said_to_be_missing(xend: Xend) -> None:
    vm = named(xend, "web-1")
    assert xend.refusal("VM.restore", "/var/lib/xen/save/web-1", 0)[0] == "INVALID_VALUE"
    assert xend.ask("VM.get_power_state", vm) == "Running"


def test_xm_controls_the_transcendent_memory_of_a_guest(xend: Xend) -> None:
    vm = xend.ask("VM.clone", named(xend, "db-2"), "thrifty")
    xend.ask("VM.set_PV_args", vm, "ro tmem")
    xend.ask("VM.start", vm, False)
    host, domid = xend.ask("VM.get_resident_on", vm), int(xend.ask("VM.get_domid", vm))
    before = int(xend.ask("host.tmem_query_freeable_mb", host))
    xend.ask("host.tmem_set_weight", host, domid, 5)
    xend.ask("host.tmem_set_cap", host, domid, 8)
    xend.ask("host.tmem_freeze", host, domid)
    told = xend.ask("host.tmem_list", host, domid, False)
    assert told.startswith(f"C=CI:{domid},ww:5,ca:8,co:0,fr:1,")
    assert told in xend.ask("host.tmem_list", host, -1, False)
    assert len(xend.ask("host.tmem_list", host, domid, True)) > len(told)
    assert int(xend.ask("host.tmem_query_freeable_mb", host)) < before
    assert int(xend.ask("host.tmem_flush", host, -1, 4)) == 4
    xend.ask("host.tmem_destroy", host, domid)
    assert xend.refusal("host.tmem_list", host, domid, 0) == ["INVALID_VALUE", "domid", str(domid)]
