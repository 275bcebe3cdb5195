"""The clock of a simulated host, and the daemon that synchronises it.

Rule 1: a host's clock is the world's clock plus the offset of the last setting. It goes on while the host is down.
Rule 2: the daemon runs in every mode but Disabled. A server that answers is used SETTLES seconds after the daemon began
        to ask it, which it does when it is configured and when the host boots; from then on the clock is right again.
Rule 3: every name is a server that answers, except for those in `silent` and those below .invalid, which RFC 2606 keeps
        from existing. Nothing is sent to the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from xenapi_core.clock import Clock
from xenapi_core.drivers.api import DriverError, HostClock

SETTLES: Final = 8.0
FACTORY: Final = tuple(f"{number}.time.example.org" for number in range(4))
DHCP: Final = ("time.dhcp.example.org",)


class HostTime:
    """The clock and the time daemon of one simulated host. The host of a site that was there before has long been
    synchronised."""

    def __init__(self, clock: Clock) -> None:
        self.silent: set[str] = set()
        self._clock = clock
        self._ahead = 0  # seconds, unless rule 2 says otherwise
        self._servers = FACTORY
        self._asking_since = -math.inf

    def follow(self, mode: str, custom: str) -> None:
        """Be configured: a mode, and the servers of mode Custom, joined by commas."""
        self._settle()
        chosen = {"Disabled": (), "DHCP": DHCP, "Custom": tuple(filter(None, custom.split(",")))}
        servers = chosen.get(mode, FACTORY)
        if servers != self._servers:
            self._servers = servers
            self._asking_since = self._clock.monotonic()

    def adopt(self, mode: str, custom: str) -> None:
        """Take over a configuration that was made before the simulator started: its servers are in use already."""
        self.follow(mode, custom)
        self._asking_since = -math.inf

    def restart(self) -> None:
        """The host boots."""
        self._settle()
        self._asking_since = self._clock.monotonic()

    def read(self) -> HostClock:
        self._settle()
        states = self._states()
        return HostClock(self._clock.now() + self._ahead, states, "selected" in states.values())

    def set(self, now: int) -> None:
        """bad_state while the daemon runs."""
        if self._servers:
            raise DriverError("bad_state", "the clock follows time servers")
        self._ahead = now - self._clock.now()

    def _settle(self) -> None:
        """Set the clock right if a server is in use (rule 2)."""
        if "selected" in self._states().values():
            self._ahead = 0

    def _states(self) -> Mapping[str, str]:
        """Server -> selected, combined (good too), unselected (not asked long enough) or unreachable."""
        settled = self._clock.monotonic() - self._asking_since >= SETTLES
        states: dict[str, str] = {}
        for server in self._servers:
            if server in self.silent or server.lower().endswith(".invalid"):
                states[server] = "unreachable"
            elif settled:
                states[server] = "combined" if "selected" in states.values() else "selected"
            else:
                states[server] = "unselected"
        return states
