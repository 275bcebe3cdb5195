"""Who may import whom: the layers of ARCHITECTURE.md, kept by walking the syntax trees.

A layer is a list of module prefixes; the longest prefix that fits a module decides. A module may import its own layer
and the layers named beside it, and nothing else of this project.
"""

from __future__ import annotations

import pytest
from source_tree import PRODUCT, Import, Module, modules, parse

GROUND = ("address", "errors", "error_table", "ids", "clock", "logs")
BELOW_ENGINE = ("ground", "storage types", "model", "store", "driver contract")
# What carries operations out, and what watches; the other modules of engine/ are the words that plans are written in.
ENGINE = (
    *("engine.engine", "engine.run", "engine.reconcile", "engine.database_copies", "engine.firewall"),
    *("engine.ha_failover", "engine.snapshot_schedules", "engine.ssh_expiry"),
)
BELOW_API = (*BELOW_ENGINE, "process", "operations", "steps", "plans", "engine", "wire")
BELOW_SERVER = (*BELOW_API, "drivers", "api", "bridge")

# layer: (its modules, the layers it may import)
CORE = {
    "ground": (GROUND, ()),
    "process": (("atomic_file", "background", "config"), ("ground",)),
    "storage types": (("model.storage_types",), ("ground",)),
    "model": (("model",), ("ground", "storage types")),
    "store": (("store",), ("ground", "model")),
    "driver contract": (("drivers.api", "drivers.storage"), ("ground", "storage types")),
    "drivers": (("drivers",), ("ground", "storage types", "driver contract")),
    "operations": (("engine",), BELOW_ENGINE),
    "steps": (("engine.steps",), (*BELOW_ENGINE, "operations")),
    "plans": (("engine.plans",), (*BELOW_ENGINE, "operations", "steps")),
    "engine": (ENGINE, (*BELOW_ENGINE, "operations", "steps", "plans")),
    "wire": (("wire",), ("ground", "model")),
    "api": (("api",), BELOW_API),
    "bridge": (("bridge",), (*BELOW_API, "api")),
    "server": (("server",), BELOW_SERVER),
    "testing": (("testing",), (*BELOW_SERVER, "server")),
    "cli": (("cli",), (*BELOW_SERVER, "server")),
}
BELOW_JOBS = ("schema", "wire", "query", "mapping")
BELOW_PROFILES = (*BELOW_JOBS, "repository", "jobs", "methods")
BELOW_OPERATIONS = (*BELOW_PROFILES, "profiles", "compat")
CIM = {
    "client": (("cli",), ()),
    "schema": (("schema",), ()),
    "wire": (("wire",), ("schema",)),
    "query": (("query",), ("schema",)),
    "mapping": (("mapping",), ("schema", "wire", "query")),
    "repository": (("repository",), BELOW_JOBS),
    "jobs": (("jobs", "ended_jobs", "job_calls", "undo_log"), BELOW_JOBS),
    "methods": (("methods",), (*BELOW_JOBS, "jobs")),
    "profiles": (("profiles",), BELOW_PROFILES),
    "compat": (("compat",), (*BELOW_PROFILES, "profiles")),
    "operations": (("operations",), BELOW_OPERATIONS),
    "indications": (("indications",), (*BELOW_OPERATIONS, "operations")),
    "composition": (("provider", "service", "app"), (*BELOW_OPERATIONS, "operations", "indications")),
    # one command reads the declarations; the others are clients of any server
    "check command": (("cli.check",), ("schema", "mapping", "profiles", "compat", "client")),
    "cli": (("cli.commands",), ("check command", "client")),
}
LAYERS = {"xenapi_core": CORE, "cim_provider": CIM}

# The only doors from the CIM provider into the core.
CIM_DOORS = ("model", "errors", "clock", "bridge.source", "wire.limits", "server.routes", "logs")
CIM_TYPING_DOORS = ("store.api",)

# Standard and foreign modules that a part must do without, and why.
WITHOUT = {
    "xenapi_core.model": (("asyncio", "socket", "ssl"), "a declaration and a rule never await"),
    "xenapi_core.wire": (("asyncio", "socket", "ssl"), "a codec turns bytes into values and nothing else"),
    "cim_provider.wire": (("asyncio", "socket", "ssl"), "a codec turns bytes into values and nothing else"),
    "cim_provider.schema": (("asyncio", "socket", "ssl"), "the class graph is a value"),
    "xenapi_core.engine": (("socket", "ssl"), "the world is reached through drivers"),
    "xenapi_core.store": (("socket", "ssl"), "the store knows no network"),
}
# Foreign packages that one place wraps for all others.
ONLY_IN = {"libvirt": "xenapi_core.drivers.libvirt", "pam": "xenapi_core.api.auth", "httptools": "xenapi_core.server"}


def below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def layer_of(name: str) -> str | None:
    """The layer of a module of the project; None for one that no layer claims."""
    top, _, rest = name.partition(".")
    claims = [(prefix, layer) for layer, (prefixes, _) in LAYERS[top].items() for prefix in prefixes]
    fitting = [(len(prefix), layer) for prefix, layer in claims if below(rest, prefix)]
    return max(fitting)[1] if fitting else None


