"""Stores the copies of the pool's data that its members keep: a folder for each host, beside the pool's state.

Rule 1: hosts are simulated, so their disks are folders here: copies/<uuid>/pool.xencimdb is the database as GET
        /pool/xmldbdump gives it, and can be restored as such; copies/<uuid>/blobs has the data of blobs.
Rule 2: a database has secrets in it: folders and files are for the server's own account alone. Each file appears whole
        or not at all.
Rule 3: everything that touches the disk does so in a thread, and has SECONDS of real time.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from xenapi_core.atomic_file import replace_file
from xenapi_core.ids import is_uuid
from xenapi_core.server.actions.blob_data import InDirectory
from xenapi_core.server.restoring import BLOBS, DATABASE
from xenapi_core.store.dump import HEAD, DumpError, read_head

FOLDER: Final = "copies"
SECONDS: Final = 120.0

T = TypeVar("T")


class HostFolders:
    """The disks of the pool's members as folders (an api.member_disks.MemberDisks). `state`: the directory of the
    pool's state."""

    def __init__(self, state: Path) -> None:
        self._directory = state / FOLDER

    async def generation(self, host: str) -> int:
        return await _in_thread(lambda: self._generation(host))

    def _generation(self, host: str) -> int:
        try:
            with (self._place(host) / DATABASE).open("rb") as file:
                head = read_head(file.read(HEAD))
        except (FileNotFoundError, DumpError):
            return 0
        return head.generation if head is not None else 0

    async def put_database(self, host: str, dump: bytes) -> None:
        await _in_thread(lambda: replace_file(self._folder(host) / DATABASE, dump, 0o600))

    async def put_blob(self, host: str, uuid: str, data: bytes) -> None:
        await _in_thread(lambda: replace_file(self._blobs(host) / uuid, data, 0o600))

    async def keep_blobs(self, host: str, uuids: frozenset[str]) -> None:
        await _in_thread(lambda: InDirectory(self._blobs(host)).keep(uuids))

    async def keep(self, hosts: frozenset[str]) -> None:
        await _in_thread(lambda: self._keep(hosts))

    def _keep(self, hosts: frozenset[str]) -> None:
        if self._directory.is_dir():
            for folder in self._directory.iterdir():
                if folder.name not in hosts:
                    shutil.rmtree(folder)

    def _blobs(self, host: str) -> Path:
        folder = self._folder(host) / BLOBS
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _folder(self, host: str) -> Path:
        folder = self._place(host)
        for each in (self._directory, folder):
            each.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _place(self, host: str) -> Path:
        """PermissionError for what is no uuid: a database from elsewhere may hold anything."""
        if not is_uuid(host):
            raise PermissionError(f"{host!r} is no uuid")
        return self._directory / host


async def _in_thread(work: Callable[[], T]) -> T:
    """TimeoutError is an OSError: the disk is too slow."""
    async with asyncio.timeout(SECONDS):
        return await asyncio.to_thread(work)
