"""The class VTPM: virtual trusted platform modules."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import PERSISTENCE_BACKEND, VTPM_OPERATIONS
from xenapi_core.model.passthrough_lifecycle import allowed_vtpm_operations
from xenapi_core.model.schema import LOCAL_ROOT, RO, STATIC, VM_ADMIN, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, STRING, Map, Ref, Set

# fmt: off
me = Param("self", Ref("VTPM"))

VTPM = Class(
    "VTPM",
    "A trusted platform module of one VM.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("allowed_operations", Set(VTPM_OPERATIONS), RO, "Operations that may be requested now.", default=(),
              computed=allowed_vtpm_operations, follows={"VM": ("power_state",)}, persist=False),
        Field("current_operations", Map(STRING, VTPM_OPERATIONS), RO, "Operations in progress, by task.", default={},
              persist=False),
        Field("VM", Ref("VM"), STATIC, "VM that has the module."),
        Field("backend", Ref("VM"), RO, "Domain in which the module's back end runs, or null.", default=NULL_REF),
        Field("persistence_backend", PERSISTENCE_BACKEND, RO, "Where the state of the module is kept.", default="xapi",
              state="prototyped"),
        Field("is_unique", BOOL, STATIC,
              "Whether the module must never exist twice, so that a clone of the VM gets a fresh one.", default=False,
              state="prototyped"),
        Field("is_protected", BOOL, RO, "Whether the state of the module is kept encrypted.", default=False,
              state="prototyped"),
        Field("contents", Ref("secret"), RO, "The secret that holds the state of the module.", default=NULL_REF,
              internal=True, state="prototyped"),
    ),
    messages=(
        Message("create", (Param("vM", Ref("VM")), Param("is_unique", BOOL, "never to exist twice")), Ref("VTPM"),
                "Give a halted VM a module.", role=VM_ADMIN, state="prototyped"),
        Message("destroy", (me,), None, "Remove the module and its state from a halted VM.", role=VM_ADMIN,
                operation="destroy", state="prototyped"),
        Message("get_contents", (me,), STRING, "The state of the module.", role=LOCAL_ROOT, state="prototyped",
                hidden=True, secret=True),
        Message("set_contents", (me, Param("contents", STRING, "the state")), None, "Store the state of the module.",
                role=LOCAL_ROOT, state="prototyped", hidden=True, secret=True),
    ),
    state="prototyped",
)
# fmt: on
