"""What messages ask of the agents of hosts, which are listeners of this server (server/agents.py)."""

from __future__ import annotations

from typing import Protocol


class Agents(Protocol):
    """The agent of a host is what answers at its endpoint. A server without a listener has none (surroundings.py)."""

    def encrypted(self) -> bool:
        """Whether the Xen-API can be reached with TLS."""

    def apart(self, host: str) -> bool:
        """Whether `host` has an endpoint of its own; otherwise one endpoint serves the whole pool."""

    def restart(self, host: str) -> None:
        """Close the endpoint of `host` and open it again, soon; one that was stopped is opened.

        The endpoint of the whole pool is that of its coordinator. Requests in progress have 2 s to end.
        """

    def stop(self, host: str) -> None:
        """Close the endpoint that `host` has of its own, soon; until `restart`, or until the host has been down."""

    def connections(self) -> int:
        """How many connections to the TCP listeners of the Xen-API are open."""

    def stopped(self, host: str) -> bool:
        """Whether the endpoint of `host` is closed by `stop`."""
