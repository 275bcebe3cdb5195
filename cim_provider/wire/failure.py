"""A failed operation as a CIM_Error instance (DSP0200 clause 5.2.7), which clients get beside the status code.

The message identifier is the error code of the pool where the pool refused, else the name of the CIM status.
"""

from __future__ import annotations

from typing import Final

from cim_provider.schema.objects import (
    ACCESS_DENIED,
    METHOD_NOT_AVAILABLE,
    METHOD_NOT_FOUND,
    NOT_SUPPORTED,
    SERVER_LIMITS_EXCEEDED,
    CimError,
    Instance,
)
from xenapi_core.errors import ApiError

# fmt: off
_NAMES: Final = (
    "", "FAILED", "ACCESS_DENIED", "INVALID_NAMESPACE", "INVALID_PARAMETER", "INVALID_CLASS", "NOT_FOUND",
    "NOT_SUPPORTED", "CLASS_HAS_CHILDREN", "CLASS_HAS_INSTANCES", "INVALID_SUPERCLASS", "ALREADY_EXISTS",
    "NO_SUCH_PROPERTY", "TYPE_MISMATCH", "QUERY_LANGUAGE_NOT_SUPPORTED", "INVALID_QUERY", "METHOD_NOT_AVAILABLE",
    "METHOD_NOT_FOUND", "UNEXPECTED_RESPONSE", "INVALID_RESPONSE_DESTINATION", "NAMESPACE_NOT_EMPTY",
    "INVALID_ENUMERATION_CONTEXT", "INVALID_OPERATION_TIMEOUT", "PULL_HAS_BEEN_ABANDONED", "PULL_CANNOT_BE_ABANDONED",
    "FILTERED_ENUMERATION_NOT_SUPPORTED", "CONTINUATION_ON_ERROR_NOT_SUPPORTED", "SERVER_LIMITS_EXCEEDED",
    "SERVER_IS_SHUTTING_DOWN", "QUERY_FEATURE_NOT_SUPPORTED",
)
# fmt: on
_SOFTWARE, _SECURITY, _OVERSUBSCRIPTION, _UNSUPPORTED = 4, 7, 8, 10
_ERROR_TYPE: Final = {
    ACCESS_DENIED: _SECURITY,
    SERVER_LIMITS_EXCEEDED: _OVERSUBSCRIPTION,
    **dict.fromkeys((NOT_SUPPORTED, METHOD_NOT_AVAILABLE, METHOD_NOT_FOUND, 14, 25, 26, 29), _UNSUPPORTED),
}
_MINOR: Final = 4  # the operation failed; nothing else did
_TYPES: Final = {"ErrorType": "uint16", "PerceivedSeverity": "uint16", "CIMStatusCode": "uint32"}


def status_name(status: int) -> str:
    """CIM_ERR_... of a status code."""
    known = 0 < status < len(_NAMES)
    return f"CIM_ERR_{_NAMES[status]}" if known else f"CIM status {status}"


def error_instance(error: CimError, cause: ApiError | None = None) -> Instance:
    """The CIM_Error for `error`; `cause` is what the pool said, if the pool refused."""
    values: dict[str, object] = {
        "ErrorType": _ERROR_TYPE.get(error.status, _SOFTWARE),
        "OwningEntity": "xencim" if cause is None else "Xen-API",
        "MessageID": status_name(error.status) if cause is None else cause.code,
        "Message": error.text,
        "PerceivedSeverity": _MINOR,
        "CIMStatusCode": error.status,
        "CIMStatusCodeDescription": status_name(error.status),
    }
    if cause is not None:
        values["MessageArguments"] = cause.params
        if cause.row.hint:
            values["RecommendedActions"] = (cause.row.hint,)
    return Instance("CIM_Error", values, None, {**dict.fromkeys(values, "string"), **_TYPES})
