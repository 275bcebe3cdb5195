"""Reports of the workload balancing server: GET /wlb_report and GET /wlb_diagnostics.

Rule 1: a reply begins after the server's whole answer has been received and checked, so a failure gets an error status.
"""

from __future__ import annotations

from xenapi_core.api.balancer import Balancer
from xenapi_core.errors import E
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.routes import Response

_OURS = frozenset({"session_id", "task_id", "subtask_of", "report"})  # what is no parameter of the report


def _balancer(call: ActionCall) -> Balancer:
    """NOT_IMPLEMENTED for a process that reaches no other server."""
    balancer = call.services.surroundings.balancer
    if balancer is None:
        raise E.NOT_IMPLEMENTED(call.action.name)
    return balancer


@serves("get_wlb_report")
async def report(call: ActionCall) -> Response:
    """The report of that name, as XML; all other arguments are its parameters. WLB_NOT_INITIALIZED; what
    api.balancer.Post raises."""
    if not (name := call.text("report")):
        raise E.INVALID_VALUE("report", "")
    parameters = {key: value for key, value in call.query.items() if key not in _OURS}
    return _reply(await _balancer(call).report(name, parameters))


@serves("get_wlb_diagnostics")
async def diagnostics(call: ActionCall) -> Response:
    """The workload balancing server's diagnostics, for its makers. Errors as of a report."""
    return _reply(await _balancer(call).diagnostics())


def _reply(data: bytes) -> Response:
    return Response(200, (NO_CACHE, ("Content-Type", "application/octet-stream")), data)
