"""The routes of all HTTP actions of the API reference, and which of them are served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import xenapi_core.server.actions  # noqa: F401 - registers the behaviours
from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.registry import Services
from xenapi_core.model.http_actions import HTTP_ACTIONS
from xenapi_core.server.actions.action import ACTIONS, Answerer, Parts
from xenapi_core.server.actions.connected_disks import CONNECTED_DISKS
from xenapi_core.server.routes import Response, Route

# Served by the endpoint itself (xenapi_app.py): calls, and what a browser asks before it makes them.
CALLS: Final = frozenset(
    {
        "get_root", "post_root", "post_RPC2", "post_json", "post_jsonrpc", "post_root_options", "post_json_options",
        "post_jsonrpc_options",
    }
)  # fmt: skip


def served() -> list[str]:
    """Names of the actions that answer, sorted."""
    return sorted(action.name for action in HTTP_ACTIONS if action.name in ACTIONS or action.name in CALLS)


def action_routes(
    services: Services, basic: BasicAuth, page: Callable[[int, str], Response], parts: Parts
) -> tuple[Route, ...]:
    """A route for each action, and for connected disks. `page(status, reason)` makes the endpoint's error pages."""
    return tuple(
        Route(
            action.method,
            action.path,
            Answerer(action, services, basic, page, parts),
            streamed=action.method in ("PUT", "POST"),
        )
        for action in (*HTTP_ACTIONS, *CONNECTED_DISKS)
        if action.name not in CALLS
    )
