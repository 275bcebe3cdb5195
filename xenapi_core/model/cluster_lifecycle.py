"""Operations on clusters and their members: which are allowed when, and the errors otherwise.

Rule 1: a function `refuse_X_operation` knows every reason against an operation; `allowed_X_operations` lists the
        operations without one, so a client is never offered what would be refused.
Rule 2: this module reads records and returns values. It never awaits, so it can be called at render time.
Rule 3: an operation on a cluster or on a member excludes every other one on the same object.
"""

from __future__ import annotations

from xenapi_core.errors import ApiError, E
from xenapi_core.model.enums import CLUSTER_HOST_OPERATION, CLUSTER_OPERATION
from xenapi_core.model.power import Record, other_operation
from xenapi_core.model.schema import Reader


def refuse_cluster_operation(cluster: Record) -> ApiError | None:
    """Why nothing can be requested of `cluster` now, or None. OTHER_OPERATION_IN_PROGRESS."""
    if cluster["current_operations"]:
        return other_operation("Cluster", cluster.ref, cluster["current_operations"])
    return None


def allowed_cluster_operations(reader: Reader, cluster: Record) -> tuple[str, ...]:
    """Operations a client may request on `cluster` now, in schema order."""
    return () if refuse_cluster_operation(cluster) else CLUSTER_OPERATION.values


def refuse_cluster_host_operation(member: Record, operation: str) -> ApiError | None:
    """Why `operation` cannot be requested of `member` now, or None.

    OTHER_OPERATION_IN_PROGRESS; OPERATION_NOT_ALLOWED for what the member is already.
    """
    if member["current_operations"]:
        return other_operation("Cluster_host", member.ref, member["current_operations"])
    if operation == "enable" and member["enabled"]:
        return E.OPERATION_NOT_ALLOWED("The cluster host is enabled already.")
    if operation == "disable" and not member["enabled"]:
        return E.OPERATION_NOT_ALLOWED("The cluster host is disabled already.")
    return None


def allowed_cluster_host_operations(reader: Reader, member: Record) -> tuple[str, ...]:
    """Operations a client may request on `member` now, in schema order."""
    names = CLUSTER_HOST_OPERATION.values
    return tuple(name for name in names if refuse_cluster_host_operation(member, name) is None)
