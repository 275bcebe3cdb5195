"""The entry point `xencim.apps`: a WBEM endpoint over any pool."""

from __future__ import annotations

from dataclasses import replace

from cim_provider.compat.modes import mode_named
from cim_provider.indications.connection import Trust
from cim_provider.indications.service import Indications
from cim_provider.provider import CimProvider
from cim_provider.repository.disk import Disk, DiskError
from cim_provider.schema.mof_text import MofError
from cim_provider.service import wbem_app
from xenapi_core.bridge.source import Source
from xenapi_core.clock import RealClock
from xenapi_core.server.routes import App, EndpointError, Hosting


def app(source: Source, hosting: Hosting) -> App:
    """CIM-XML over the pool behind `source`, and indications while it runs. MappingError or MofError if the
    declarations are wrong; EndpointError if what `hosting` names cannot be used. Blocks while it loads MOF."""
    trust = Trust(hosting.listener_ca, hosting.verify_listeners)
    try:
        trust.context()
    except FileNotFoundError:
        raise EndpointError(f"there is no file {hosting.listener_ca}") from None
    except OSError:
        raise EndpointError(f"{hosting.listener_ca} holds no usable certificate authorities in PEM form") from None
    try:
        disk = None if hosting.state is None else Disk(hosting.state)
        provider = CimProvider(source, disk=disk, mode=mode_named(hosting.ways.get("wbem", ""), source))
    except DiskError as error:
        raise EndpointError(str(error)) from None
    try:
        if hosting.models:
            from cim_provider.operations.models import load_models  # imports the MOF compiler, which takes its time

            load_models(provider, hosting.models)
    except MofError as error:
        if disk is not None:
            disk.close()
        raise EndpointError(str(error)) from None
    indications = Indications(provider, RealClock(), trust)

    async def start() -> None:
        await provider.jobs.recover()
        provider.jobs.start()
        await indications.start()

    async def stop() -> None:
        await provider.jobs.close()
        await indications.stop()
        if disk is not None:
            disk.close()

    return replace(wbem_app(provider), start=start, stop=stop)
