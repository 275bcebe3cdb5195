"""Downloads a long body from a URL of a client, piece by piece. outgoing.py checks the address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from xenapi_core.errors import E
from xenapi_core.server.outgoing import Trust, way_to
from xenapi_core.server.upload import UploadBroken

_PIECE: Final = 256 * 1024


async def download(url: str, loopback: bool = False, trust: Trust | None = None) -> AsyncIterator[bytes]:
    """The body of the reply to a GET. IMPORT_ERROR if none comes; UploadBroken if it ends before its end.

    INVALID_VALUE ["url", ...] if no address is left that may be contacted. `trust`: see outgoing.way_to.
    """
    import aiohttp  # a fifth of a second at start, for what most servers never do

    begun = False
    async with way_to(url, loopback, trust) as way:
        try:
            async with way.http.get(url, allow_redirects=False) as reply:
                if reply.status != 200:
                    raise E.IMPORT_ERROR(f"The server of that URL answered HTTP {reply.status}.")
                begun = True
                async for data in reply.content.iter_chunked(_PIECE):
                    yield data
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if begun:
                raise UploadBroken("The connection broke.") from None
            way.check()
            raise E.IMPORT_ERROR(f"The server of that URL gave no answer: {type(error).__name__}.") from None
