"""host: the agent that serves its API: restarts, plain HTTP, tracked clients, the audit log.

Rule 1: agents are endpoints of one server. Where every host has an endpoint of its own, an agent is restarted and
        stopped with it; otherwise one endpoint is the agent of the coordinator and answers for all hosts.
Rule 2: sessions, tasks and operations are the server's, and outlast an agent, as running VMs do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import E
from xenapi_core.model.hosts import check_live
from xenapi_core.store.api import Txn


@handles("host.restart_agent")
async def restart_agent(call: CallContext, ref: str) -> None:
    """The agent looks at its host anew, has a new agent_start_time, and its endpoint closes and opens. HOST_OFFLINE.

    The answer comes before the endpoint closes. An agent that was stopped is started. The agent of a host without an
    endpoint of its own has no connections, unless it is the coordinator's.
    """
    check_live(call.store, ref)
    await call.services.engine.reconciler.compare_host(ref)
    since = {"agent_start_time": f"{call.now}."}
    call.update(ref, other_config={**call.get(ref, "host")["other_config"], **since})
    agents = call.services.surroundings.agents
    if agents is not None:
        agents.restart(ref)


@handles("host.shutdown_agent")
def shutdown_agent(call: CallContext) -> None:
    """The endpoint of the host that was called closes: the coordinator's, if the socket was called.

    It opens again when the host restarts, or by host.restart_agent. OPERATION_NOT_ALLOWED where one endpoint serves
    the pool: closing it would take the whole pool, its simulated hosts included, from everybody.
    """
    host = call.host or the_pool(call)["master"]
    agents = call.services.surroundings.agents
    if agents is None or not agents.apart(host):
        raise E.OPERATION_NOT_ALLOWED("One endpoint serves all hosts of the pool; end the server's process to stop it.")
    agents.stop(host)


@handles("host.set_https_only")
def set_https_only(call: CallContext, ref: str, value: bool) -> None:
    """OPERATION_NOT_ALLOWED unless there is a listener with TLS. An endpoint that several hosts share refuses plain
    HTTP as long as one of them does."""
    call.get(ref, "host")
    _set_https_only(call, (ref,), value)


@handles("pool.set_https_only")
def set_pool_https_only(call: CallContext, ref: str, value: bool) -> None:
    """host.set_https_only on all hosts. OPERATION_NOT_ALLOWED."""
    _set_https_only(call, tuple(call.store.all("host")), value)


def _set_https_only(call: CallContext, hosts: Sequence[str], value: bool) -> None:
    agents = call.services.surroundings.agents
    if value and (agents is None or not agents.encrypted()):
        raise E.OPERATION_NOT_ALLOWED("There is no listener with TLS, so nobody could reach the server any more.")

    def write(txn: Txn) -> None:
        for host in hosts:
            txn.update(host, https_only=value)

    call.commit(write)


@handles("pool.audit_log_append")
def audit_log_append(call: CallContext, line: str) -> None:
    """Members of the pool say what happened there."""
    call.services.surroundings.audit.append(line)


@handles("host.get_tracked_user_agents")
def get_tracked_user_agents(call: CallContext, ref: str) -> Mapping[str, str]:
    """The programs that called the endpoint of this host; of the pool's endpoint, that of the coordinator."""
    call.get(ref, "host")
    programs = call.services.surroundings.programs
    shared = programs.of("") if the_pool(call)["master"] == ref else {}
    return {**shared, **programs.of(ref)}
