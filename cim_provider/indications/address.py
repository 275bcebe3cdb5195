"""Parses and checks the URL of a listener."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from cim_provider.schema.objects import INVALID_PARAMETER, CimError

_PORTS = {"http": 80, "https": 443}
_MAX_LENGTH = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens. `host` is without the brackets of an IPv6 address; `target` is the path to POST to."""

    host: str
    port: int
    encrypted: bool
    target: str

    @property
    def shown(self) -> str:
        """Host and port as in a Host header; safe to log, as there is nothing secret in it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=2048)
def address_of(url: str) -> Address:
    """CimError INVALID_PARAMETER unless `url` is http or https with a host, and without credentials and fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _invalid("is no URL") from None
    if len(url) > _MAX_LENGTH or re.search(r"[^\x21-\x7e]", url):
        raise _invalid("is too long or has characters that URLs do not have")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise _invalid("must be http://host:port or https://host:port")
    if "@" in parts.netloc or parts.fragment:
        raise _invalid("must have neither user nor fragment")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    return Address(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "https", target)


def _invalid(text: str) -> CimError:
    return CimError(INVALID_PARAMETER, f"Destination {text}")
