"""Compressed streams: what is squeezed comes out again in pieces of any size, and bombs come out in small ones."""

from __future__ import annotations

import gzip

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from xenapi_core.wire.compression import LARGEST, MAGIC, CompressionError, compressor, decompressor

SQUEEZE = {"gzip": gzip.compress, "zstd": zstandard.compress}


def opened(stream: bytes, step: int = 1000) -> tuple[bytes, bool]:
    reader = decompressor(stream[:MAGIC])
    assert reader is not None
    found = b"".join(
        piece for start in range(0, len(stream), step) for piece in reader.pieces(stream[start : start + step])
    )
    return found, reader.ended


@given(st.sampled_from(sorted(SQUEEZE)), st.lists(st.binary(max_size=3000), max_size=5), st.integers(1, 5000))
def test_what_is_compressed_piece_by_piece_comes_out_again(name: str, parts: list[bytes], step: int) -> None:
    squeezer = compressor(name)
    stream = b"".join([*map(squeezer.compress, parts), squeezer.flush()])
    assert opened(stream, step) == (b"".join(parts), True)


@pytest.mark.parametrize("name", sorted(SQUEEZE))
def test_other_programs_streams_are_read_and_half_of_one_has_no_end(name: str) -> None:
    data = bytes(range(256)) * 5000
    stream = SQUEEZE[name](data)
    assert opened(stream) == (data, True)
    found, ended = opened(stream[:-1])
    assert (data.startswith(found), ended) == (True, False)


@pytest.mark.parametrize("name", sorted(SQUEEZE))
def test_a_bomb_comes_out_in_pieces_that_fit_into_memory(name: str) -> None:
    size = 256 << 20
    squeezer = compressor(name)
    stream = b"".join([*(squeezer.compress(bytes(1 << 20)) for _ in range(size >> 20)), squeezer.flush()])
    reader = decompressor(stream)
    assert reader is not None
    lengths = [len(piece) for piece in reader.pieces(stream)]
    assert (sum(lengths), reader.ended) == (size, True)
    assert max(lengths) <= LARGEST


@pytest.mark.parametrize("name", sorted(SQUEEZE))
def test_damage_is_an_error_of_ours(name: str) -> None:
    stream = bytearray(SQUEEZE[name](bytes(range(256)) * 100))
    stream[MAGIC:40] = b"\xff" * (40 - MAGIC)
    with pytest.raises(CompressionError):
        opened(bytes(stream))


def test_what_is_not_compressed_has_no_decompressor() -> None:
    assert decompressor(b"ova.xml\0") is None
    with pytest.raises(KeyError):
        compressor("lzma")
