"""Addresses of hosts as URLs have them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from xenapi_core.address import bracketed


@pytest.mark.parametrize("host", ["pool.example.org", "192.0.2.7", "2001:db8::7", "::1"])
def test_a_port_may_follow_any_bracketed_host(host: str) -> None:
    parts = urlsplit(f"https://{bracketed(host)}:443")
    assert (parts.hostname, parts.port) == (host, 443)
