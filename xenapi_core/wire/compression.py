"""Compressed streams, piece by piece: gzip, and zstd as XCP-ng writes it.

Rule 1: what comes in may be hostile: at most LARGEST bytes come out at a time, however well they were compressed.
Rule 2: a stream is one member (gzip) or frame (zstd), and what follows is not read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import zstandard

LARGEST: Final = 32 << 20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
MAGIC: Final = len(_ZSTD)  # so many bytes tell what a stream is compressed with
_GZIP_BITS: Final = 31
_LEVEL: Final = 6  # of gzip
_PIECE: Final = 1 << 20
_SIP: Final = 512  # in so many bytes begin at most 171 blocks (RFC 8878, 3.1.1.2: 3 bytes), of at most 128 KiB each
_WINDOW: Final = 1 << 27  # RFC 8878 asks for 8 MiB; `zstd --long` writes up to this


class CompressionError(Exception):
    """The bytes cannot be decompressed: why, in a few words."""


class Compressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes:
        """The end of the stream."""


class Decompressor(Protocol):
    """One stream. `ended`: it is complete."""

    @property
    def ended(self) -> bool: ...

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The decompressed content of the next bytes of the stream. CompressionError."""


def compressor(name: str) -> Compressor:
    """ "gzip" or "zstd". KeyError for others."""
    makers = {"gzip": lambda: zlib.compressobj(_LEVEL, wbits=_GZIP_BITS), "zstd": _zstd}
    return makers[name]()


def _zstd() -> Compressor:
    return zstandard.ZstdCompressor().compressobj()


def decompressor(head: bytes) -> Decompressor | None:
    """For the stream that begins with `head`, at least MAGIC bytes of it; None if it is not compressed."""
    if head.startswith(_GZIP):
        return _Gunzip()
    return _Unzstd() if head.startswith(_ZSTD) else None


class _Gunzip:
    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_BITS)

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                yield self._inflate.decompress(data, _PIECE)
                data = self._inflate.unconsumed_tail
        except zlib.error as error:
            raise CompressionError(str(error)) from error


class _Unzstd:
    def __init__(self) -> None:
        self._inflate = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(data), _SIP):
                if self._inflate.eof:
                    return
                yield self._inflate.decompress(data[start : start + _SIP])
        except zstandard.ZstdError as error:
            raise CompressionError(str(error)) from error
