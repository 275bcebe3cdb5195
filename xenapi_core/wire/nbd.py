"""NBD codec (Network Block Device): the fixed newstyle handshake and simple replies.

Source: doc/proto.md of the NetworkBlockDevice project. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = b"NBDMAGIC"
OPTION_MAGIC: Final = b"IHAVEOPT"
_REPLY_MAGIC: Final = 0x0003E889045565A9
_REQUEST_MAGIC: Final = 0x25609513
_SIMPLE_MAGIC: Final = 0x67446698

# Handshake flags, of server and client alike.
FIXED_NEWSTYLE: Final = 1
NO_ZEROES: Final = 2

# Options.
EXPORT_NAME: Final = 1
ABORT: Final = 2
LIST: Final = 3
STARTTLS: Final = 5
INFO: Final = 6
GO: Final = 7

# Replies to options.
ACK: Final = 1
_INFO: Final = 3
UNSUPPORTED: Final = (1 << 31) + 1
POLICY: Final = (1 << 31) + 2
INVALID: Final = (1 << 31) + 3
TLS_REQUIRED: Final = (1 << 31) + 5
UNKNOWN: Final = (1 << 31) + 6
TOO_BIG: Final = (1 << 31) + 9

# What a client is told of an export.
_INFO_EXPORT: Final = 0
_INFO_BLOCK_SIZE: Final = 3

# Transmission flags.
READ_ONLY: Final = 1 | 2 | 256  # the flags say something; read only; several connections see the same

# Commands.
READ: Final = 0
WRITE: Final = 1
DISCONNECT: Final = 2
TRIM: Final = 4
WRITE_ZEROES: Final = 6

# Errors of commands.
EPERM: Final = 1
EIO: Final = 5
EINVAL: Final = 22

OPTION: Final = struct.Struct(">8sII")
REQUEST: Final = struct.Struct(">IHHQQI")
LONGEST_READ: Final = 32 << 20
LONGEST_NAME: Final = 4096
PREFERRED: Final = 64 << 10


class NbdError(Exception):
    """The bytes are no NBD: one sentence. The connection ends."""


def greeting() -> bytes:
    """The server's first message."""
    return MAGIC + OPTION_MAGIC + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES)


def option(head: bytes) -> tuple[int, int]:
    """The option a client asks for, and the length of its data. NbdError."""
    magic, number, length = OPTION.unpack(head)
    if magic != OPTION_MAGIC:
        raise NbdError("An option does not begin with its magic number.")
    return number, length


def wanted(data: bytes) -> str:
    """The name of the export in the data of INFO or GO. NbdError."""
    length = int.from_bytes(data[:4], "big")
    (count,) = struct.unpack_from(">H", data, 4 + length) if len(data) >= 6 + length else (None,)
    if count is None or len(data) != 6 + length + 2 * count:
        raise NbdError("The option's data has another length than it says.")
    return name_of(data[4 : 4 + length])


def name_of(data: bytes) -> str:
    """The name of an export. NbdError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise NbdError("The name of the export is no UTF-8.") from None


def reply(number: int, kind: int, data: bytes = b"") -> bytes:
    """A reply to option `number`; the data of an error is a sentence for people."""
    return struct.pack(">QIII", _REPLY_MAGIC, number, kind, len(data)) + data


def export_info(number: int, size: int) -> bytes:
    """The replies to INFO and GO that say what the export is like, without the ACK after them. `size` in bytes."""
    export = struct.pack(">HQH", _INFO_EXPORT, size, READ_ONLY)
    blocks = struct.pack(">HIII", _INFO_BLOCK_SIZE, 1, PREFERRED, LONGEST_READ)
    return reply(number, _INFO, export) + reply(number, _INFO, blocks)


def export_name_reply(size: int, zeroes: bool) -> bytes:
    """The reply to EXPORT_NAME; `zeroes`: the client did not ask to be spared them."""
    return struct.pack(">QH", size, READ_ONLY) + (bytes(124) if zeroes else b"")


def request(head: bytes) -> tuple[int, int, int, int]:
    """(command, cookie, offset, length). NbdError."""
    magic, _, command, cookie, offset, length = REQUEST.unpack(head)
    if magic != _REQUEST_MAGIC:
        raise NbdError("A request does not begin with its magic number.")
    return command, cookie, offset, length


def simple_reply(cookie: int, error: int = 0) -> bytes:
    """The header of a reply: it precedes the data of a read, and is the whole of any other reply."""
    return struct.pack(">IIQ", _SIMPLE_MAGIC, error, cookie)
