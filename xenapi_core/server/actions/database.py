"""The database of the pool as a file: GET /pool/xmldbdump.

Rule 1: the file is the same form as the copies on storage (store/dump.py), and not the XML the reference's name speaks
        of; session.create_from_db_file reads it. It holds everything that outlasts a restart, secrets too.
"""

from __future__ import annotations

from xenapi_core.engine.plans.database_copy import content_of
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.routes import Response


@serves("get_pool_xml_db_sync")
async def dump(call: ActionCall) -> Response:
    """The database as it is now."""
    services = call.services
    content = await content_of(services.schema, services.store, without=frozenset())
    now = services.clock.now()
    name = ("Content-Disposition", 'attachment; filename="pool.xencimdb"')
    headers = (NO_CACHE, ("Content-Type", "application/octet-stream"), name)
    return Response(200, headers, content.head(1, now).encode() + content.data)
