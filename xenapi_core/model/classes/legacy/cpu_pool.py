"""The class cpu_pool of API 1.0: physical CPUs set aside for some VMs."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import POOL_OPERATOR, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref, Set

# fmt: off
me = Param("self", Ref("cpu_pool"))
cpu = Param("host_cpu", Ref("host_cpu"), "the CPU")

CPU_POOL = Class(
    "cpu_pool",
    "Physical CPUs of a host, set aside for some VMs and scheduled apart from the others.",
    fields=(
        Field("uuid", STRING, RO, "Unique identifier.", default=""),
        Field("name_label", STRING, RW, "Name shown to people.", default="", path="name/label"),
        Field("name_description", STRING, RW, "Free text shown to people.", default="", path="name/description"),
        Field("resident_on", Ref("host"), RO, "Host whose CPUs they are.", default=NULL_REF),
        Field("auto_power_on", BOOL, RW, "Whether it is activated when the host starts.", default=False),
        Field("started_VMs", Set(Ref("VM")), RO, "VMs that run on these CPUs.", default=(), inverse="VM.cpu_pool"),
        Field("ncpu", INT, RW, "How many CPUs it shall have.", default=1),
        Field("sched_policy", STRING, RW, "Scheduler of these CPUs.", default=""),
        Field("proposed_CPUs", Set(STRING), RW, "Numbers of the CPUs to take when it is activated.", default=()),
        Field("host_CPUs", Set(Ref("host_cpu")), RO, "CPUs it has now.", default=()),
        Field("activated", BOOL, RO, "Whether it is active.", default=False),
        Field("other_config", STRING_MAP, RW, "Free-form settings of clients.", default={}),
    ),
    messages=(
        Message("activate", (me,), None, "Take the CPUs and begin to schedule VMs on them.",
                errors=(E.POOL_BAD_STATE, E.INSUFFICIENT_CPUS, E.UNKOWN_SCHED_POLICY), role=POOL_OPERATOR),
        Message("deactivate", (me,), None, "Give the CPUs back; no VM may run on them.", errors=(E.POOL_BAD_STATE,),
                role=POOL_OPERATOR),
        Message("add_host_CPU_live", (me, cpu), None, "Take one more CPU while it is active.",
                errors=(E.POOL_BAD_STATE, E.INVALID_CPU), role=POOL_OPERATOR),
        Message("remove_host_CPU_live", (me, cpu), None, "Give one CPU back while it is active.",
                errors=(E.POOL_BAD_STATE, E.INVALID_CPU, E.LAST_CPU_NOT_REMOVEABLE), role=POOL_OPERATOR),
        Message("add_to_proposed_CPUs", (me, Param("cpu", STRING, "its number")), None,
                "Add a CPU to those to take when it is activated.", errors=(E.POOL_BAD_STATE,), role=POOL_OPERATOR,
                hidden=True),
        Message("remove_from_proposed_CPUs", (me, Param("cpu", STRING, "its number")), None,
                "Remove a CPU from those to take when it is activated.", errors=(E.POOL_BAD_STATE,),
                role=POOL_OPERATOR, hidden=True),
    ),
    creatable=True,
)
# fmt: on