def direction_fault(module: Module, found: Import) -> str | None:
    """What is wrong with one import, or None."""
    top, _, rest = found.target.partition(".")
    home = module.name.partition(".")[0]
    if top not in PRODUCT or not rest:
        return None
    if top != home:
        if home == "xenapi_core":
            return f"xenapi_core imports {found.target}; it finds the CIM provider through entry points"
        doors = CIM_DOORS + (CIM_TYPING_DOORS if found.typing else ())
        return None if any(below(rest, door) for door in doors) else f"{found.target} is no door to the core"
    layer, other = layer_of(module.name), layer_of(found.target)
    if layer is None or other is None:
        return None  # reported by test_every_module_belongs_to_a_layer
    if home == "xenapi_core" and layer == "drivers" and other == "drivers":
        package = ".".join(module.name.split(".")[:3])
        return None if below(found.target, package) else f"one driver imports another: {found.target}"
    # Inside the CIM provider a type checker may look up: operations name the type of what composes them.
    if layer == other or other in LAYERS[home][layer][1] or (home == "cim_provider" and found.typing):
        return None
    return f"layer {layer!r} imports {found.target} of layer {other!r}"


def foreign_fault(module: Module, found: Import) -> str | None:
    for part, (names, reason) in WITHOUT.items():
        if below(module.name, part) and any(below(found.target, name) for name in names):
            return f"{part} does without {found.target}: {reason}"
    for package, place in ONLY_IN.items():
        if below(found.target, package) and not below(module.name, place):
            return f"{package} is wrapped by {place}"
    return None


def faults(module: Module) -> list[str]:
    """Every forbidden import of a module, as path:line: what."""
    found = [
        (i.line, fault) for i in module.imports for fault in (direction_fault(module, i), foreign_fault(module, i))
    ]
    return [f"{module.path}:{line}: {fault}" for line, fault in found if fault is not None]


def test_imports_keep_their_direction() -> None:
    found = [fault for module in modules(*PRODUCT) for fault in faults(module)]
    assert not found, "\n".join(found)


def test_every_module_belongs_to_a_layer() -> None:
    stray = [m.path for m in modules(*PRODUCT) if m.name not in PRODUCT and layer_of(m.name) is None]
    assert stray == []


def test_the_layers_have_no_cycle() -> None:
    for layers in LAYERS.values():
        seen: set[str] = set()
        for layer, (_, lower) in layers.items():
            assert set(lower) <= seen, layer
            seen.add(layer)


def test_every_layer_of_the_core_has_modules() -> None:
    assert {layer_of(m.name) for m in modules("xenapi_core")} >= set(CORE) - {"testing"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("xenapi_core/model/planted.py", "from xenapi_core.store.api import Version"),
        ("xenapi_core/store/planted.py", "import xenapi_core.engine.plan"),
        ("xenapi_core/engine/planted.py", "def f():\n    from xenapi_core.api import dispatcher"),
        ("xenapi_core/engine/planted.py", "from xenapi_core.drivers import sim"),
        ("xenapi_core/engine/steps/planted.py", "from xenapi_core.engine.plans import vbd"),
        ("xenapi_core/drivers/sim/planted.py", "from xenapi_core.store.api import Version"),
        ("xenapi_core/drivers/sim/planted.py", "from xenapi_core.model import types"),
        ("xenapi_core/drivers/libvirt/planted.py", "from xenapi_core.drivers.sim.world import SimWorld"),
        ("xenapi_core/wire/planted.py", "try:\n    import socket\nexcept ImportError:\n    pass"),
        ("xenapi_core/wire/planted.py", "from asyncio import sleep"),
        ("xenapi_core/wire/planted.py", "if TYPE_CHECKING:\n    from xenapi_core.store.api import Version"),
        ("xenapi_core/server/planted.py", "from ..cli import main"),
        ("xenapi_core/server/planted.py", "import cim_provider.provider"),
        ("xenapi_core/ids.py", "from xenapi_core.model import types"),
        ("cim_provider/mapping/planted.py", "from xenapi_core.store.api import Version"),
        ("cim_provider/mapping/planted.py", "from xenapi_core import ids"),
        ("cim_provider/mapping/planted.py", "from cim_provider.profiles import computer_system"),
        ("cim_provider/methods/planted.py", "from cim_provider.profiles import computer_system"),
        ("cim_provider/operations/planted.py", "from xenapi_core.bridge import local"),
        ("cim_provider/wire/planted.py", "import asyncio.streams"),
        ("xenapi_core/server/planted.py", "import libvirt"),
    ],
)
def test_a_forbidden_import_is_found(path: str, text: str) -> None:
    assert len(faults(parse(path, text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("xenapi_core/engine/planted.py", "from xenapi_core.drivers.api import Hypervisor"),
        ("xenapi_core/store/planted.py", "import asyncio\nfrom xenapi_core.model.schema import Schema"),
        ("xenapi_core/drivers/sim/planted.py", "from xenapi_core.drivers.sim.world import SimWorld"),
        ("cim_provider/mapping/planted.py", "if TYPE_CHECKING:\n    from xenapi_core.store.api import Version"),
        ("cim_provider/profiles/planted.py", "from xenapi_core.model import lifecycle"),
        ("xenapi_core/cli/planted.py", "from xenapi_core.server.runtime import run"),
    ],
)
def test_an_allowed_import_is_left_alone(path: str, text: str) -> None:
    assert faults(parse(path, text)) == []
