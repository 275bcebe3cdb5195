"""The class pool_patch: hotfixes of old releases, as the pool has them."""

from __future__ import annotations

from xenapi_core.ids import NULL_REF
from xenapi_core.model.enums import AFTER_APPLY_GUIDANCE
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, STATIC, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("pool_patch"))

POOL_PATCH = Class(
    "pool_patch",
    "A hotfix uploaded to the pool; pool_update replaces it.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, STATIC, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, STATIC, "Free text shown to people.", default="", path="name/description"),
        Field("version", STRING, STATIC, "Version of the patch.", default=""),
        Field("filename", STRING, RO, "File of the patch on the coordinator.", default="", internal=True),
        Field("size", INT, RO, "Size of the file, in bytes.", default=0),
        Field("pool_applied", BOOL, RO, "Whether the patch is on every host of the pool.", default=False),
        Field("host_patches", Set(Ref("host_patch")), RO, "Which hosts have the patch.", default=(),
              inverse="host_patch.pool_patch"),
        Field("after_apply_guidance", Set(AFTER_APPLY_GUIDANCE), RO, "What to restart once the patch is on.",
              default=()),
        Field("pool_update", Ref("pool_update"), STATIC, "The update this patch is a view of, or null.",
              default=NULL_REF),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("apply", (me, Param("host", Ref("host"), "the host")), STRING,
                "Put the patch on one host; gives the output of its program.", role=POOL_OPERATOR, state="deprecated"),
        Message("pool_apply", (me,), None, "Put the patch on all hosts of the pool.", role=POOL_OPERATOR,
                state="deprecated"),
        Message("precheck", (me, Param("host", Ref("host"), "the host")), STRING,
                "Run the patch's own check on a host; gives its output.", role=POOL_OPERATOR, state="deprecated"),
        Message("clean", (me,), None, "Remove the file of the patch from the coordinator.", role=POOL_OPERATOR,
                state="deprecated"),
        Message("pool_clean", (me,), None, "Remove the file of the patch from all hosts.", role=POOL_OPERATOR,
                state="deprecated"),
        Message("destroy", (me,), None, "Remove the file and the record of a patch that is on no host.",
                role=POOL_OPERATOR, state="deprecated"),
        Message("clean_on_host", (me, Param("host", Ref("host"), "the host")), None,
                "Remove the file of the patch from one host.", role=POOL_OPERATOR, state="deprecated"),
    ),
    state="deprecated",
)
# fmt: on
