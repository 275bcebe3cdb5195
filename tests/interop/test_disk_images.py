"""Disks as other programs write and read them: qemu-img, vhd-lib of Xen Orchestra, libnbd."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from clients import logged_in
from server_process import ServerProcess, start_server
from test_import_export import MIB, disk_of, request

NODE = Path(__file__).parent / "node"
SIZE = 8 * MIB


@pytest.fixture
def session(server: ServerProcess) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        yield logged_in(stack, server.ready["xenapi"], server.user, server.password)


def moved(
    server: ServerProcess, session: Any, method: str, action: str, body: bytes | None = None, **query: str
) -> bytes:
    """The reply to a request for a disk."""
    arguments = "".join(f"&{name}={value}" for name, value in query.items())
    status, data = request(server, method, f"/{action}_raw_vdi?session_id={session._session}{arguments}", body)
    assert status == 200, data
    return data


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents() -> bytearray:
    """A disk with data at both ends, zeros, and a block that is full."""
    data = bytearray(SIZE)
    noise = random.Random(7)
    data[: 3 * MIB] = noise.randbytes(3 * MIB)
    data[-512:] = noise.randbytes(512)
    return data


def test_qemu_reads_what_is_exported(server: ServerProcess, session: Any, tmp_path: Path) -> None:
    data, disk = contents(), disk_of(session.xenapi, SIZE)
    moved(server, session, "PUT", "import", bytes(data), vdi=disk)
    image, raw = tmp_path / "disk.vhd", tmp_path / "disk.raw"
    image.write_bytes(moved(server, session, "GET", "export", vdi=disk, format="vhd"))
    told = json.loads(qemu_img("info", "--output=json", image))
    assert (told["format"], told["virtual-size"]) == ("vpc", SIZE)
    qemu_img("convert", "-f", "vpc", "-O", "raw", image, raw)
    assert raw.read_bytes() == data


def test_what_qemu_writes_is_imported(server: ServerProcess, session: Any, tmp_path: Path) -> None:
    data, disk = contents(), disk_of(session.xenapi, SIZE)
    image, raw = tmp_path / "disk.vhd", tmp_path / "disk.raw"
    raw.write_bytes(data)
    qemu_img("convert", "-f", "raw", "-O", "vpc", "-o", "subformat=dynamic,force_size=on", raw, image)
    moved(server, session, "PUT", "import", image.read_bytes(), vdi=disk, format="vhd")
    assert moved(server, session, "GET", "export", vdi=disk) == data


def test_what_changed_since_a_snapshot_is_merged_as_backups_do(
    server: ServerProcess, session: Any, tmp_path: Path
) -> None:
    data, disk = contents(), disk_of(session.xenapi, SIZE)
    moved(server, session, "PUT", "import", bytes(data), vdi=disk)
    first = session.xenapi.VDI.snapshot(disk)
    data[MIB : MIB + 5] = b"later"
    data[5 * MIB : 6 * MIB] = random.Random(8).randbytes(MIB)
    moved(server, session, "PUT", "import", bytes(data), vdi=disk)
    second = session.xenapi.VDI.snapshot(disk)
    full, delta, raw = (tmp_path / name for name in ("full.vhd", "delta.vhd", "merged.raw"))
    full.write_bytes(moved(server, session, "GET", "export", vdi=first, format="vhd"))
    delta.write_bytes(moved(server, session, "GET", "export", vdi=second, format="vhd", base=first))
    done = subprocess.run(
        ["node", str(NODE / "merge.mjs"), str(full), str(delta)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    parent = session.xenapi.VDI.get_uuid(first)
    assert (told["type"], told["parent"], told["name"]) == (4, parent.replace("-", ""), f"{parent}.vhd")
    qemu_img("convert", "-f", "vpc", "-O", "raw", full, raw)
    assert raw.read_bytes() == data


@pytest.mark.parametrize("purpose", ["nbd", "insecure_nbd"])
def test_libnbd_reads_a_disk_where_the_pool_says_it_can(tmp_path: Path, purpose: str) -> None:
    server = start_server(tmp_path, "--nbd-port", "0")
    try:
        with contextlib.ExitStack() as stack:
            session = logged_in(stack, server.ready["xenapi"], server.user, server.password)
            data, disk = contents(), disk_of(session.xenapi, SIZE)
            moved(server, session, "PUT", "import", bytes(data), vdi=disk)
            assert session.xenapi.VDI.get_nbd_info(disk) == []
            network = session.xenapi.PIF.get_network(session.xenapi.PIF.get_all()[0])
            session.xenapi.network.add_purpose(network, purpose)
            (place,) = session.xenapi.VDI.get_nbd_info(disk)
            assert server.ready["nbd"] == f"nbd://{place['address']}:{place['port']}"
            uri = f"//{place['address']}:{place['port']}/{quote(place['exportname'], safe='')}"
            if purpose == "nbd":
                (tmp_path / "ca-cert.pem").write_text(place["cert"])
                uri = f"nbds:{uri}?tls-certificates={tmp_path}"
            else:
                uri = f"nbd:{uri}"
            copy = tmp_path / "copy.raw"
            done = subprocess.run(["nbdcopy", uri, copy], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            assert copy.read_bytes() == data
            told = subprocess.run(
                ["nbdinfo", "--json", "--no-content", uri], capture_output=True, text=True, timeout=60, check=True
            ).stdout
            assert json.loads(told)["TLS"] == (purpose == "nbd")
    finally:
        assert server.stop() == 0


def test_a_backup_is_restored_from_a_full_and_a_delta(server: ServerProcess, session: Any) -> None:
    data, disk = contents(), disk_of(session.xenapi, SIZE)
    moved(server, session, "PUT", "import", bytes(data), vdi=disk)
    first = session.xenapi.VDI.snapshot(disk)
    data[:3] = b"new"
    moved(server, session, "PUT", "import", bytes(data), vdi=disk)
    second = session.xenapi.VDI.snapshot(disk)
    images = [
        moved(server, session, "GET", "export", vdi=first, format="vhd"),
        moved(server, session, "GET", "export", vdi=second, format="vhd", base=first),
    ]
    restored = disk_of(session.xenapi, SIZE)
    for image in images:
        moved(server, session, "PUT", "import", image, vdi=restored, format="vhd")
    assert moved(server, session, "GET", "export", vdi=restored) == data
