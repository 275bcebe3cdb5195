"""The configuration of `xencim serve` as one checked value."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FASTEST: Final = 1_000_000  # of --speed: eleven days in a second
LISTENERS: Final = ("xenapi", "xenapi_tls", "wbem", "wbem_tls", "nbd")


class ConfigError(Exception):
    """A setting that cannot be used: one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """How large the simulated pool is; `running` of the VMs run (by default three quarters of them)."""

    hosts: int = 3
    vms: int = 12
    networks: int = 4
    srs: int = 2
    templates: int = 3
    seed: str = "xencim"

    @property
    def running(self) -> int:
        return (self.vms * 3 + 3) // 4

    def check(self) -> None:
        """ConfigError unless the numbers make a pool."""
        for name in ("hosts", "vms", "networks", "srs", "templates"):
            value = getattr(self, name)
            if not 0 <= value <= 100_000:
                raise ConfigError(f"--{name} must be between 0 and 100000, not {value}")
        if self.hosts < 1:
            raise ConfigError("--hosts must be at least 1: a pool has a coordinator")


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports; 0 takes a free one, None switches the listener off."""

    xenapi: int | None = 9363
    xenapi_tls: int | None = 9367
    wbem: int | None = 5988
    wbem_tls: int | None = 5989
    nbd: int | None = None


def default_socket() -> Path:
    """Where the Unix socket goes when nobody says: the user's runtime directory."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK):
        return Path(base) / "xencim" / "xenapi.sock"
    if os.geteuid() == 0:
        return Path("/run/xencim/xenapi.sock")
    return Path(f"/tmp/xencim-{os.getuid()}/xenapi.sock")  # noqa: S108 - created 0700 by the listener


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Everything `xencim serve` needs. `check` raises ConfigError for combinations that would be wrong or unsafe."""

    demo: bool = False
    inventory: Inventory = field(default_factory=Inventory)
    bind: str = "127.0.0.1"
    ports: Ports = field(default_factory=Ports)
    socket: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    wbem_plain_basic: bool = False
    indication_ca: Path | None = None
    indication_no_verify: bool = False
    endpoints_per_host: bool = False
    allow_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # listener ("": all of TCP) -> patterns
    state: Path | None = None
    cim_jobs: str | None = None  # "always" or "never": whether CIM methods answer with a job; None: as the pool says
    cim_compat: str | None = None  # the predecessor whose ways the WBEM server follows; None: the DMTF's
    models: tuple[tuple[Path, str], ...] = ()  # MOF files and the namespaces they go to
    users: Path | None = None
    pam: str | None = None
    directories: tuple[tuple[str, str, Path | None], ...] = ()  # for external authentication: type, name, users file
    ready_file: Path | None = None
    clock_speed: float = 1.0
    contention_timeout: float = 7200.0

    @property
    def loopback(self) -> bool:
        if self.bind == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.bind.strip("[]")).is_loopback
        except ValueError:
            return False

    def check(self) -> None:
        self.inventory.check()
        if self.bind != "localhost":
            try:
                ipaddress.ip_address(self.bind.strip("[]"))
            except ValueError:
                raise ConfigError(f"--bind takes an IP address or localhost, not {self.bind!r}") from None
        taken: dict[int, str] = {}
        for name in LISTENERS:
            option, port = f"--{name.replace('_', '-')}-port", getattr(self.ports, name)
            if port is not None and not 0 <= port <= 65535:
                raise ConfigError(f"{option} must be between 0 and 65535, or -1 for none, not {port}")
            if port and taken.setdefault(port, option) != option:
                raise ConfigError(f"{taken[port]} and {option} are both {port}")
        if self.users and self.pam:
            raise ConfigError("--users and --pam exclude each other")
        accounts = self.users or self.pam
        if not self.demo:
            raise ConfigError(
                "nothing to serve: say --demo for a simulated pool; `xencim bridge URL` shows one elsewhere"
            )
        if not accounts and not self.loopback:
            raise ConfigError(
                f"the demo's password is public, so it is not served on {self.bind}: "
                "add --users FILE or --pam SERVICE, or stay on 127.0.0.1"
            )
        if self.endpoints_per_host and not (self.loopback and ":" not in self.bind and self.bind != "localhost"):
            raise ConfigError(f"--endpoints-per-host needs a --bind like 127.0.0.1, not {self.bind}")
        for name in self.allow_hosts:
            if name not in ("", *LISTENERS):
                raise ConfigError(f"--allow-hosts: there is no listener {name!r}, but {', '.join(LISTENERS)}")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("--tls-cert and --tls-key go together")
        if self.client_ca and not self.users:
            raise ConfigError("--client-ca needs --users: the users file says whose certificate it is")
        if self.indication_ca and self.indication_no_verify:
            raise ConfigError("--indication-ca and --indication-no-verify exclude each other")
        if not 0 < self.clock_speed <= FASTEST:  # also false for what is no number
            raise ConfigError(f"--speed must be positive, and at most {FASTEST}")
