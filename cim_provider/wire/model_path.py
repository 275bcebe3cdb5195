"""Paths as text: WBEM URIs without a host (DSP0004 8.2.5)."""

from __future__ import annotations

from collections.abc import Mapping

from cim_provider.schema.objects import Path
from cim_provider.wire import text


def model_path(path: Path, spaces: Mapping[str, str]) -> str:
    """namespace:class.key="value",...; of a class without keys. `spaces`: how namespaces are written that do not go by
    their canonical names."""
    name = f"{spaces.get(path.namespace, path.namespace)}:{path.classname}"
    if path.keys is None:
        return name
    return f"{name}.{','.join(f'{key}={_key(value, spaces)}' for key, value in path.keys)}"


def _key(value: object, spaces: Mapping[str, str]) -> str:
    if isinstance(value, bool | int):
        return text.boolean(value) if isinstance(value, bool) else str(value)
    plain = model_path(value, spaces) if isinstance(value, Path) else str(value)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
