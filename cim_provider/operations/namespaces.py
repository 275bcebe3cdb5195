"""Namespaces created and deleted by clients: as instances of CIM_Namespace or CIM_WBEMServerNamespace, and by
CIM_WBEMServer.CreateWBEMServerNamespace (DSP1092).

Rule 1: creating and deleting namespaces needs the role pool-admin.
Rule 2: of the keys a client gives, Name alone counts: the others are this server's (pywbem sends what it read).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from cim_provider.mapping.method import Result
from cim_provider.operations.api import InstanceWriter, MethodCall, Operation
from cim_provider.operations.static import admit
from cim_provider.profiles.wbem_server import Namespace, ServerNamespace, WBEMServer
from cim_provider.schema.objects import INVALID_PARAMETER, NOT_SUPPORTED, CimError, Instance, Path
from xenapi_core.clock import Later
from xenapi_core.model.schema import POOL_ADMIN, roles_above

if TYPE_CHECKING:
    from cim_provider.mapping.view import View
    from cim_provider.provider import CimProvider

ADMINS = roles_above(POOL_ADMIN)
# What clients that know the standard alone create an instance of, and what becomes of it.
VIEWS: dict[str, type[View]] = {
    name: view for view in (Namespace, ServerNamespace) for name in (view.cim, view.cim.replace("Xen_", "CIM_"))
}


def created(provider: CimProvider, name: object, view: type[View]) -> Path:
    """The path of a new namespace as an instance of `view`. CimError INVALID_PARAMETER, ALREADY_EXISTS."""
    if not isinstance(name, str):
        raise CimError(INVALID_PARAMETER, "a namespace needs a Name")
    made = provider.spaces.create(name)
    return next(one.path for one in provider.extent(view) if one.item == made)


class NamespaceWriter:
    """An InstanceWriter (operations/api.py) of namespaces."""

    def __init__(self, provider: CimProvider) -> None:
        self.provider = provider

    def classes(self) -> dict[str, InstanceWriter]:
        """For CimProvider.writers."""
        return dict.fromkeys(VIEWS, self)

    def create(self, op: Operation, new: Instance) -> Path:
        """CimError ACCESS_DENIED, INVALID_PARAMETER, ALREADY_EXISTS."""
        admit(op.principal, ADMINS, POOL_ADMIN, "namespaces")
        return created(self.provider, new.values.get("Name"), VIEWS[new.classname])

    def modify(self, op: Operation, path: Path, changed: Instance) -> None:
        raise CimError(NOT_SUPPORTED, "a namespace cannot be changed")

    def delete(self, op: Operation, path: Path) -> None:
        """CimError ACCESS_DENIED, NAMESPACE_NOT_EMPTY, NOT_SUPPORTED for the server's own."""
        admit(op.principal, ADMINS, POOL_ADMIN, "namespaces")
        found = self.provider.find(path, op.namespace)
        if found is not None:
            self.provider.spaces.delete(str(found.item))


async def create_namespace(call: MethodCall) -> Result:
    """CIM_WBEMServer.CreateWBEMServerNamespace. CimError ACCESS_DENIED, INVALID_PARAMETER, ALREADY_EXISTS."""
    admit(call.principal, ADMINS, POOL_ADMIN, "namespaces")
    template = call.value("NamespaceTemplate")
    if not isinstance(template, Instance):
        raise CimError(INVALID_PARAMETER, "NamespaceTemplate must be an embedded instance")
    provider = cast("CimProvider", call.provider)
    made = provider.durable(created(provider, template.values.get("Name"), ServerNamespace))
    return Result(0, {"Namespace": await made if isinstance(made, Later) else made})


# Methods of the server itself, by class and method: they are about the provider, which profiles do not know.
SERVER_METHODS: dict[tuple[str, str], Callable[[MethodCall], Awaitable[Result]]] = {
    (WBEMServer.cim, "CreateWBEMServerNamespace"): create_namespace,
}
