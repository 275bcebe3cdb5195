"""Formats the address of a host so that a port can follow it."""

from __future__ import annotations


def bracketed(host: str) -> str:
    """`host`, a name or an address, as a URL has it: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host
