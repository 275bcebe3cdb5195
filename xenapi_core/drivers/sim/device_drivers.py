"""Device drivers of a simulated host that have variants: invented, and the same for hosts of the same name.

Rule 1: which devices a host has follows from its name; a variant is for the devices of its driver.
Rule 2: what is selected is loaded when the host boots, and only then.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from xenapi_core.drivers.api import DeviceDriver, DriverError, DriverVariant

_PRESENT: Final = 0.7  # part of the drivers that find a device

# fmt: off
_KINDS: Final = (
    ("sim-net", "Simulated network card", "network", ("1.4.2", "production", 50.0), ("2.0.1", "beta", 30.0)),
    ("sim-raid", "Simulated RAID controller", "storage", ("7.1.0", "production", 50.0)),
    ("sim-hba", "Simulated host bus adapter", "storage", ("12.8.3", "production", 50.0), ("14.0.0", "alpha", 10.0)),
)
# fmt: on


class DeviceDrivers:
    """The drivers of one host by name."""

    def __init__(self, hostname: str) -> None:
        chance = random.Random(hostname)  # noqa: S311 - variation, not secrets
        self._drivers: dict[str, DeviceDriver] = {}
        for name, friendly, kind, *versions in _KINDS:
            present = chance.random() < _PRESENT
            variants = tuple(
                DriverVariant(f"{name}-{version}", version, present, priority, status)
                for version, status, priority in versions
            )
            self._drivers[name] = DeviceDriver(name, friendly, kind, f"{friendly}, driver {name}", variants)

    def told(self) -> tuple[DeviceDriver, ...]:
        return tuple(self._drivers.values())

    def select(self, name: str, variant: str) -> None:
        """not_found."""
        driver = self._drivers.get(name)
        if driver is None or (variant and all(one.name != variant for one in driver.variants)):
            raise DriverError("not_found", f"no variant {variant} of driver {name}")
        self._drivers[name] = replace(driver, selected=variant)

    def restart(self) -> None:
        """The host boots (rule 2)."""
        self._drivers = {name: replace(driver, active=driver.selected) for name, driver in self._drivers.items()}

    def adopt(self, chosen: Mapping[str, tuple[str, str]]) -> None:
        """The active and the selected variant of drivers, as they were before the simulator started."""
        for name, (active, selected) in chosen.items():
            if name in self._drivers:
                self._drivers[name] = replace(self._drivers[name], active=active, selected=selected)
