"""pool: joining the pool of another server, and leaving it.

Theory of operation
1. The server that is to join is the coordinator of its own pool of one. It logs in at the other coordinator as a
   person would, and refuses to go on in the order of the API reference.
   The two trust each other's certificates as late as possible: nothing but handing over comes after that.
2. It stops answering as a coordinator before it hands its records over, so that nothing of what it handed over can
   change any more. If the other side does not take them, it is a coordinator again.
3. The coordinator takes the records in one transaction (server/joining.py). From then on it runs the host's machines;
   the server that joined only says where the coordinator is.
4. The server of an ejected host is called with the pool secret. If it does not answer it stays a member without a pool,
   until pool.emergency_transition_to_master is called there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from xenapi_core.api import pool_transfer
from xenapi_core.api.handlers.host import drop_host
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.handlers.pool_trust import exchanged_with
from xenapi_core.api.handlers.trust_exchange import merge_with
from xenapi_core.api.member_calls import log_in_at
from xenapi_core.api.member_certificates import forget_member
from xenapi_core.api.membership import Membership, Remote
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.api.roles import may
from xenapi_core.engine.ha_member import has_joined
from xenapi_core.engine.plans.static_disks import plan_leave, static_disks
from xenapi_core.engine.removal import remove
from xenapi_core.engine.steps.host_records import check_size
from xenapi_core.errors import ApiError, E
from xenapi_core.model.infrastructure_lifecycle import check_pool_operation
from xenapi_core.model.power import other_operation
from xenapi_core.model.schema import POOL_ADMIN
from xenapi_core.store.api import Txn, Version

log = logging.getLogger(__name__)

MEMBERS: Final = "/pool/members"  # where a coordinator takes the records of a host that joins
_SAME_RELEASE: Final = ("product_brand", "product_version", "platform_name", "platform_version")
ADMINS: Final = frozenset({POOL_ADMIN})

Record = Mapping[str, Any]
Records = Mapping[str, Record]


@handles("pool.join")
async def join(call: CallContext, address: str, user: str, password: str) -> None:
    """Join the pool of another server. What `_join` raises; HOSTS_NOT_HOMOGENEOUS for processors of another make."""
    await _join(call, address, user, password, force=False)


@handles("pool.join_force")
async def join_force(call: CallContext, address: str, user: str, password: str) -> None:
    """Join the pool of another server, whatever processors its hosts have. What `_join` raises."""
    await _join(call, address, user, password, force=True)


async def _join(call: CallContext, address: str, user: str, password: str, force: bool) -> None:
    """JOINING_HOST_CONNECTION_FAILED; what logging in there raises; see `_check_state` and `_check_fit`; then what
    pool.initial_auth raises, and what keeps the two from trusting the same (trust_exchange.merge_with).

    NOT_IMPLEMENTED for a process that reaches no other server. After a failure the two do not know each other as
    members; see `exchanged_with` for what may remain.
    """
    membership = call.services.sessions.membership
    if membership.connect is None:
        raise E.NOT_IMPLEMENTED(call.wire_name)
    if membership.joining:
        raise other_operation("pool", the_pool(call).ref, {call.caller.session: "join"})
    membership.joining = True
    try:
        remote = _reach(membership.connect, address)
        session = await remote.call("session.login_with_password", user, password, "2.21", "xencim pool.join")
        try:
            there = await _read_pool(remote, session)
            _check_state(call, there)
            _check_fit(call, there, force)
            secret = await remote.call("pool.initial_auth", session)
            await merge_with(call, remote, session)
            async with exchanged_with(call, remote, session):
                await _hand_over(call, membership, remote, address, secret)
        finally:
            with contextlib.suppress(OSError, ApiError):
                await remote.call("session.logout", session)
    except OSError:
        raise E.JOINING_HOST_CONNECTION_FAILED() from None
    finally:
        membership.joining = False


def _reach(connect: Callable[[str], Remote], address: str) -> Remote:
    try:
        return connect(address)
    except ValueError:
        raise ConnectionError("no address") from None


async def _read_pool(remote: Remote, session: str) -> Pool:
    """The pool on the other side; ConnectionError if what answers there is none."""
    classes = ("pool", "host", "PIF", "pool_update", "SM")
    pools, *others = [await remote.call(f"{cls}.get_all_records", session) for cls in classes]
    try:
        return Pool(next(iter(pools.values()), {}), *others)
    except (AttributeError, TypeError, LookupError):
        raise ConnectionError("no pool answers there") from None


async def _hand_over(call: CallContext, membership: Membership, remote: Remote, address: str, secret: str) -> None:
    """Become a member, give the coordinator all records, and forget them (theory 2)."""
    host = the_pool(call)["master"]
    call.update(host, joined_from=membership.address)  # goes along: which server to tell when the host is ejected
    own = membership.secret
    membership.follow(address, secret)
    try:
        document = pool_transfer.write(call.services.schema, call.store, host)
        await remote.post(MEMBERS, document, f"pool_secret={secret}")
    except BaseException:
        membership.follow("", own)
        call.update(host, joined_from="")
        raise
    _forget_what_moved(call, host)


def _forget_what_moved(call: CallContext, host: str) -> None:
    """Keep the host alone, with its interfaces and what every pool has; drop VMs and storage."""
    engine = call.services.engine
    srs = [sr for sr, record in call.store.all("SR").items() if not record["is_tools_sr"]]
    moved = list(pool_transfer.belongings(call.store, host))
    kept = ("host", "host_metrics", "host_cpu", "cpu_pool", "network", "PIF", "PIF_metrics", "VLAN")
    dom0 = {call.get(host)["control_domain"]}
    dom0 |= {version["metrics"] for version in moved if version.ref in dom0}

    def write(txn: Txn) -> None:
        remove(call.world, txn, (it.ref for it in moved if it.cls not in kept and it.ref not in dom0))
        txn.update(host, joined_from="")

    call.commit(write)
    for sr in srs:
        engine.drop_storage(sr)


class Pool:
    """What a host that wants to join has to know of the other pool: records as XML-RPC gives them."""

    def __init__(self, pool: Record, hosts: Records, pifs: Records, updates: Records, storage_types: Records) -> None:
        self.pool = pool
        self.hosts = hosts
        self.storage_types = storage_types
        self.master = hosts[pool["master"]]
        self.updates = _enforced(updates[update] for update in self.master["updates"])
        managing = (p for p in pifs.values() if p["host"] == pool["master"] and p["management"])
        self.management: Record | None = next(managing, None)


def _check_state(call: CallContext, there: Pool) -> None:
    """LICENCE_RESTRICTION, HOST_STILL_BOOTING, HA_IS_ENABLED, HA_HOST_IS_ARMED for one that has heartbeat disks,
    CLUSTERING_ENABLED, OPERATION_NOT_ALLOWED for joining itself, JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS,
    .._HAVE_RUNNING_VMS, .._HAVE_VMS_WITH_CURRENT_OPERATIONS; OPERATION_NOT_ALLOWED for pending guidance. What the host
    is and does, whatever the other pool is like."""
    store, pool = call.store, the_pool(call)
    check_size(there.master["license_params"], len(there.hosts))
    if _management(call) is None:
        raise E.HOST_STILL_BOOTING()
    if pool["ha_enabled"]:
        raise E.HA_IS_ENABLED()
    for ref, host in store.all("host").items():
        if has_joined(host) or host["ha_statefiles"]:
            raise E.HA_HOST_IS_ARMED(ref)
    for member in store.all("Cluster_host"):
        raise E.CLUSTERING_ENABLED(member)
    if there.pool["ha_enabled"]:
        raise E.HA_IS_ENABLED()
    hosts = store.all("host")
    if {host["uuid"] for host in hosts.values()} & {host["uuid"] for host in there.hosts.values()}:
        raise E.OPERATION_NOT_ALLOWED("A host cannot join the pool it is in.")
    if len(hosts) > 1:
        raise E.JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS()
    if any(guests(call, host) for host in hosts):
        raise E.JOINING_HOST_CANNOT_HAVE_RUNNING_VMS()
    if any(vm["current_operations"] for vm in store.all("VM").values()):
        raise E.JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS()
    if any(host["pending_guidances"] for host in hosts.values()):
        raise E.OPERATION_NOT_ALLOWED("The host has to be restarted first: its updates ask for that.")


def _check_fit(call: CallContext, there: Pool, force: bool) -> None:
    """HOSTS_NOT_COMPATIBLE, HOSTS_NOT_HOMOGENEOUS [reason], JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS,
    POOL_JOINING_HOST_HAS_BONDS, .._HAS_TUNNELS, .._HAS_NETWORK_SRIOVS, .._HAS_NON_MANAGEMENT_VLANS,
    .._MANAGEMENT_VLAN_DOES_NOT_MATCH, POOL_JOINING_EXTERNAL_AUTH_MISMATCH, LICENSE_DOES_NOT_SUPPORT_POOLING,
    .._MUST_HAVE_SAME_API_VERSION, .._MUST_HAVE_SAME_DB_SCHEMA, HOSTS_NOT_HOMOGENEOUS for updates,
    OPERATION_NOT_ALLOWED for the type of addresses, .._TLS_VERIFICATION_MISMATCH, NOT_SUPPORTED_DURING_UPGRADE,
    POOL_JOINING_SM_FEATURES_INCOMPATIBLE [theirs, mine]."""
    store, mine, master = call.store, call.get(the_pool(call)["master"]), there.master
    versions = mine["software_version"], master["software_version"]
    if any(versions[0].get(key) != versions[1].get(key) for key in _SAME_RELEASE):
        raise E.HOSTS_NOT_COMPATIBLE()
    if not force and mine["cpu_info"].get("vendor") != master["cpu_info"].get("vendor"):
        raise E.HOSTS_NOT_HOMOGENEOUS("The processors are of different makes.")
    if any(sr["shared"] and not sr["is_tools_sr"] for sr in store.all("SR").values()):
        raise E.JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS()
    if store.all("Bond"):
        raise E.POOL_JOINING_HOST_HAS_BONDS()
    if store.all("tunnel"):
        raise E.POOL_JOINING_HOST_HAS_TUNNELS()
    if store.all("network_sriov"):
        raise E.POOL_JOINING_HOST_HAS_NETWORK_SRIOVS()
    if any(pif["VLAN"] >= 0 and not pif["management"] for pif in store.all("PIF").values()):
        raise E.POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS()
    management = _management(call)
    tags = (str(pif["VLAN"]) if pif is not None else "-1" for pif in (management, there.management))
    local, remote = tags
    if local != remote:
        raise E.POOL_JOINING_HOST_MANAGEMENT_VLAN_DOES_NOT_MATCH(local, remote)
    if any(mine[key] != master[key] for key in ("external_auth_type", "external_auth_service_name")):
        raise E.POOL_JOINING_EXTERNAL_AUTH_MISMATCH()
    if mine["license_params"].get("restrict_pooling") == "true":
        raise E.LICENSE_DOES_NOT_SUPPORT_POOLING()
    apis = [f"{host['API_version_major']}.{host['API_version_minor']}" for host in (mine, master)]
    if apis[0] != apis[1]:
        raise E.POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION(*apis)
    schemas = [version.get("db_schema", "") for version in versions]
    if schemas[0] != schemas[1]:
        raise E.POOL_JOINING_HOST_MUST_HAVE_SAME_DB_SCHEMA(*schemas)
    if _enforced(map(call.get, mine["updates"])) != there.updates:
        raise E.HOSTS_NOT_HOMOGENEOUS("The hosts have different updates.")
    families = {pif["primary_address_type"] for pif in (management, there.management) if pif is not None}
    if len(families) > 1:
        raise E.OPERATION_NOT_ALLOWED("Primary address type differs")
    if the_pool(call)["tls_verification_enabled"] != there.pool.get("tls_verification_enabled", False):
        raise E.POOL_JOINING_HOST_TLS_VERIFICATION_MISMATCH()
    if there.pool["other_config"].get("rolling_upgrade_in_progress") == "true":
        raise E.NOT_SUPPORTED_DURING_UPGRADE()
    _check_storage_types(call, there)


def _enforced(updates: Iterable[Any]) -> frozenset[str]:
    """The uuids of those updates that all hosts of a pool must have."""
    return frozenset(update["uuid"] for update in updates if update["enforce_homogeneity"])


def _check_storage_types(call: CallContext, there: Pool) -> None:
    """POOL_JOINING_SM_FEATURES_INCOMPATIBLE [theirs, mine] if a storage type can do less here than in the pool: it
    lacks a feature, or has it in an older version. Types that only one side has are no obstacle."""
    for ref, mine in call.store.all("SM").items():
        for other, theirs in there.storage_types.items():
            wanted = theirs["features"] if theirs["type"] == mine["type"] else {}
            if any(int(version) > mine["features"].get(feature, -1) for feature, version in wanted.items()):
                raise E.POOL_JOINING_SM_FEATURES_INCOMPATIBLE(other, ref)


def _management(call: CallContext) -> Version | None:
    """The interface this host is managed through."""
    return next((pif for pif in call.store.all("PIF").values() if pif["management"]), None)


def guests(call: CallContext, host: str) -> list[Version]:
    """VMs on the host, but not its control domain."""
    vms = map(call.get, call.store.related(host, "resident_VMs"))
    return [vm for vm in vms if not vm["is_control_domain"]]


@handles("pool.initial_auth")
def initial_auth(call: CallContext) -> str:
    """The pool secret, for the server of a host that is about to join.

    OPERATION_NOT_ALLOWED for pool operators, though the reference gives it to them: whoever has the secret may do
    everything. POOL_SECRET_ROTATION_PENDING while it is replaced.
    """
    if not may(call.caller, ADMINS):
        raise E.OPERATION_NOT_ALLOWED("Only a pool admin is given the pool secret.")
    membership = call.services.sessions.membership
    if membership.coming or membership.going:
        raise E.POOL_SECRET_ROTATION_PENDING()
    return membership.secret


@handles("pool.eject")
async def eject(call: CallContext, host: str) -> None:
    """Remove a member with its own storage; nothing may run or be at work there.

    HA_IS_ENABLED; INTERNAL_ERROR for the coordinator; OPERATION_NOT_ALLOWED with guests; OTHER_OPERATION_IN_PROGRESS.
    """
    pool = the_pool(call)
    check_pool_operation(call.store, pool, "eject")
    if pool["master"] == host:
        raise E.INTERNAL_ERROR("Cannot_eject_master")
    if guests(call, host):
        raise E.OPERATION_NOT_ALLOWED("VM resident on host")
    record = call.get(host, "host")
    if current := record["current_operations"]:
        raise other_operation("host", host, current)
    engine, disks = call.services.engine, static_disks(call.store, host)
    drop_host(call, host)
    if disks:
        await engine.see_through(engine.work("pool.eject"), lambda world: plan_leave(record, disks))
    if record["joined_from"]:
        await _release(call.services.sessions.membership, record["joined_from"])
    forget_member(call.services, record["uuid"])  # which had to be believed until it was told


async def _release(membership: Membership, origin: str) -> None:
    """Tell the server of an ejected host that it is on its own again (theory 4)."""
    try:
        remote, session = await log_in_at(membership, origin)
        await remote.call("pool.emergency_transition_to_master", session)
    except (OSError, ValueError, ApiError) as error:
        log.warning("the server of an ejected host did not take note of it: %s", type(error).__name__)
