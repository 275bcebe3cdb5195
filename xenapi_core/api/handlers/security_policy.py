"""Mandatory access control of API 1.0: no hypervisor here enforces it, so there is no policy and nothing has a label.

Rule 1: queries answer as a server without a policy does; what needs a policy is refused as such a server refuses it:
        SECURITY_ERROR with its error number and text.
Rule 2: a label names its policy, "ACM:policy:label", and can only be given while that policy is loaded.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import ApiError, E

ACM: Final = "ACM"  # the one kind of policy whose labels API 1.0 can write


class Problem(IntEnum):
    """Errors of the calls about policies (libxen's xen_xspolicy.h); on the wire they are negative."""

    BAD_LABEL_FORMAT = 0x1007
    RESOURCE_NOT_LABELED = 0x1008
    WRONG_POLICY_TYPE = 0x100A
    POLICY_TYPE_UNSUPPORTED = 0x100F
    BAD_LABEL = 0x1014
    POLICY_NOT_LOADED = 0x1016


_WORDS: Final = {
    Problem.BAD_LABEL_FORMAT: "A label is ACM:policy:label",
    Problem.RESOURCE_NOT_LABELED: "The resource has no label",
    Problem.WRONG_POLICY_TYPE: "Labels are of policies of type ACM",
    Problem.POLICY_TYPE_UNSUPPORTED: "The hypervisor enforces no policy of that type",
    Problem.BAD_LABEL: "No policy is loaded that has the label",
    Problem.POLICY_NOT_LOADED: "No policy is loaded",
}


def _problem(problem: Problem) -> ApiError:
    return E.SECURITY_ERROR(str(-problem), _WORDS[problem])


def _refused_label(label: str) -> ApiError:
    """Why a label cannot be used (rule 2)."""
    kind, *names = label.split(":")
    if len(names) != 2:
        return _problem(Problem.BAD_LABEL_FORMAT)
    if kind != ACM:
        return _problem(Problem.WRONG_POLICY_TYPE)
    return _problem(Problem.BAD_LABEL if all(names) else Problem.BAD_LABEL_FORMAT)


# The policy


@handles("XSPolicy.get_xstype", "XSPolicy.getenforce")
def get_nothing(call: CallContext) -> int:
    """0: no type of policy can be enforced, and nothing is."""
    return 0


@handles("XSPolicy.get_xspolicy")
def get_xspolicy(call: CallContext) -> dict[str, str]:
    """The state of a host without a policy: type 0, no reference, no error."""
    return {"xs_ref": "", "repr": "", "type": "0", "flags": "0", "version": "", "errors": "", "xserr": "0"}


@handles("XSPolicy.set_xspolicy")
def set_xspolicy(call: CallContext, kind: int, policy: str, flags: int, overwrite: bool) -> dict[str, str]:
    """SECURITY_ERROR."""
    raise _problem(Problem.POLICY_TYPE_UNSUPPORTED)


@handles("XSPolicy.reset_xspolicy", "XSPolicy.setenforce")
def change_policy(call: CallContext, value: int) -> dict[str, str]:
    """SECURITY_ERROR."""
    raise _problem(Problem.POLICY_TYPE_UNSUPPORTED)


@handles("XSPolicy.rm_xsbootpolicy")
def rm_xsbootpolicy(call: CallContext) -> None:
    """SECURITY_ERROR: the host boots without one."""
    raise _problem(Problem.POLICY_NOT_LOADED)


@handles("XSPolicy.activate_xspolicy")
def activate_xspolicy(call: CallContext, ref: str, flags: int) -> int:
    """HANDLE_INVALID, as there is no policy; SECURITY_ERROR."""
    call.get(ref, "XSPolicy")
    raise _problem(Problem.POLICY_TYPE_UNSUPPORTED)


@handles(*(f"ACMPolicy.get_{what}" for what in ("header", "xml", "map", "binary", "enforced_binary")))
def get_part(call: CallContext, ref: str) -> str:
    """HANDLE_INVALID, as there is no policy; SECURITY_ERROR."""
    call.get(ref, "ACMPolicy")
    raise _problem(Problem.POLICY_NOT_LOADED)


@handles("ACMPolicy.get_VM_ssidref")
def get_ssidref(call: CallContext, vm: str) -> str:
    """SECURITY_ERROR: a policy numbers the labels."""
    call.get(vm, "VM")
    raise _problem(Problem.POLICY_NOT_LOADED)


@handles("XSPolicy.can_run")
def can_run(call: CallContext, label: str) -> int:
    """SECURITY_ERROR for every label, because none is known."""
    raise _refused_label(label)


# Labels


@handles("XSPolicy.get_labeled_resources")
def get_labeled_resources(call: CallContext) -> dict[str, str]:
    """No resource has a label."""
    return {}


@handles("XSPolicy.get_resource_label")
def get_resource_label(call: CallContext, resource: str) -> str:
    """Empty: it has no label."""
    return ""


@handles("XSPolicy.set_resource_label")
def set_resource_label(call: CallContext, resource: str, label: str, old_label: str) -> None:
    """SECURITY_ERROR, also for taking a label away."""
    raise _refused_label(label) if label else _problem(Problem.RESOURCE_NOT_LABELED)


@handles("VM.get_security_label", "VIF.get_security_label", "VDI.get_security_label")
def get_security_label(call: CallContext, ref: str) -> str:
    """Empty: it has no label."""
    call.get(ref)
    return ""


@handles("VM.set_security_label")
def set_vm_label(call: CallContext, ref: str, label: str, old_label: str) -> int:
    """The number of the new label. SECURITY_ERROR, also for taking a label away."""
    raise _not_labelled(call, ref, label)


@handles("VIF.set_security_label", "VDI.set_security_label")
def set_device_label(call: CallContext, ref: str, label: str, old_label: str) -> None:
    """SECURITY_ERROR, also for taking a label away."""
    raise _not_labelled(call, ref, label)


def _not_labelled(call: CallContext, ref: str, label: str) -> ApiError:
    call.get(ref)
    return _refused_label(label) if label else _problem(Problem.RESOURCE_NOT_LABELED)
