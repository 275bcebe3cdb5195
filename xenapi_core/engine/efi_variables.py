"""EFI variables of a VM's firmware in the form of VM.NVRAM, and the secure boot keys that a pool puts there.

Rule 1: NVRAM["EFI-variables"] is the base64 of varstored's file: "VARS", version 2, the number of variables, the length
        of the rest; then for each variable its name (UTF-16), its data, GUID, attributes, time stamp and digest.
        Numbers are little-endian, lengths 8 bytes wide. Variables that are not about secure boot stay as they are.
Rule 2: the firmware is in user mode when it has a platform key (PK), else in setup mode (UEFI 2.10, 32.3).
Rule 3: a pool's certificates are a tar archive of PK.auth, KEK.auth, db.auth and dbx.auth, each a signature list behind
        its authentication (EFI_VARIABLE_AUTHENTICATION_2).
Rule 4: firmware takes them from the disk of the host it runs on (host.uefi_certificates, as in xapi). They are written
        there when the pool's change, when the host comes up, and when host.write_uefi_certificates_to_disk asks for it;
        so a host that is down has the old ones until then. No certificates come with this server: there are those of
        the administrator or none.
"""

from __future__ import annotations

import io
import struct
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from xenapi_core.engine.specs import domain_type
from xenapi_core.store.api import Store, Txn

NVRAM_KEY: Final = "EFI-variables"
MOST_BYTES: Final = 1 << 20  # of an archive, and of what one of its files holds

_GLOBAL: Final = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
_IMAGES: Final = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
KEYS: Final[Mapping[str, bytes]] = {"PK": _GLOBAL, "KEK": _GLOBAL, "db": _IMAGES, "dbx": _IMAGES}  # name -> its GUID

_HEAD: Final = struct.Struct("<4sIQQ")
_LENGTH: Final = struct.Struct("<Q")
_TAIL: Final = struct.Struct("<16sI16s32s")
_ATTRIBUTES: Final = 0x27  # non-volatile, at boot and run time, changed by who can authenticate
_AUTH_TIME: Final = 16


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; `tail` is everything that follows its data in the file."""

    name: str
    data: bytes
    tail: bytes

    @property
    def key(self) -> str | None:
        """Which of KEYS it is; None for another variable."""
        return self.name if KEYS.get(self.name) == self.tail[:16] else None


def decode(text: str) -> tuple[Variable, ...]:
    """The variables in a value of NVRAM["EFI-variables"]. ValueError for anything else."""
    blob = b64decode(text, validate=True)
    if len(blob) < _HEAD.size:
        raise ValueError("too short for EFI variables")
    magic, version, count, length = _HEAD.unpack_from(blob)
    if (magic, version) != (b"VARS", 2) or length != len(blob) - _HEAD.size:
        raise ValueError("no EFI variables in varstored's form")
    at, found = _HEAD.size, []

    def take(size: int) -> bytes:
        nonlocal at
        piece = blob[at : at + size]
        if len(piece) != size:
            raise ValueError("EFI variables end early")
        at += size
        return piece

    while at < len(blob):
        name = take(_LENGTH.unpack(take(8))[0]).decode("utf-16-le")
        found.append(Variable(name, take(_LENGTH.unpack(take(8))[0]), take(_TAIL.size)))
    if len(found) != count:
        raise ValueError("not as many EFI variables as announced")
    return tuple(found)


def encode(variables: Iterable[Variable]) -> str:
    """The text of VM.NVRAM for these variables: the inverse of `decode`."""
    pieces = []
    for variable in variables:
        name = variable.name.encode("utf-16-le")
        pieces.append(_LENGTH.pack(len(name)) + name + _LENGTH.pack(len(variable.data)) + variable.data + variable.tail)
    body = b"".join(pieces)
    return b64encode(_HEAD.pack(b"VARS", 2, len(pieces), len(body)) + body).decode()


def pool_keys(archive: str) -> dict[str, Variable]:
    """The keys in a pool's certificates, by name; {} if there are none. ValueError for what is no such archive."""
    if not archive:
        return {}
    data = b64decode(archive, validate=True)
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    found: dict[str, Variable] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                name, _, ending = member.name.rpartition("/")[2].partition(".")
                if name not in KEYS or ending != "auth":
                    continue
                if not member.isreg() or member.issparse() or member.size > MOST_BYTES:
                    raise ValueError(f"{member.name} is no plain file")
                content = tar.extractfile(member)
                assert content is not None  # it is a regular file
                found[name] = _key(name, content.read())
    except tarfile.TarError as error:
        raise ValueError("no tar archive") from error
    return {name: found[name] for name in KEYS if name in found}


