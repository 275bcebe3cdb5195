"""Names given by people as keys, for clients of systems that identify machines by name alone.

Rule 1: a name leads to one record or to none. A name that several records have leads to none: the key of each of them
        is its uuid then, and so is that of a record whose name is empty or the uuid of another one. So a path never
        comes to mean another machine, but it may stop leading to one.
Rule 2: an instance with such a key is rendered again when its name becomes unique, or ceases to be (Subject.asked).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from cim_provider.mapping.rule import Kind, Rule
from cim_provider.mapping.subject import Pool, Subject

if TYPE_CHECKING:
    from xenapi_core.store.api import Version


def _everything(version: Version) -> bool:
    return True


class Names:
    """The names of the records of one class in one pool; those for which `counts` does not hold have none."""

    def __init__(
        self, pool: Pool, cls: str, field: str = "name_label", counts: Callable[[Version], bool] = _everything
    ) -> None:
        self.pool, self.cls, self.field, self._counts = pool, cls, field, counts
        self._at = -1
        self._refs: dict[str, str | None] = {}  # None: several have it

    def _owners(self) -> dict[str, str | None]:
        now = self.pool.class_revision(self.cls)
        if now != self._at:
            self._refs, self._at = {}, now
            for ref, version in self.pool.all(self.cls).items():
                name = version.values[self.field]
                if name and self._counts(version):
                    self._refs[name] = None if name in self._refs else ref
        return self._refs

    def owns(self, ref: str, name: str) -> bool:
        """Whether a record is the one that `name` leads to."""
        return self._owners().get(name) == ref and self.pool.by_uuid(self.cls, name) is None

    def of(self, subject: Subject) -> str:
        """The name of the subject's record as a key."""
        name = str(subject[self.field])
        return name if subject.asked(partial(self.owns, subject.ref, name)) else str(subject["uuid"])

    def record(self, name: object) -> Version | None:
        """The record that is called so, or was before its name became its own."""
        found = self.pool.by_uuid(self.cls, str(name))
        if found is not None:
            return found
        ref = self._owners().get(str(name))
        return None if ref is None else self.pool.find(ref)

    def rule(self) -> Rule:
        """The name of the view's own record; as a key it leads to the record."""
        return text(self.of, lambda pool, value: self.record(value))

    def via(self, reference: str) -> Rule:
        """The name of the record that a reference field points at; NULL if it points at nothing."""

        def read(subject: Subject) -> str | None:
            target = subject.follow(reference)
            return None if target is None else self.of(target)

        return text(read)


def text(
    read: Callable[[Subject], str | None], record_of: Callable[[Pool, object], Version | None] | None = None
) -> Rule:
    """A rule for a string, which may be a key that leads to a record."""
    return Rule(read, lambda schema, cls: Kind("string"), record_of=record_of)


def prefixed(prefix: str, rule: Rule) -> Rule:
    """A rule's text after a fixed beginning."""

    def read(subject: Subject) -> str | None:
        value = rule.read(subject)
        return None if value is None else f"{prefix}{value}"

    def record_of(pool: Pool, value: object) -> Version | None:
        found, plain = rule.record_of, str(value)
        return found(pool, plain.removeprefix(prefix)) if found is not None and plain.startswith(prefix) else None

    return text(read, None if rule.record_of is None else record_of)
