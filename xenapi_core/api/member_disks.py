"""The interface to the disks of members: copies of the pool's data, one folder for each host
(server/member_disks.py)."""

from __future__ import annotations

from typing import Protocol


class MemberDisks(Protocol):
    """Hosts are named by uuid. OSError for what cannot be read or written now."""

    async def generation(self, host: str) -> int:
        """The generation of the database that the host has a copy of; 0 if it has none that can be read."""

    async def put_database(self, host: str, dump: bytes) -> None:
        """Replace its copy by this dump with its head (store/dump.py)."""

    async def put_blob(self, host: str, uuid: str, data: bytes) -> None:
        """Replace its copy of the data of a blob."""

    async def keep_blobs(self, host: str, uuids: frozenset[str]) -> None:
        """Remove its copies of all other blobs."""

    async def keep(self, hosts: frozenset[str]) -> None:
        """Remove everything of all other hosts."""
