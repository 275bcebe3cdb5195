"""Mandatory access control of API 1.0: XSPolicy, and ACMPolicy for the kind of policy that there was."""

from __future__ import annotations

from xenapi_core.errors import E
from xenapi_core.model.schema import READ_ONLY, RO, RW, Class, Field, Message, Param
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, Ref

# fmt: off
xspolicy = Param("self", Ref("XSPolicy"))
acm = Param("self", Ref("ACMPolicy"))
kind = Param("type", INT, "kind of policy")
resource = Param("resource", STRING, "the resource")

FIELDS = (
    Field("uuid", STRING, RO, "Unique identifier.", default=""),
    Field("repr", STRING, RW, "The policy as text (XML).", default=""),
    Field("type", INT, RO, "Kind of policy, as a bit mask.", default=0),
    Field("flags", INT, RO, "Whether it is loaded, and used at boot, as a bit mask.", default=0),
)

XSPOLICY = Class(
    "XSPolicy",
    "The security policy of a host: which VMs may share resources.",
    fields=FIELDS,
    messages=(
        Message("get_xstype", (), INT, "Kinds of policy that the host can enforce, as a bit mask.", role=READ_ONLY),
        Message("set_xspolicy", (kind, Param("repr", STRING, "the policy"), Param("flags", INT, "load, use at boot"),
                Param("overwrite", BOOL, "replace the policy there is")), STRING_MAP, "Set the policy of the host.",
                errors=(E.SECURITY_ERROR,)),
        Message("reset_xspolicy", (kind,), STRING_MAP, "Go back to the policy that came with the host.",
                errors=(E.SECURITY_ERROR,)),
        Message("get_xspolicy", (), STRING_MAP, "State of the host's policy.", role=READ_ONLY),
        Message("rm_xsbootpolicy", (), None, "Have the host boot without a policy.", errors=(E.SECURITY_ERROR,)),
        Message("get_labeled_resources", (), STRING_MAP, "Resources that have a label, each with it.",
                role=READ_ONLY),
        Message("set_resource_label", (resource, Param("label", STRING, "the new label"),
                Param("old_label", STRING, "the label it has")), None, "Give a resource a label.",
                errors=(E.SECURITY_ERROR,)),
        Message("get_resource_label", (resource,), STRING, "The label of a resource.", role=READ_ONLY),
        Message("can_run", (Param("security_label", STRING, "the label"),), INT,
                "Whether a VM of that label could run now; 0 if it could.", errors=(E.SECURITY_ERROR,),
                role=READ_ONLY),
        Message("activate_xspolicy", (xspolicy, Param("flags", INT, "load, use at boot")), INT, "Put a policy in force.",
                errors=(E.SECURITY_ERROR,), hidden=True),
        Message("getenforce", (), INT, "Whether the policy is enforced.", role=READ_ONLY, hidden=True),
        Message("setenforce", (Param("mode", INT, "1 to enforce"),), None, "Enforce the policy, or only log.",
                errors=(E.SECURITY_ERROR,), hidden=True),
    ),
)

ACMPOLICY = Class(
    "ACMPolicy",
    "A security policy of the kind ACM.",
    fields=FIELDS,
    messages=(
        Message("get_header", (acm,), STRING_MAP, "Name, version and date of the policy.", role=READ_ONLY),
        Message("get_xml", (acm,), STRING, "The policy as XML.", role=READ_ONLY),
        Message("get_map", (acm,), STRING, "The table of labels, as text.", role=READ_ONLY),
        Message("get_binary", (acm,), STRING, "The policy as the hypervisor reads it, in base64.", role=READ_ONLY),
        Message("get_enforced_binary", (acm,), STRING, "The policy the hypervisor enforces, in base64.",
                role=READ_ONLY),
        Message("get_VM_ssidref", (Param("vm", Ref("VM"), "the VM"),), STRING, "Number of the VM's label.",
                role=READ_ONLY),
    ),
)
# fmt: on
