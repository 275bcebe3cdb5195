"""The entry point `xencim.apps`: a WBEM endpoint over any pool."""

from __future__ import annotations

from cim_provider.provider import CimProvider
from cim_provider.service import wbem_app
from xenapi_core.bridge.source import Source
from xenapi_core.server.routes import App


def app(source: Source) -> App:
    """CIM-XML over the pool behind `source`. MappingError or MofError if the declarations are wrong."""
    return wbem_app(CimProvider(source))
