"""The VHD format: what is written is read again, other readers' rules are kept, and damage is found."""

from __future__ import annotations

import struct

import pytest

from xenapi_core.wire import vhd

UUID = "12345678-9abc-def0-1234-56789abcdef0"
NOW = 1_700_000_000
MIB = 1 << 20


def made(size, filled, spoil=lambda image: None):
    """A VHD of `size` bytes in which the blocks `filled` hold their number + 1."""
    image = bytearray(vhd.head(size, filled, UUID, NOW))
    for number in filled:
        image += vhd.BITMAP + bytes([number % 255 + 1]) * vhd.BLOCK
    image += vhd.foot(size, UUID, NOW)
    spoil(image)
    return bytes(image)


def read(image, step=65_537):
    reader, found = vhd.Reader(), {}
    for start in range(0, len(image), step):
        found |= dict(reader.feed(image[start : start + step]))
    return reader, found


@pytest.mark.parametrize("step", [511, 65_537, 1 << 24])
@pytest.mark.parametrize("size", [10 * MIB, 3 * MIB, 2 * MIB, 512, 4096 * MIB])
def test_what_is_written_is_read_again(size, step):
    blocks = vhd.blocks_of(size, [(0, 1), (min(size - 1, 5 * MIB), 1)])
    image = made(size, blocks)
    assert len(image) == vhd.length_of(size, blocks)
    reader, found = read(image, step)
    assert reader.complete
    assert reader.size == size
    assert sorted(found) == [number * vhd.BLOCK for number in blocks]
    for offset, data in found.items():
        assert data == bytes([offset // vhd.BLOCK + 1]) * min(vhd.BLOCK, size - offset)


def test_a_disk_of_zeros_is_a_vhd_without_blocks():
    image = made(64 * MIB, [])
    assert len(image) == 512 + 1024 + 512 + 512
    reader, found = read(image)
    assert (reader.complete, reader.size, found) == (True, 64 * MIB, {})


def test_blocks_are_those_that_extents_touch():
    assert vhd.blocks_of(10 * MIB, []) == []
    assert vhd.blocks_of(10 * MIB, [(0, 0), (2 * MIB - 1, 2), (9 * MIB, MIB)]) == [0, 1, 4]
    assert vhd.blocks_of(3 * MIB, [(0, 100 * MIB)]) == [0, 1]


def test_fields_are_where_the_format_has_them():
    image = made(8 * MIB, [1])
    footer = image[-512:]
    assert image[:512] == footer
    assert footer[:8] == b"conectix"
    assert struct.unpack_from(">QQ", footer, 40) == (8 * MIB, 8 * MIB)
    cylinders, heads, sectors = struct.unpack_from(">HBB", footer, 56)
    assert 0 < cylinders * heads * sectors <= 8 * MIB // 512
    assert struct.unpack_from(">I", footer, 60) == (3,)
    assert footer[68:84] == bytes.fromhex(UUID.replace("-", ""))
    for part, place in ((footer, 64), (image[512:1536], 36)):
        (told,) = struct.unpack_from(">I", part, place)
        blank = part[:place] + bytes(4) + part[place + 4 :]
        assert told == ~sum(blank) & 0xFFFFFFFF
    assert image[512:520] == b"cxsparse"
    table = struct.unpack_from(">4I", image, struct.unpack_from(">Q", image, 528)[0])
    assert table == (vhd.NONE, 2048 // 512, vhd.NONE, vhd.NONE)


def test_sectors_that_the_bitmap_leaves_out_are_not_given():
    def leave_out(image):
        image[2048] = 0b01111111  # not the first sector of the first block
        image[2048 + 511] = 0b11111110  # nor the last

    _, found = read(made(4 * MIB, [0], leave_out))
    assert found == {512: b"\x01" * (vhd.BLOCK - 1024)}


def place(at, data):
    def spoil(image):
        image[at : at + len(data)] = data

    return spoil


def kind(number):
    """A footer of another type, with the right checksum."""

    def spoil(image):
        image[60:64] = struct.pack(">I", number)
        image[64:68] = bytes(4)
        image[64:68] = struct.pack(">I", ~sum(image[:512]) & 0xFFFFFFFF)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (place(0, b"connect!"), "conectix"),
        (place(45, b"\xff"), "checksum"),
        (place(512, b"cxsparsE"), "cxsparse"),
        (place(512 + 30, b"\x07"), "checksum"),
        (kind(2), "dynamic"),
        (place(1536, struct.pack(">I", 1)), "overlap"),
        (place(1536 + 4, struct.pack(">I", 5)), "overlap"),
    ],
)
def test_damage_is_found(spoil, words):
    with pytest.raises(vhd.VhdError, match=words):
        read(made(8 * MIB, [0, 1], spoil))


def test_a_vhd_of_differences_names_its_parent():
    parent = "fedcba98-7654-3210-fedc-ba9876543210"
    image = vhd.head(8 * MIB, [1], UUID, NOW, parent) + vhd.BITMAP + b"x" * vhd.BLOCK
    image += vhd.foot(8 * MIB, UUID, NOW, parent)
    assert struct.unpack_from(">I", image, 60) == (4,)
    assert image[552:568] == bytes.fromhex(parent.replace("-", ""))
    assert image[576:1088].decode("utf-16-be").rstrip("\0") == f"{parent}.vhd"
    reader, found = read(image)
    assert (reader.complete, reader.size, found) == (True, 8 * MIB, {vhd.BLOCK: b"x" * vhd.BLOCK})


def test_half_a_vhd_is_not_complete():
    image = made(8 * MIB, [0, 1])
    for length in (100, 512, 1600, 3000, len(image) - 1000):
        assert not read(image[:length])[0].complete
