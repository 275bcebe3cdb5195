"""Sends the pool's settings to the agents inside guests: for host.apply_guest_agent_config, and at each start of a
host.

Rule 1: pool.guest_agent_config has two keys that mean something: auto_update_enabled and auto_update_url. A missing key
        is not sent, so that each agent keeps its installed setting.
Rule 2: a feature may be used unless pool.restrictions say otherwise; agents get the value of each feature, as from
        xapi.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from xenapi_core.engine.plan import Plan, World, plans
from xenapi_core.engine.steps.host_settings import tell
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Store

AUTO_UPDATE: Final = "auto_update_enabled"
UPDATE_URL: Final = "auto_update_url"
# Key of pool.guest_agent_config -> setting of a host.
_SETTINGS: Final = {AUTO_UPDATE: "guest_agent_auto_update", UPDATE_URL: "guest_agent_update_url"}
# Feature of guest agents -> key of pool.restrictions that, if "true", forbids it.
_FEATURES: Final = {"VSS": "restrict_vss", "Guest_agent_auto_update": "restrict_guest_agent_auto_update"}


def known_to_guests(store: Store) -> dict[str, str]:
    """The settings of a host that its guests can read; none for a pool that has nothing to tell."""
    for pool in store.all("pool").values():
        config = pool["guest_agent_config"]
        told = {setting: config[key] for key, setting in _SETTINGS.items() if key in config}
        if told:
            usable = [name for name, key in _FEATURES.items() if pool["restrictions"].get(key) != "true"]
            return {**told, "guest_agent_features": ",".join(usable)}
    return {}


def check_config(key: str, value: str) -> None:
    """INVALID_VALUE [key, value] for a truth value that is none, or what is no URL of a web server."""
    if key == AUTO_UPDATE and value not in ("true", "false"):
        raise E.INVALID_VALUE(key, value)
    if key == UPDATE_URL:
        try:
            parts = urlsplit(value)
        except ValueError:
            raise E.INVALID_VALUE(key, value) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise E.INVALID_VALUE(key, value)


@plans("host.apply_guest_agent_config")
def plan_apply(world: World, host: str) -> Plan:
    """The guests of the host can read what the pool's guest_agent_config says now. HOST_OFFLINE."""
    check_live(world.store, host)
    nothing = dict.fromkeys((*_SETTINGS.values(), "guest_agent_features"))
    told: Mapping[str, str | None] = {**nothing, **known_to_guests(world.store)}
    return Plan(steps=(tell(host, told, "tell guests"),))
