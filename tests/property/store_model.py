"""What a store must answer, the slow way: the whole history is kept, and every answer is worked out by searching."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import RO, RW, Class, Field, Schema
from xenapi_core.model.types import BOOL, INT, STRING, Ref, Set

UUID = Field("uuid", STRING, RO, "", default="")
NAME = Field("name_label", STRING, RW, "", default="")


def _computed(name: str, **follows: tuple[str, ...]) -> Field:
    return Field(name, INT, RO, "", default=0, computed=lambda reader, version: 0, follows=follows)


def _inverse(name: str, inverse: str) -> Field:
    return Field(name, Set(Ref(inverse.split(".")[0])), RO, "", inverse=inverse)


SCHEMA = Schema(
    Class("VM", "", (
        UUID, NAME, Field("n", INT, RW, "", default=0), Field("live", INT, RW, "", default=0, persist=False),
        Field("metrics", Ref("Metrics"), RO, "", default=NULL_REF),
        Field("parent", Ref("VM"), RO, "", default=NULL_REF),
        Field("groups", Set(Ref("Group")), RW, "", default=()),
        _inverse("children", "VM.parent"), _inverse("VBDs", "VBD.VM"),
        _computed("operations", metrics=("level",), VBDs=("empty",)),
    )),
    Class("VBD", "", (
        UUID, Field("VM", Ref("VM"), RO, "", default=NULL_REF), Field("empty", BOOL, RW, "", default=False),
        _computed("busy", VM=("n", "VBDs")),
    )),
    Class("Metrics", "", (UUID, Field("level", INT, RW, "", default=0))),
    Class("Group", "", (UUID, NAME, _inverse("VMs", "VM.groups"), _computed("summary", VMs=("name_label",)))),
    Class("Task", "", (UUID, NAME, Field("VM", Ref("VM"), RO, "", default=NULL_REF)), persist=False),
    Class("Note", "", (UUID,), in_database=False),
    Class("Ghost", "", (UUID,), in_database=False, has_records=False),
)  # fmt: skip
NAMED = ("VM", "Group", "Task")
INVERSES = {
    (cls.name, f.name): f.inverse.split(".") for cls in SCHEMA.classes.values() for f in cls.fields if f.inverse
}

Objects = dict[str, tuple[str, dict[str, Any]]]  # in creation order


def members(objects: Objects, ref: str, cls: str, inverse: str) -> tuple[str, ...]:
    """Who points at `ref`, oldest first."""
    owner, field = INVERSES[cls, inverse]
    found = []
    for other, (other_cls, values) in objects.items():
        if other_cls == owner:
            targets = values[field] if isinstance(values[field], tuple) else (values[field],)
            if ref in targets:
                found.append(other)
    return tuple(found)


def _field(objects: Objects, ref: str, field: str) -> Any:
    if ref not in objects:
        return None
    cls, values = objects[ref]
    return members(objects, ref, cls, field) if (cls, field) in INVERSES else values[field]


def face(objects: Objects, ref: str) -> Any:
    """All that a client or a computed field may see of an object: it has a new version exactly when this changes."""
    cls, values = objects[ref]
    seen: list[Any] = [dict(values)]
    for field in SCHEMA[cls].fields:
        if field.inverse:
            seen.append(members(objects, ref, cls, field.name))
        for via, names in field.follows.items():
            there = _field(objects, ref, via)
            others = there if isinstance(there, tuple) else (there,)
            seen.extend((other, [_field(objects, other, name) for name in names]) for other in others)
    return seen


class History:
    """The objects after every revision, and what changed in each."""

    def __init__(self) -> None:
        self.states: list[Objects] = [{}]
        self.changed: list[set[str]] = [set()]  # per revision: objects with a new version
        self.deletions: list[int] = []  # the revision of each deletion, in order

    def advance(self, objects: Objects, touched: set[str]) -> None:
        """`objects` are as after a commit, which makes a revision only if something changed."""
        before = self.states[-1]
        changed = {r for r in objects if r not in before or r in touched or face(objects, r) != face(before, r)}
        gone = [r for r in before if r not in objects]
        if changed or gone:
            self.states.append({ref: (cls, dict(values)) for ref, (cls, values) in objects.items()})
            self.changed.append(changed)
            self.deletions.extend([self.revision] * len(gone))

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    def changes(self, since: int) -> set[tuple[str, str, int]]:
        """(operation, reference, revision of the last change) of everything that differs from `since`."""
        then, now = self.states[since], self.states[-1]
        found = set()
        for ref in then.keys() | now.keys():
            revisions = [r for r in range(since + 1, self.revision + 1) if ref in self.changed[r]]
            if ref not in now:
                gone = next(r for r in range(self.revision, since, -1) if ref in self.states[r - 1])
                found.add(("del", ref, gone))
            elif ref not in then:
                found.add(("add", ref, revisions[-1]))
            elif revisions:
                found.add(("mod", ref, revisions[-1]))
        return found


# One operation of a random transaction: the numbers choose among the objects there are.
OPERATION = st.tuples(
    st.sampled_from(("create", "create", "update", "update", "point", "point", "delete", "touch")),
    st.sampled_from(("VM", "VM", "VBD", "VBD", "Metrics", "Group", "Task", "Note")),
    st.integers(0, 7),
    st.integers(0, 7),
)
WALK = st.lists(st.lists(OPERATION, min_size=1, max_size=4), min_size=4, max_size=16)
