"""An index from keys to objects, used for names, relations and followed references.

Rule 1: the objects of a key come in the order of their creation, whenever they got the key.
Rule 2: an entry exists exactly as long as its object lives and has the key; keys may be references to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping


class OrderedIndex:
    """key -> references. `serials` gives every live object its place in the order of creation; the store owns it.

    Adding and removing take constant time. An object that gets a key after a younger one did (a VM that moves to
    another host) makes the next `get` of that key sort once.
    """

    __slots__ = ("_refs", "_serials", "_unsorted")

    def __init__(self, serials: Mapping[str, int]) -> None:
        self._serials = serials
        self._refs: dict[str, dict[str, None]] = {}
        self._unsorted: set[str] = set()

    def add(self, key: str, ref: str) -> None:
        """`ref`, which must have a serial, has `key` from now on."""
        refs = self._refs.get(key)
        if refs is None:
            self._refs[key] = {ref: None}
            return
        if self._serials[next(reversed(refs))] > self._serials[ref]:
            self._unsorted.add(key)
        refs[ref] = None

    def remove(self, key: str, ref: str) -> None:
        """`ref` no longer has `key`. KeyError if it had not."""
        refs = self._refs[key]
        del refs[ref]
        if not refs:
            del self._refs[key]
            self._unsorted.discard(key)

    def get(self, key: str) -> tuple[str, ...]:
        """The objects that have `key`, oldest first."""
        refs = self._refs.get(key)
        if refs is None:
            return ()
        if key in self._unsorted:
            refs = self._refs[key] = dict.fromkeys(sorted(refs, key=self._serials.__getitem__))
            self._unsorted.discard(key)
        return tuple(refs)

    def __len__(self) -> int:
        """How many keys have an object."""
        return len(self._refs)
