"""SM records: the storage back ends of this server, as clients see them."""

from __future__ import annotations

from xenapi_core.engine.plan import World
from xenapi_core.model.storage_types import FEATURES, StorageType
from xenapi_core.store.api import Txn


def record_type(world: World, txn: Txn, kind: StorageType) -> None:
    """The SM record of a storage type, made or brought up to date."""
    values = {
        "name_label": kind.title,
        "name_description": kind.description,
        "type": kind.name,
        "vendor": kind.vendor,
        "version": kind.version,
        "required_api_version": "1.0",
        "configuration": dict(kind.configuration),
        "capabilities": tuple(sorted(kind.features)),
        "features": {name: FEATURES[name] for name in sorted(kind.features)},
    }
    known = next((sm.ref for sm in world.store.all("SM").values() if sm["type"] == kind.name), None)
    if known is None:
        txn.create("SM", world.ids.ref(), {"uuid": world.ids.uuid(), **values})
    else:
        txn.update(known, **values)
