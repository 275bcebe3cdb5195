"""The entry point `xencim.apps`: a WBEM endpoint over any pool."""

from __future__ import annotations

from dataclasses import replace

from cim_provider.indications.service import Indications
from cim_provider.provider import CimProvider
from cim_provider.service import wbem_app
from xenapi_core.bridge.source import Source
from xenapi_core.clock import RealClock
from xenapi_core.server.routes import App


def app(source: Source) -> App:
    """CIM-XML over the pool behind `source`, and indications while it runs. MappingError or MofError if the
    declarations are wrong."""
    provider = CimProvider(source)
    indications = Indications(provider, RealClock())
    return replace(wbem_app(provider), start=indications.start, stop=indications.stop)
