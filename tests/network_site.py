"""A SimPool whose hosts have two cards each, and short ways to look at interfaces."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from xenapi_core.testing.pool import SimPool, sim_pool

OPEN_VSWITCH = {"network_backend": "openvswitch"}
AsyncTest = Callable[..., Coroutine[Any, Any, None]]


class Site:
    """`eth0[n]` is the management interface of host n, on the network `lan`; `eth1[n]` is idle, on `idle`."""

    def __init__(self, pool: SimPool) -> None:
        self.pool = pool
        self.store = pool.store
        self.lan = pool.network
        self.idle = pool.add("network", name_label="idle", bridge="xenbr1", MTU=1500)
        self.eth0 = [self.on(self.lan, host) for host in pool.hosts]
        self.eth1 = [pool.add_pif(host, self.idle, "eth1", currently_attached=True) for host in pool.hosts]
        for number, host in enumerate(pool.hosts):
            address = f"192.0.2.{number + 1}"
            static = {"ip_configuration_mode": "Static", "IP": address, "netmask": "255.255.255.0", "DNS": "192.0.2.99"}
            pool.change(self.eth0[number], management=True, **static)
            pool.change(host, address=address, software_version=OPEN_VSWITCH)

    def network(self, name: str, **values: Any) -> str:
        return self.pool.add("network", name_label=name, **{"bridge": f"br-{name}", "MTU": 1500, **values})

    def on(self, network: str, host: str) -> str:
        """The interface of `host` on `network`."""
        (found,) = [pif for pif in self.store.related(network, "PIFs") if self.store.get(pif)["host"] == host]
        return found

    def get(self, ref: str, *fields: str) -> Any:
        """One field of a record, or several as a list."""
        values = [self.store.get(ref)[field] for field in fields]
        return values[0] if len(values) == 1 else values

    def up(self, *pifs: str) -> list[bool]:
        return [self.get(pif, "currently_attached") for pif in pifs]

    def host_down(self, number: int) -> None:
        self.pool.change(self.get(self.pool.hosts[number], "metrics"), live=False)

    def nic(self, vif: str) -> str:
        """The network the machine's NIC is really on, by reference."""
        vm = self.store.get(self.get(vif, "VM"))
        machine = self.pool.sim.machines[vm["uuid"]]
        uuid = machine.nics[self.get(vif, "uuid")].network
        found = self.store.by_uuid("network", uuid)
        assert found is not None
        return found.ref

    def vif(self, vm: str) -> str:
        return self.store.related(vm, "VIFs")[0]


def dangling(pool: SimPool) -> list[str]:
    """References between network records that lead nowhere."""
    found = []
    pairs = [
        ("PIF", ("network", "host", "metrics", "bond_slave_of", "VLAN_master_of")),
        ("VLAN", ("tagged_PIF", "untagged_PIF")),
        ("Bond", ("master", "primary_slave")),
        ("tunnel", ("access_PIF", "transport_PIF")),
        ("VIF", ("network", "VM")),
    ]
    for cls, fields in pairs:
        for ref, version in pool.store.all(cls).items():
            for field in fields:
                target = version[field]
                if target not in ("OpaqueRef:NULL", "") and pool.store.find(target) is None:
                    found.append(f"{cls} {ref} {field}")
    used = {pif["metrics"] for pif in pool.store.all("PIF").values()}
    return found + [f"unused {ref}" for ref in pool.store.all("PIF_metrics") if ref not in used]


def at_site(hosts: int = 2) -> Callable[[AsyncTest], AsyncTest]:
    """Give an async test a Site; afterwards no reference between network records may lead nowhere."""

    def decorate(test: AsyncTest) -> AsyncTest:
        @functools.wraps(test)
        async def run(**arguments: Any) -> None:
            async with sim_pool(hosts=hosts) as pool:
                await test(Site(pool), **arguments)
                assert dangling(pool) == []

        # The site is given here, so pytest must not look for a fixture of that name.
        del run.__wrapped__
        signature = inspect.signature(test)
        parameters = [p for name, p in signature.parameters.items() if name != "site"]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate
