"""RequestedState for clients whose provider remembered every request: the last request, also a refused one.

Rule 1: a request that was refused is kept with its machine, in VM.other_config, so that it outlives the server and is
        seen by all servers of the pool. The next request that is met removes it, through either API
        (engine/transition.py); copies of a machine do not take it over.
Rule 2: a request that the user's role does not allow is not kept. The server writes in its own name, because a user who
        may start a machine need not be allowed to change its settings; in another pool, where only its users act, it
        writes in the user's.
"""

from __future__ import annotations

import logging

from cim_provider.compat.mode import Given, Request
from cim_provider.mapping.subject import Subject
from cim_provider.methods.state_change import goal
from cim_provider.profiles.computer_system import ComputerSystem
from cim_provider.schema.objects import CimError
from xenapi_core.errors import ApiError
from xenapi_core.model.lifecycle import NEVER_ASKED, REFUSED_STATE
from xenapi_core.model.schema import roles_above

log = logging.getLogger("xencim.wbem.compat")

METHOD = "RequestStateChange"
LARGEST = 0xFFFF


def last_request(vm: Subject) -> int:
    """The state that was requested last, met or not; 0 before the first request."""
    refused = str(vm["other_config"].get(REFUSED_STATE, ""))
    if goal(vm) is None and refused.isascii() and refused.isdecimal() and int(refused) <= LARGEST:
        return int(refused)
    asked = int(ComputerSystem.rules["RequestedState"].read(vm))
    return 0 if asked == NEVER_ASKED else asked


async def remember(request: Request, given: Given, refused: CimError | None) -> None:
    """Keep the state of a refused request (rule 1); a request that was met removes the one before it."""
    state, source = given.get("requestedstate"), request.provider.source
    if request.method != METHOD or request.target.view is not ComputerSystem or not _may_ask(request):
        return
    machine = None if request.target.version is None else source.find(request.target.version.ref)
    if machine is None or (refused is not None and state is None):
        return
    kept, wanted = machine.values["other_config"].get(REFUSED_STATE), None if refused is None else str(state)
    if wanted == kept:
        return
    itself = await source.as_itself()
    who = itself or request.principal
    try:
        if kept is not None:
            await source.call(who, "VM.remove_from_other_config", machine.ref, REFUSED_STATE)
        if wanted is not None:
            await source.call(who, "VM.add_to_other_config", machine.ref, REFUSED_STATE, wanted)
    except ApiError as error:  # the machine is gone, or another pool's user may not; the answer is the refusal's
        log.info("RequestedState of %s is not kept: %s", machine.values["uuid"], error.code)
    finally:
        if itself is not None:
            await source.call(itself, "session.logout")


def _may_ask(request: Request) -> bool:
    message = request.provider.source.schema.methods["VM.start"].message
    return not request.principal.roles.isdisjoint(roles_above(message.role, message.client_cert))
