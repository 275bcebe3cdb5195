"""Local storage caching: an SR of a host that may hold copies of disks of other SRs.

Rule 1: the choice of repository is sent to the host (setting cache_repository), then recorded: in host.local_cache_sr
        and SR.local_cache_enabled, which change together. The driver decides what is cached there; VDI.allow_caching
        says which disks may be cached.
Rule 2: nothing changes while guests run on the host: their disks were opened with the earlier cache.
Rule 3: a setting for the pool goes to all hosts or none: hosts that cannot take it are found before the first gets it.
"""

from __future__ import annotations

from xenapi_core.engine.plan import Plan, Run, World, plans
from xenapi_core.engine.steps.host_settings import tell
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF, is_null
from xenapi_core.model.hosts import check_live
from xenapi_core.model.storage_types import LOCAL_CACHE, features
from xenapi_core.store.api import Txn

_SETTING = "cache_repository"


def check_no_cache(world: World, sr: str) -> None:
    """SR_IS_CACHE_SR [host] for the cache of a host."""
    for host in world.store.all("host").values():
        if host["local_cache_sr"] == sr:
            raise E.SR_IS_CACHE_SR(host.ref)


@plans("host.enable_local_storage_caching")
def plan_enable(world: World, host: str, sr: str) -> Plan:
    """Cache on `sr` from now on. SR_OPERATION_NOT_SUPPORTED for one that is shared or cannot hold a cache;
    HOST_CANNOT_SEE_SR unless it is connected to the host; HOST_IN_USE, HOST_OFFLINE."""
    return _plan(world, {host: _usable(world, host, sr)})


@plans("host.disable_local_storage_caching")
def plan_disable(world: World, host: str) -> Plan:
    """Cache nothing from now on. HOST_IN_USE, HOST_OFFLINE."""
    return _plan(world, {host: _unused(world, host)})


@plans("pool.enable_local_storage_caching")
def plan_enable_pool(world: World, pool: str) -> Plan:
    """Every host caches on the repository it cached on before, or else on the emptiest it can.

    HOSTS_FAILED_TO_ENABLE_CACHING with all hosts that have none, or where guests run.
    """
    chosen: dict[str, str] = {}
    failed: list[str] = []
    for host, record in world.store.all("host").items():
        if not is_null(record["local_cache_sr"]):
            continue
        try:
            chosen[host] = _usable(world, host, _emptiest(world, host))
        except ApiError:
            failed.append(host)
    if failed:
        raise E.HOSTS_FAILED_TO_ENABLE_CACHING(*failed)
    return _plan(world, chosen)


@plans("pool.disable_local_storage_caching")
def plan_disable_pool(world: World, pool: str) -> Plan:
    """No host caches any more. HOSTS_FAILED_TO_DISABLE_CACHING with all hosts where guests run."""
    chosen: dict[str, str] = {}
    failed: list[str] = []
    for host, record in world.store.all("host").items():
        if is_null(record["local_cache_sr"]):
            continue
        try:
            chosen[host] = _unused(world, host)
        except ApiError:
            failed.append(host)
    if failed:
        raise E.HOSTS_FAILED_TO_DISABLE_CACHING(*failed)
    return _plan(world, chosen)


def _plan(world: World, chosen: dict[str, str]) -> Plan:
    """`chosen`: host -> repository, null for none."""

    def finish(run: Run, txn: Txn) -> None:
        for host, sr in chosen.items():
            before = txn.get(host)["local_cache_sr"]
            if not is_null(before) and txn.find(before) is not None:
                txn.update(before, local_cache_enabled=False)
            if not is_null(sr):
                txn.update(sr, local_cache_enabled=True)
            txn.update(host, local_cache_sr=sr)

    words = {host: "" if is_null(sr) else str(world.store.get(sr)["uuid"]) for host, sr in chosen.items()}
    steps = (tell(host, {_SETTING: uuid or None}, "local storage caching") for host, uuid in words.items())
    return Plan(steps=tuple(steps), finish=finish)


def _usable(world: World, host: str, sr: str) -> str:
    """`sr`, if `host` can cache there. HANDLE_INVALID for null."""
    record = world.store.get(sr, "SR")
    _unused(world, host)
    if record["shared"] or LOCAL_CACHE not in features(record["type"]):
        raise E.SR_OPERATION_NOT_SUPPORTED(sr)
    if not _sees(world, host, sr):
        raise E.HOST_CANNOT_SEE_SR(host, sr)
    return sr


def _unused(world: World, host: str) -> str:
    """Null; HOST_OFFLINE, or HOST_IN_USE [host, "vm", ref] (rule 2)."""
    check_live(world.store, host)
    for vm in map(world.store.get, world.store.related(host, "resident_VMs")):
        if not vm["is_control_domain"]:
            raise E.HOST_IN_USE(host, "vm", vm.ref)
    return NULL_REF


def _sees(world: World, host: str, sr: str) -> bool:
    pbds = map(world.store.get, world.store.related(sr, "PBDs"))
    return any(pbd["host"] == host and pbd["currently_attached"] for pbd in pbds)


def _emptiest(world: World, host: str) -> str:
    """The repository with the most room where `host` can cache; null without one."""
    fitting = [
        sr
        for sr in world.store.all("SR").values()
        if not sr["shared"] and LOCAL_CACHE in features(sr["type"]) and _sees(world, host, sr.ref)
    ]
    fitting.sort(key=lambda sr: (sr["physical_utilisation"] - sr["physical_size"], sr["uuid"]))
    return fitting[0].ref if fitting else NULL_REF
