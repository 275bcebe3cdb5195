"""A provider that clients write to: pywbem over a small pool, without sockets; users are called by their role."""

from __future__ import annotations

from pathlib import Path as File

import pywbem
from cim_kit import World, _Adapter
from cim_pool import SmallPool, graph

from cim_provider.provider import CimProvider
from cim_provider.repository.disk import Disk
from cim_provider.service import wbem_app
from xenapi_core.bridge.source import Principal
from xenapi_core.model.schema import POOL_ADMIN


class RepositoryWorld(World):
    """`state` is a directory to keep things in. `restarted` is another server over the same pool and directory."""

    def __init__(self, state: File | None = None, pool: SmallPool | None = None) -> None:
        self.pool = SmallPool() if pool is None else pool
        self.pool.source.known = self._known  # type: ignore[method-assign]
        self.disk = None if state is None else Disk(state)
        self.provider: CimProvider = CimProvider(self.pool.source, graph(), self.disk)
        self.app = wbem_app(self.provider)

    def _known(self, user: str, password: str) -> Principal | None:
        return Principal(user, frozenset({user}), "wbem")

    def client(self, namespace: str = "root/cimv2", role: str = POOL_ADMIN) -> pywbem.WBEMConnection:
        connection = pywbem.WBEMConnection("http://localhost", (role, "x"), default_namespace=namespace)
        connection.session.mount("http://", _Adapter(self))
        return connection

    def restarted(self) -> RepositoryWorld:
        assert self.disk is not None
        self.disk.close()
        return RepositoryWorld(self.disk.path.parent, self.pool)


def status(error: pywbem.CIMError) -> str:
    """The name of a CIM status, without its prefix."""
    return str(error.status_code_name).removeprefix("CIM_ERR_")