def _key(name: str, signed: bytes) -> Variable:
    """What a signed update writes: its time stamp, and what follows the authentication."""
    if len(signed) < _AUTH_TIME + 4:
        raise ValueError(f"{name}.auth is too short")
    end = _AUTH_TIME + int.from_bytes(signed[_AUTH_TIME : _AUTH_TIME + 4], "little")
    if not _AUTH_TIME + 4 < end < len(signed):
        raise ValueError(f"{name}.auth holds no signature list")
    return Variable(name, signed[end:], _TAIL.pack(KEYS[name], _ATTRIBUTES, signed[:_AUTH_TIME], bytes(32)))


def is_uefi(vm: Any) -> bool:
    """Whether a VM boots with EFI firmware."""
    return domain_type(vm) == "hvm" and vm["HVM_boot_params"].get("firmware") == "uefi"


def variables_of(vm: Any) -> tuple[Variable, ...]:
    """The variables of the VM's firmware; () if it never ran, or if they cannot be read."""
    try:
        return decode(vm["NVRAM"].get(NVRAM_KEY, ""))
    except ValueError:
        return ()


def with_keys(vm: Any, keys: Mapping[str, Variable]) -> dict[str, str]:
    """VM.NVRAM with exactly these secure boot keys, and its other variables."""
    others = (variable for variable in variables_of(vm) if variable.key is None)
    return {**vm["NVRAM"], NVRAM_KEY: encode((*others, *keys.values()))}


def outdated(vm: Any, keys: Mapping[str, Variable]) -> bool:
    """Whether the pool has other keys than a firmware in user mode, whose owner therefore may want them."""
    mine = {variable.key: variable.data for variable in variables_of(vm) if variable.key is not None}
    return "PK" in mine and "PK" in keys and any(mine.get(name) != key.data for name, key in keys.items())


def write_to_disk(store: Store, txn: Txn, host: str) -> None:
    """The host has on its disk what the pool has (rule 4)."""
    for pool in store.all("pool"):
        certificates = txn.get(pool, "pool")["custom_uefi_certificates"]
        if txn.get(host, "host")["uefi_certificates"] != certificates:
            txn.update(host, uefi_certificates=certificates)


def boot_firmware(store: Store, txn: Txn, ref: str) -> None:
    """A VM has booted: firmware that never ran takes the keys on the disk of its host; firmware whose update was
    requested, or is automatic, takes new ones."""
    vm = txn.get(ref, "VM")
    if not is_uefi(vm):
        return
    pool = next(iter(store.all("pool").values()))
    keys = pool_keys(txn.get(vm["resident_on"], "host")["uefi_certificates"])
    if not vm["NVRAM"].get(NVRAM_KEY):
        txn.update(ref, NVRAM=with_keys(vm, keys), secureboot_certificates_state="ok")
        return
    state = vm["secureboot_certificates_state"]
    wanted = state == "update_on_boot" or (
        state == "update_available" and pool["auto_update_vm_secureboot_certificates"]
    )
    if wanted and outdated(vm, keys):
        txn.update(ref, NVRAM=with_keys(vm, keys), secureboot_certificates_state="ok")
