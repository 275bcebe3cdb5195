"""Generates uuids and OpaqueRefs: random in production, reproducible under a seed.

Rule 1: an identity is never given out twice by one factory, seeded or not: a counter is part of every seeded name.
Rule 2: session references are secrets: always random, whatever the seed.
"""

from __future__ import annotations

import hashlib
import uuid

NULL_REF = "OpaqueRef:NULL"
_NAMESPACE = uuid.UUID("6f0c1a52-6a5b-5d0e-9a36-2f1d6c0b7e11")


class Ids:
    """A factory of identities. `seed=None`: random; otherwise the n-th identity depends on seed and n alone.

    `start` continues a counter that was persisted, so that a restarted server with the same seed never repeats one.
    """

    def __init__(self, seed: str | int | None = None, start: int = 0) -> None:
        self.seed = seed
        self.count = start
        self._named: set[str] = set()

    def uuid(self) -> str:
        if self.seed is None:
            return str(uuid.uuid4())
        self.count += 1
        return str(uuid.uuid5(_NAMESPACE, f"{self.seed}/{self.count}"))

    def named(self, path: str) -> str:
        """The uuid of the thing called `path` in a declared inventory: the same for the same seed, always.

        Each path can be asked for once per factory (Rule 1). A factory without seed gives a random uuid.
        """
        if path in self._named:
            raise ValueError(f"{path} already has an identity")
        self._named.add(path)
        if self.seed is None:
            return str(uuid.uuid4())
        return str(uuid.uuid5(_NAMESPACE, f"{self.seed}:{path}"))

    def ref(self) -> str:
        """A fresh reference, `OpaqueRef:<uuid>`; the uuid inside is not the object's uuid."""
        return "OpaqueRef:" + self.uuid()

    def secret_ref(self) -> str:
        """An unguessable reference, for sessions (Rule 2)."""
        return f"OpaqueRef:{uuid.uuid4()}"

    def mac(self, mac_seed: str, device: str) -> str:
        """The MAC of NIC `device` of a VM with `mac_seed`: locally administered, unicast, stable for both inputs."""
        digest = bytearray(hashlib.md5(f"{mac_seed}/{device}".encode(), usedforsecurity=False).digest()[:6])
        digest[0] = (digest[0] & 0xFC) | 0x02
        return ":".join(f"{octet:02x}" for octet in digest)


def is_uuid(text: str) -> bool:
    """Whether that is a uuid as they are written here: lower-case hexadecimal digits in five groups."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def dummy_task_ref(ids: Ids, name: str) -> str:
    """The reference of the task of a synchronous call: current_operations shows it, but it is no object."""
    return f"DummyRef:|{ids.uuid()}|{name}"


def is_null(ref: object) -> bool:
    """Whether `ref` means "no object": OpaqueRef:NULL, or the empty string of API 1.0 clients."""
    return ref == NULL_REF or ref == ""
