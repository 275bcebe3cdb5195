"""The bytes of simulated disks: sparse, shared by copies, kept in a file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from xenapi_core.drivers.sim.contents import LARGEST, SIZE, Contents


def blocks(contents: Contents) -> int:
    """Blocks in the file, whoever uses them."""
    (count,) = contents._database.execute("SELECT COUNT(*) FROM block").fetchone()
    return int(count)


def test_any_sequence_of_writes_reads_like_an_array_of_bytes() -> None:
    chance, contents, size = random.Random(5), Contents(), 40 * SIZE
    models = {"a": bytearray(size), "b": bytearray(size), "c": bytearray(size)}
    for _ in range(200):
        volume = chance.choice("abc")
        if chance.random() < 0.1:
            source = chance.choice("abc")
            contents.copy(volume, source)
            models[volume] = bytearray(models[source])
            continue
        offset = chance.randrange(size - 1)
        length = min(chance.choice((1, 700, SIZE, 3 * SIZE + 5)), size - offset)
        data = bytes(length) if chance.random() < 0.3 else chance.randbytes(length)
        contents.write(volume, offset, data)
        models[volume][offset : offset + length] = data
    for volume, model in models.items():
        assert b"".join(contents.read(volume, at, SIZE) for at in range(0, size, SIZE)) == model
        holding = bytearray(size)
        for offset, length in contents.extents(volume):
            holding[offset : offset + length] = model[offset : offset + length]
        assert holding == model
        assert contents.written(volume) == sum(length for _, length in contents.extents(volume))
    used = {
        row
        for volume in models
        for row in contents._database.execute("SELECT block FROM place WHERE volume = ?", volume)
    }
    assert blocks(contents) == len(used)
    for volume in models:
        contents.erase(volume)
    assert blocks(contents) == 0
    contents.close()


def test_copies_take_no_room_until_they_differ() -> None:
    contents = Contents()
    contents.write("a", 0, b"x" * (4 * SIZE))
    contents.copy("b", "a")
    assert blocks(contents) == 4
    contents.write("b", 0, b"y")
    assert blocks(contents) == 5
    contents.erase("a")
    assert blocks(contents) == 4
    assert contents.read("b", 0, SIZE + 1) == b"y" + b"x" * SIZE
    contents.close()


def test_zeros_take_no_room() -> None:
    contents = Contents()
    contents.write("a", 5 * SIZE, bytes(2 * SIZE))
    assert contents.written("a") == 0
    contents.write("a", 0, b"x" * (2 * SIZE))
    contents.write("a", 0, bytes(SIZE))
    assert contents.extents("a") == [(SIZE, SIZE)]
    contents.close()


def test_a_call_does_a_bounded_amount_of_work() -> None:
    contents = Contents()
    with pytest.raises(ValueError, match="at most"):
        contents.write("a", 0, bytes(LARGEST + 1))
    with pytest.raises(ValueError, match="at most"):
        contents.read("a", 0, LARGEST + 1)


def test_a_file_keeps_them_and_forgets_what_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "disks.sqlite"
    contents = Contents(path)
    contents.write("a", 7, b"kept")
    contents.write("b", 0, b"lost")
    contents.close()
    again = Contents(path)
    again.keep(["a"])
    assert again.read("a", 7, 4) == b"kept"
    assert again.read("b", 0, 4) == bytes(4)
    assert blocks(again) == 1
    again.close()


def test_nothing_is_opened_until_something_is_written(tmp_path: Path) -> None:
    path = tmp_path / "disks.sqlite"
    contents = Contents(path)
    contents.write("a", 0, bytes(100))
    contents.erase("a")
    contents.keep([])
    assert contents.read("a", 0, 3) == bytes(3)
    assert not path.exists()
