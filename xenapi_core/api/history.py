"""What handlers ask of the recorded measurements, which the server keeps (server/actions/recorder.py)."""

from __future__ import annotations

from typing import Protocol


class History(Protocol):
    """The samples of all data sources: of objects by kind ("host", "vm" or "sr") and uuid."""

    def records(self, kind: str, uuid: str, name: str) -> bool:
        """Whether a data source is recorded, or was."""

    async def begin(self, kind: str, uuid: str, name: str) -> None:
        """Record a data source from the next sample on, also after a restart if the server keeps anything on a disk."""

    def forget(self, kind: str, uuid: str, name: str) -> bool:
        """Drop what was recorded of one data source; the next sample is the first again. False: nothing was."""

    async def back_up(self, delay: float) -> bool:
        """Write everything to disk in `delay` seconds; without delay it is there at the end of the call. False if the
        server keeps nothing on a disk. OSError if it cannot be written now."""
