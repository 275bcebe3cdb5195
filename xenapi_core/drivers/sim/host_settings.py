"""State of a simulated host itself: its settings, the hypervisor's messages, and its log.

Rule 1: settings and log are on the host's disk and survive its restarts; the hypervisor's messages are in memory and
        begin anew when it boots.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from xenapi_core.clock import Clock
from xenapi_core.drivers.api import HOST_SETTINGS, DeviceDriver, DomainEvent, DriverError, HostClock, HostEvent
from xenapi_core.drivers.sim.device_drivers import DeviceDrivers
from xenapi_core.drivers.sim.host_time import HostTime

KEPT: Final = 1000  # lines of each buffer; the oldest go first

# Where the agents of guests look, on Xen.
_FEATURES: Final = "/guest_agent_features"
_AUTO_UPDATE: Final = f"{_FEATURES}/Guest_agent_auto_update/parameters"


class HostSettings:
    """The part of a simulated host that is about itself and not about its machines."""

    def __init__(self, clock: Clock, hostname: str) -> None:
        self.hostname = hostname
        self.up = True
        self._clock = clock
        self.chosen: dict[str, str] = {}
        self.time = HostTime(clock)
        self.variants = DeviceDrivers(hostname)
        self._messages: deque[str] = deque(maxlen=KEPT)
        self._log: deque[str] = deque(maxlen=KEPT)
        self._up_since = clock.monotonic()

    def _require_up(self) -> None:
        if not self.up:
            raise DriverError("offline", f"{self.hostname} is down")

    async def settings(self) -> Mapping[str, str]:
        self._require_up()
        return dict(self.chosen)

    async def configure(self, values: Mapping[str, str | None]) -> None:
        self._require_up()
        unknown = sorted(values.keys() - HOST_SETTINGS)
        if unknown:
            raise DriverError("unsupported", f"{self.hostname} has no setting {', '.join(unknown)}")
        for name, value in values.items():
            if value is None:
                self.chosen.pop(name, None)
                self._note(f"{name} is back to its default")
            else:
                self.chosen[name] = value
                self._note(f"{name} is now {value!r}")
        self.time.follow(*self._time_settings())

    def adopt_settings(self, values: Mapping[str, str]) -> None:
        """Settings that were chosen before the simulator started."""
        self.chosen.update(values)
        self.time.adopt(*self._time_settings())

    def shown_to_guests(self) -> dict[str, str]:
        """What every machine here can read in xenstore: path -> value."""
        shown = {}
        for feature in filter(None, self.chosen.get("guest_agent_features", "").split(",")):
            shown[f"{_FEATURES}/{feature}/licensed"] = "1"
        if "guest_agent_auto_update" in self.chosen:
            shown[f"{_AUTO_UPDATE}/enabled"] = "1" if self.chosen["guest_agent_auto_update"] == "true" else "0"
        if "guest_agent_update_url" in self.chosen:
            shown[f"{_AUTO_UPDATE}/update_url"] = self.chosen["guest_agent_update_url"]
        return shown

    def _time_settings(self) -> tuple[str, str]:
        return self.chosen.get("ntp_mode", "Factory"), self.chosen.get("ntp_custom_servers", "")

    async def clock(self) -> HostClock:
        self._require_up()
        return self.time.read()

    async def set_clock(self, now: int) -> None:
        self._require_up()
        self.time.set(now)
        self._note("the clock was set")

    async def device_drivers(self) -> tuple[DeviceDriver, ...]:
        self._require_up()
        return self.variants.told()

    async def select_variant(self, driver: str, variant: str) -> None:
        self._require_up()
        self.variants.select(driver, variant)
        self._note(f"driver {driver}: {variant or 'no variant'} is loaded from the next boot on")

    async def messages(self, clear: bool) -> str:
        self._require_up()
        text = "".join(self._messages)
        if clear:
            self._messages.clear()
        return text

    async def log(self) -> str:
        self._require_up()
        return "".join(self._log)

    async def send_debug_keys(self, keys: str) -> None:
        self._require_up()
        for key in keys:
            self._say(f"'{key}' pressed")

    def record(self, event: DomainEvent | HostEvent) -> None:
        """Write an event to the hypervisor's messages and the host's log."""
        if isinstance(event, DomainEvent):
            if event.state is None:
                self._say(f"machine {event.uuid} ended" + (f": {event.gone}" if event.gone is not None else ""))
            else:
                self._say(f"d{event.state.domid} is machine {event.uuid}, {event.state.power_state}")
            return
        self._note("the host is up" if event.up else "the host goes down")
        if event.up:
            self._up_since = self._clock.monotonic()
            self._messages.clear()
            self.time.restart()
            self.variants.restart()

    def _say(self, text: str) -> None:
        self._messages.append(f"(sim) [{self._clock.monotonic() - self._up_since:.6f}] {text}\n")

    def _note(self, text: str) -> None:
        self._log.append(f"{datetime.fromtimestamp(self._clock.now(), UTC):%b %d %H:%M:%S} {self.hostname} {text}\n")
