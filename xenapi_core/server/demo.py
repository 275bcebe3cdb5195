"""The demo's inventory: a realistic pool of any size, the same for the same seed.

Rule 1: identities come from `Ids.named(path)`, so web-0 keeps its uuid when the pool is made larger or smaller.
Rule 2: everything here is records; the simulated hypervisors adopt the running machines afterwards (see adopt.py), in
        the same way as after a restart with durable state.
Rule 3: the whole pool is one transaction: no client ever sees half of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xenapi_core.clock import Clock
from xenapi_core.config import Inventory
from xenapi_core.drivers.api import NicSpec
from xenapi_core.drivers.sim.state import what_the_agent_says
from xenapi_core.engine.transition import AGENT_FEATURES
from xenapi_core.ids import NULL_REF, Ids
from xenapi_core.server.standing import furnish
from xenapi_core.store.api import Store, Txn

GIB = 1 << 30
MIB = 1 << 20
UPTIME = 30 * 86_400  # the demo's machines have been up for some days
CPUS_PER_HOST = 8
CPU_FLAGS = "fpu de tsc msr pae mce cx8 apic sep mtrr cmov pat clflush mmx fxsr sse sse2 ht syscall nx lm vmx"
CPU_FEATURES = "1fcbfbff-f7fa3223-2d93fbff-00000123-00000001-000007ab"

# What xm info shows of a host beside the keys that later versions have: empty where a simulator has nothing to tell.
XM_VERSIONS = {
    "release": "4.19.0+1", "version": "#1 SMP", "machine": "x86_64", "system": "Linux",
    "xen_major": "4", "xen_minor": "17", "xen_extra": ".5", "xen_changeset": "", "cc_compiler": "",
    "cc_compile_by": "", "cc_compile_domain": "", "cc_compile_date": "", "xend_config_format": "4",
}  # fmt: skip
XM_PARAMETERS = {"xen_pagesize": "4096", "platform_params": "virt_start=0xffff800000000000", "xen_commandline": ""}

# name, vCPUs, memory, disk sizes: what the demo's machines look like, by turns
KINDS = (
    ("web", 2, 2 * GIB, (16 * GIB,)),
    ("app", 2, 4 * GIB, (24 * GIB,)),
    ("db", 4, 8 * GIB, (24 * GIB, 100 * GIB)),
    ("build", 4, 4 * GIB, (60 * GIB,)),
)

TEMPLATES = (
    ("Debian 12", "For Debian 12 (bookworm) guests.", 1 * GIB, 8 * GIB, "debian"),
    ("Windows Server 2022", "For Windows Server 2022 guests.", 4 * GIB, 32 * GIB, "windows"),
    ("Other install media", "For any other guest, installed from a CD.", 1 * GIB, 8 * GIB, "other"),
)


@dataclass
class Builder:
    """Collects the records of one inventory in one transaction."""

    txn: Txn
    ids: Ids
    clock: Clock
    inventory: Inventory
    hosts: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    srs: list[str] = field(default_factory=list)

    def add(self, cls: str, path: str, **values: Any) -> str:
        """One object whose uuid and reference follow from `path`."""
        ref = "OpaqueRef:" + self.ids.named(f"ref/{path}")
        return self.txn.create(cls, ref, {"uuid": self.ids.named(path), **values})


def populate(store: Store, inventory: Inventory, ids: Ids, clock: Clock) -> None:
    """Fill an empty store with the demo pool."""
    build = Builder(store.begin(), ids, clock, inventory)
    furnish(build.txn, ids)
    _hosts(build)
    _networks(build)
    _storage(build)
    _pool(build)
    for index in range(inventory.templates):
        _template(build, index)
    for index in range(inventory.vms):
        _machine(build, index)
    store.commit(build.txn)


def _memory_per_host(inventory: Inventory) -> int:
    """Enough for the running machines and half as much again, in steps of 64 GiB."""
    needed = sum(KINDS[i % len(KINDS)][2] for i in range(inventory.vms))
    per_host = needed * 3 // 2 // inventory.hosts
    return max(1, -(-per_host // (64 * GIB))) * 64 * GIB


def _hosts(build: Builder) -> None:
    now = build.clock.now()
    memory = _memory_per_host(build.inventory)
    for n in range(build.inventory.hosts):
        name, address = f"host-{n}", f"192.0.2.{10 + n % 240}"
        metrics = build.add("host_metrics", f"{name}/metrics", memory_total=memory, live=True, last_updated=now)
        host = build.add(
            "host", name,
            name_label=name,
            name_description="Simulated host",
            hostname=name,
            address=address,
            metrics=metrics,
            enabled=True,
            API_version_major=2,
            API_version_minor=21,
            API_version_vendor="xencim",
            API_version_vendor_implementation={},
            software_version={
                "product_brand": "xencim",
                "product_version": "8.3.0",
                "product_version_text": "8.3",
                "platform_name": "XCP",
                "platform_version": "3.4.0",
                "xapi": "24.11",
                "xen": "4.17.5",
                "linux": "4.19.0+1",
                "network_backend": "openvswitch",
                "hostname": name,
                "build_number": "0",
                "xencim": "simulator",
                **XM_VERSIONS,
            },
            capabilities=("xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"),
            cpu_configuration={
                "nr_nodes": "1", "nr_cpus": str(CPUS_PER_HOST), "sockets_per_node": "2",
                "cores_per_socket": str(CPUS_PER_HOST // 2), "threads_per_core": "1",
            },
            cpu_info={
                "cpu_count": str(CPUS_PER_HOST),
                "socket_count": "2",
                "threads_per_core": "1",
                "vendor": "GenuineIntel",
                "speed": "2600.000",
                "modelname": "Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz",
                "family": "6",
                "model": "45",
                "stepping": "7",
                "flags": CPU_FLAGS,
                "features": CPU_FEATURES,
                "features_pv": CPU_FEATURES,
                "features_hvm": CPU_FEATURES,
            },
            sched_policy="credit",
            supported_bootloaders=("pygrub", "eliloader"),
            edition="xcp-ng",
            license_params={"restrict_pool_attached_storage": "false", "license_type": "xcp-ng"},
            bios_strings={"system-manufacturer": "xencim", "system-product-name": "Simulated host"},
            other_config={
                "boot_time": f"{now - UPTIME}.", "agent_start_time": f"{now - UPTIME + 60}.",
                **XM_PARAMETERS,
            },
            virtual_hardware_platform_versions=(0, 1, 2),
            logging={},
        )  # fmt: skip
        build.hosts.append(host)
        cpus = [
            build.add(
                "host_cpu", f"{name}/cpu/{number}",
                host=host, number=number, vendor="GenuineIntel", speed=2600, family=6, model=45, stepping="7",
                modelname="Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", flags=CPU_FLAGS, features=CPU_FEATURES,
                utilisation=0.0,
            )
            for number in range(CPUS_PER_HOST)
        ]  # fmt: skip
        build.add(
            "cpu_pool", f"{name}/cpu_pool",
            name_label="Pool-0", resident_on=host, auto_power_on=True, ncpu=len(cpus), sched_policy="credit",
            host_CPUs=tuple(cpus), activated=True,
        )  # fmt: skip
        vm_metrics = build.add(
            "VM_metrics", f"{name}/dom0/metrics",
            memory_actual=2 * GIB, VCPUs_number=4, start_time=now - UPTIME, install_time=now - UPTIME,
            last_updated=now, state=("running",),
        )  # fmt: skip
        dom0 = build.add(
            "VM", f"{name}/dom0",
            name_label=f"Control domain on host: {name}",
            name_description="The domain which manages physical devices and manages other domains",
            power_state="Running", is_control_domain=True, resident_on=host, affinity=host, domid=0, domarch="x64",
            domain_type="pv", metrics=vm_metrics, user_version=1,
            memory_target=2 * GIB, VCPUs_max=4, VCPUs_at_startup=4,
            **_memory(2 * GIB), **_actions(),
            other_config={"storage_driver_domain": ""},
        )  # fmt: skip
        build.txn.update(host, control_domain=dom0)


def _networks(build: Builder) -> None:
    """Network 0 carries management; each has a physical interface eth<n> on every host."""
    now = build.clock.now()
    for n in range(build.inventory.networks):
        network = build.add(
            "network", f"network-{n}",
            name_label=f"lan-{n}",
            name_description="Management and guests" if n == 0 else "Guests",
            bridge=f"xenbr{n}", MTU=1500, managed=True, other_config={},
        )  # fmt: skip
        build.networks.append(network)
        for h, host in enumerate(build.hosts):
            path = f"host-{h}/eth{n}"
            metrics = build.add(
                "PIF_metrics", f"{path}/metrics",
                carrier=True, vendor_id="8086", vendor_name="Intel Corporation", device_id="1521",
                device_name="I350 Gigabit Network Connection", speed=1000, duplex=True,
                pci_bus_path=f"0000:0{n % 10}:00.0", last_updated=now,
            )  # fmt: skip
            build.add(
                "PIF", path,
                device=f"eth{n}", network=network, host=host, MAC=build.ids.mac(path, "pif"), MTU=1500, VLAN=-1,
                metrics=metrics, physical=True, currently_attached=True, management=n == 0,
                **(
                    {"ip_configuration_mode": "Static", "IP": f"192.0.2.{10 + h % 240}", "netmask": "255.255.255.0"}
                    if n == 0
                    else {}
                ),
            )  # fmt: skip


def _storage(build: Builder) -> None:
    """SR 0 is shared storage, SR 1 an ISO library, further ones are local to one host each."""
    for n in range(build.inventory.srs):
        if n == 0:
            kind = {"name_label": "shared-0", "type": "nfs", "content_type": "user", "shared": True}
            description, hosts, config = "NFS storage shared by the pool", build.hosts, {"server": "192.0.2.5"}
            size = 64 * build.inventory.vms * GIB + 4096 * GIB
        elif n == 1:
            kind = {"name_label": "iso-0", "type": "iso", "content_type": "iso", "shared": True}
            description, hosts, config = "Installation media", build.hosts, {"location": "192.0.2.5:/iso"}
            size = 16 * GIB
        else:
            kind = {"name_label": f"local-{n - 2}", "type": "lvm", "content_type": "user", "shared": False}
            description, hosts = "Local disk", [build.hosts[(n - 2) % len(build.hosts)]]
            config, size = {"device": "/dev/sda3"}, 1024 * GIB
            if n == 2:  # xm makes its disks on the first repository of this type
                kind["type"], config = "local", {"location": "/var/lib/disks"}
        sr = build.add(
            "SR", f"sr-{n}", name_description=description, physical_size=size, physical_utilisation=0,
            virtual_allocation=0, other_config={}, sm_config={}, **kind,
        )  # fmt: skip
        build.srs.append(sr)
        for host in hosts:
            number = build.hosts.index(host)
            build.add("PBD", f"sr-{n}/host-{number}", host=host, SR=sr, device_config=config, currently_attached=True)
        if n == 1:
            for name, mib in (("debian-12.iso", 650), ("guest-tools.iso", 80)):
                _vdi(build, sr, f"sr-{n}/{name}", name, mib * MIB, read_only=True, sharable=True)


def _vdi(build: Builder, sr: str, path: str, name: str, size: int, **more: Any) -> str:
    used = more.pop("used", size)
    values = build.txn.get(sr)
    build.txn.update(
        sr,
        physical_utilisation=values["physical_utilisation"] + used,
        virtual_allocation=values["virtual_allocation"] + size,
    )
    vdi = build.add(
        "VDI", path,
        **{
            "name_label": name, "SR": sr, "virtual_size": size, "physical_utilisation": used, "type": "user",
            "sharable": False, "read_only": False, "managed": True, "other_config": {}, **more,
        },
    )  # fmt: skip
    build.txn.update(vdi, location=build.txn.get(vdi)["uuid"])
    return vdi


def _pool(build: Builder) -> None:
    build.add(
        "pool", "pool",
        name_label="lab",
        name_description="A simulated pool",
        master=build.hosts[0],
        default_SR=build.srs[0] if build.srs else NULL_REF,
        suspend_image_SR=build.srs[0] if build.srs else NULL_REF,
        crash_dump_SR=build.srs[0] if build.srs else NULL_REF,
        cpu_info={"vendor": "GenuineIntel", "cpu_count": str(CPUS_PER_HOST * len(build.hosts)), "socket_count": "2",
                  "features_pv": CPU_FEATURES, "features_hvm": CPU_FEATURES},
        restrictions={"restrict_vtpm": "false"},  # Xen Orchestra makes no VTPM unless a pool says that it may
        other_config={},
    )  # fmt: skip


def _memory(size: int) -> Mapping[str, Any]:
    return {
        "memory_static_max": size,
        "memory_dynamic_max": size,
        "memory_dynamic_min": size,
        "memory_static_min": min(size, 512 * MIB),
    }


def _actions() -> Mapping[str, Any]:
    return {"actions_after_shutdown": "destroy", "actions_after_reboot": "restart", "actions_after_crash": "restart"}


def _guest(build: Builder) -> dict[str, Any]:
    """Fields every HVM guest of the demo shares."""
    return {
        "user_version": 1,
        "domain_type": "hvm",
        "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "cdn", "firmware": "bios"},
        "platform": {"acpi": "1", "apic": "true", "nx": "true", "pae": "true", "viridian": "false"},
        **_actions(),
    }


def _template(build: Builder, index: int) -> None:
    name, description, memory, disk, family = TEMPLATES[index % len(TEMPLATES)]
    turn = index // len(TEMPLATES)
    path = f"template-{index}"
    sr = build.txn.get(build.srs[0])["uuid"] if build.srs else ""
    disks = f'<provision><disk device="0" size="{disk}" sr="{sr}" bootable="true" type="system"/></provision>'
    metrics = build.add("VM_metrics", f"{path}/metrics", memory_actual=0, VCPUs_number=0)
    build.add(
        "VM", path,
        name_label=f"{name} {turn + 1}" if turn else name,
        name_description=description,
        is_a_template=True, is_default_template=True, metrics=metrics,
        VCPUs_max=2 if family == "windows" else 1, VCPUs_at_startup=2 if family == "windows" else 1,
        other_config={"disks": disks, "mac_seed": build.ids.named(f"{path}/mac"), "default_template": "true",
                      "linux_template": str(family == "debian").lower()},
        **{**_guest(build), **_memory(memory)},
    )  # fmt: skip


def _state(inventory: Inventory, index: int) -> str:
    """The first three quarters run; of the others the first is suspended and the rest are halted."""
    if index < inventory.running:
        return "Running"
    return "Suspended" if index == inventory.running and inventory.srs else "Halted"


def _machine(build: Builder, index: int) -> None:
    now = build.clock.now()
    kind, vcpus, memory, disks = KINDS[index % len(KINDS)]
    name = f"{kind}-{index // len(KINDS)}"
    state = _state(build.inventory, index)
    running, attached = state == "Running", state != "Halted"
    host_number = index % len(build.hosts)
    started = now - UPTIME + 3600 * (index + 1) if running else 0
    mac_seed = build.ids.named(f"{name}/mac")
    metrics = build.add(
        "VM_metrics", f"{name}/metrics",
        memory_actual=memory if running else 0, VCPUs_number=vcpus if running else 0, start_time=started,
        install_time=now - 2 * UPTIME, last_updated=now, state=("running",) if running else (),
        hvm=running, current_domain_type="hvm" if running else "unspecified",
    )  # fmt: skip
    vm = build.add(
        "VM", name,
        name_label=name,
        name_description=f"Demo {kind} server",
        power_state=state, metrics=metrics,
        resident_on=build.hosts[host_number] if running else NULL_REF,
        domid=index // len(build.hosts) + 1 if running else -1,
        VCPUs_max=vcpus, VCPUs_at_startup=vcpus, memory_target=memory, tags=("demo", kind),
        other_config={"mac_seed": mac_seed, "base_template_name": "Debian 12", "install-methods": "cdrom,nfs,http,ftp"},
        **{**_guest(build), **_memory(memory)},
    )  # fmt: skip
    if build.srs:
        for number, size in enumerate(disks):
            label = f"{name} disk {number}"
            vdi = _vdi(build, build.srs[0], f"{name}/disk/{number}", label, size, used=size // 4)
            build.add(
                "VBD", f"{name}/vbd/{number}",
                VM=vm, VDI=vdi, device=f"xvd{'abcdefgh'[number]}" if attached else "", userdevice=str(number),
                bootable=number == 0, mode="RW", type="Disk", unpluggable=True, empty=False,
                currently_attached=attached, other_config={"owner": "true"},
            )  # fmt: skip
        build.add(
            "VBD", f"{name}/vbd/cd",
            VM=vm, VDI=NULL_REF, device="xvdd" if attached else "", userdevice="3", bootable=False, mode="RO",
            type="CD", unpluggable=True, empty=True, currently_attached=attached, other_config={},
        )  # fmt: skip
        if state == "Suspended":
            image = _vdi(
                build, build.srs[0], f"{name}/suspend", "Suspend image", memory + 32 * MIB, type="suspend", used=memory
            )
            build.txn.update(vm, suspend_VDI=image)
    mac = build.ids.mac(mac_seed, "0")
    if build.networks:
        build.add(
            "VIF", f"{name}/vif/0",
            VM=vm, network=build.networks[index % min(2, len(build.networks))], device="0", MTU=1500,
            MAC=mac, MAC_autogenerated=True, currently_attached=attached, other_config={},
        )  # fmt: skip
    if running:
        _guest_agent(build, vm, name, [NicSpec("", "", "0", mac, 1500)] if build.networks else [], now)
        host_address = build.txn.get(build.hosts[host_number])["address"]
        console = "OpaqueRef:" + build.ids.named(f"ref/{name}/console")
        uuid = build.ids.named(f"{name}/console")
        build.txn.create(
            "console", console,
            {"uuid": uuid, "protocol": "rfb", "VM": vm, "other_config": {},
             "location": f"https://{host_address}/console?uuid={uuid}", "port": 5900 + index % 10_000},
        )  # fmt: skip


def _guest_agent(build: Builder, vm: str, name: str, nics: Sequence[NicSpec], now: int) -> None:
    """The report of the agent in a running guest: the same as after its next boot."""
    report = what_the_agent_says(nics)
    agent = build.add(
        "VM_guest_metrics", f"{name}/guest",
        os_version=report.os_version, PV_drivers_version=report.pv_drivers_version, PV_drivers_up_to_date=True,
        PV_drivers_detected=True, live=True, networks=report.networks, other=dict(AGENT_FEATURES), last_updated=now,
    )  # fmt: skip
    build.txn.update(vm, guest_metrics=agent)
