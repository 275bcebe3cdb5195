"""A database in one piece: what is read is what was written, and nothing that is damaged is read."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from xenapi_core.model.catalog import SCHEMA
from xenapi_core.store.dump import HEAD, DumpError, Head, decode, decode_file, encode, kept_records, read_head
from xenapi_core.testing.records import Records

NOW = 1_700_000_000


def a_pool() -> Records:
    pool = Records("dump")
    host = pool.add("host", hostname="one")
    pool.add("pool", name_label="test", master=host)
    vm = pool.add("VM", name_label="shop", other_config={"key": "väl"}, memory_static_max=1 << 40)
    pool.change(vm, current_operations={"OpaqueRef:task": "start"})
    pool.add("session", auth_user_name="root")
    return pool


def a_file(pool: Records) -> bytes:
    content = encode(SCHEMA, "uuid of the pool", kept_records(SCHEMA, pool.store))
    return content.head(7, NOW).encode() + content.data


def test_records_are_read_as_they_were_written() -> None:
    pool = a_pool()
    found = decode_file(SCHEMA, a_file(pool))
    assert found.pool == "uuid of the pool"
    (vm,) = pool.store.all("VM").values()
    kept = {name: value for name, value in vm.values.items() if name != "current_operations"}
    assert found.store.get(vm.ref, "VM").values == {**kept, "current_operations": {}}
    (host,) = found.store.all("host")
    assert [one["master"] for one in found.store.all("pool").values()] == [host]
    assert len(found.store.all("session")) == 0


def test_the_same_records_give_the_same_bytes() -> None:
    first, second = (encode(SCHEMA, "p", kept_records(SCHEMA, a_pool().store)) for _ in range(2))
    assert first == second
    left_out = encode(SCHEMA, "p", kept_records(SCHEMA, a_pool().store, frozenset({"VM"})))
    assert len(decode(SCHEMA, left_out.data).store.all("VM")) == 0


def test_a_head_is_read_back() -> None:
    head = read_head(a_file(a_pool()))
    assert head is not None
    assert (head.generation, head.instant) == (7, NOW)
    assert read_head(bytes(HEAD)) is None


def _file_of(lines: bytes) -> bytes:
    data = zlib.compress(lines)
    return Head(1, NOW, len(data), hashlib.sha256(data).digest()).encode() + data


RECORD = b'["VM","OpaqueRef:1","{}"]\n'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no database"),
        (b"<database/>" * 20, "no database"),
        (a_file(a_pool())[:-1], "damaged"),
        (a_file(a_pool())[:HEAD] + b"\0" + a_file(a_pool())[HEAD + 1 :], "damaged"),
        (a_file(a_pool())[:8] + b"\0\0\0\x09" + a_file(a_pool())[12:], "format 9"),
        (_file_of(b"{}\n"), "makes no sense"),
        (_file_of(b'{"pool": 7}\n'), "whose"),
        (_file_of(b'{"pool": "p"}\n["VM"]\n'), "makes no sense"),
        (_file_of(b'{"pool": "p"}\n["VM","OpaqueRef:1","[]"]\n'), "makes no sense"),
        (_file_of(b'{"pool": "p"}\n[7,8,9]\n'), "makes no sense"),
        (_file_of(b'{"pool": "p"}\n' + RECORD + RECORD), "twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_whole_database_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DumpError, match=reason):
        decode_file(SCHEMA, data)


def test_a_newer_schema_loses_what_this_one_does_not_know() -> None:
    known = b'["VM","OpaqueRef:1","{\\"name_label\\":\\"v\\",\\"wings\\":2}"]\n'
    lines = b'{"pool": "p"}\n["Spaceship","OpaqueRef:0","{}"]\n' + known
    found = decode_file(SCHEMA, _file_of(lines))
    assert found.store.get("OpaqueRef:1")["name_label"] == "v"
    assert found.store.find("OpaqueRef:0") is None
