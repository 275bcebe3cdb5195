"""Records the client programs that have called, by HTTP User-Agent, for host.get_tracked_user_agents.

Rule 1: only the first product of a header is recorded (RFC 9110, 10.1.5); names and versions that are longer than
        LONGEST, or hold anything but the characters of a token, are not kept. So the list is short, and holds no
        password from a header's comment.
Rule 2: at most MOST programs are kept of each host; the one that was seen first goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MOST: Final = 128
LONGEST: Final = 64
_PRODUCT: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64})(?:/([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}))?(?=\s|\Z)")


class ClientPrograms:
    """The programs that called the endpoint of each host; "" stands for the endpoint of the whole pool."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}

    def note(self, host: str, header: str) -> None:
        """A request with that User-Agent came to the endpoint of `host`."""
        product = _PRODUCT.match(header)
        if product is None:
            return
        programs = self._seen.setdefault(host, {})
        programs.pop(product[1], None)
        programs[product[1]] = product[2] or ""
        if len(programs) > MOST:
            del programs[next(iter(programs))]

    def of(self, host: str) -> Mapping[str, str]:
        """Name -> the version seen last, the program seen last at the end."""
        return dict(self._seen.get(host, {}))
