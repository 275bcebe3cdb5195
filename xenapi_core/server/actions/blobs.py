"""The data of blobs: GET and PUT /blob.

Rule 1: data is replaced as a whole, when all of the new data has come; a broken upload leaves what was there.
Rule 2: the record says how large it is and when it was written; data without a record is removed at the next write.
Rule 3: a public blob is given to everybody; writing needs the role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xenapi_core.api.blobs import check_kept
from xenapi_core.api.registry import Services
from xenapi_core.errors import E
from xenapi_core.server.actions.action import NO_CACHE, ActionCall, serves
from xenapi_core.server.routes import Response

LARGEST: Final = 16 << 20  # bytes of one blob


def _public(services: Services, query: Mapping[str, str]) -> bool:
    wanted = query.get("ref") or query.get("uuid") or ""
    blob = services.store.find(wanted) or services.store.by_uuid("blob", wanted)
    return blob is not None and blob.cls == "blob" and bool(blob["public"])


@serves("get_blob", public=_public)
async def get_blob(call: ActionCall) -> Response:
    """The data of a blob (`ref`, or `uuid`); nothing if none was written yet."""
    blob = call.object("blob", "ref", "uuid")
    data = call.parts.blobs.get(blob["uuid"]) or b""
    return Response(200, (NO_CACHE, ("Content-Type", _header(blob["mime_type"]))), data)


def _header(mime_type: str) -> str:
    """A client chose the type: what cannot be in a header does not get there."""
    return mime_type if mime_type.isascii() and mime_type.isprintable() else "application/octet-stream"


@serves("put_blob")
async def put_blob(call: ActionCall) -> Response:
    """Replace the data of a blob. IMPORT_ERROR if it is too large, or there is no room; OPERATION_NOT_ALLOWED where the
    pool keeps none, also if that is decided while the data comes."""
    check_kept(call.store)
    blob, upload = call.object("blob", "ref", "uuid"), call.request.upload
    assert upload is not None
    parts: list[bytes] = []
    async for data in upload:
        parts.append(data)
        if upload.received > LARGEST:
            raise E.IMPORT_ERROR(f"A blob holds at most {LARGEST} bytes.")
    check_kept(call.store)
    blobs = {known["uuid"] for known in call.store.all("blob").values()}
    if blob["uuid"] not in blobs:
        raise E.HANDLE_INVALID("blob", blob.ref)
    call.parts.blobs.keep(frozenset(blobs))
    try:
        call.parts.blobs.put(blob["uuid"], b"".join(parts))
    except MemoryError:
        raise E.IMPORT_ERROR("There is no room for the data.") from None
    txn = call.store.begin()
    txn.update(blob.ref, size=upload.received, last_updated=call.services.clock.now())
    call.store.commit(txn)
    return Response(200, (NO_CACHE,))
