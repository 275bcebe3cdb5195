"""The project's Python files as syntax trees, with what they import: what the architecture tests look at."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("xenapi_core", "cim_provider")
EVERYTHING = (*PRODUCT, "tests", "scripts", "mof", "setup.py")


@dataclass(frozen=True)
class Module:
    """One file: its path from the root of the project, its text, and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The dotted name it is imported by."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @functools.cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @functools.cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every module it imports. `from package import name` counts as package.name where that is a module."""
        return tuple(_imports(self, self.tree.body, False))


@dataclass(frozen=True)
class Import:
    """One imported module: where, what, and whether a type checker alone sees it."""

    line: int
    target: str
    typing: bool


def parse(path: str, text: str) -> Module:
    return Module(path, text, ast.parse(text, filename=path))


@functools.cache
def modules(*tops: str) -> tuple[Module, ...]:
    """All Python files under the given folders or files, by path. Files without a .py suffix are not looked at."""
    files: list[Path] = []
    for top in tops:
        place = ROOT / top
        files += sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.exists() else []
    skipped = {"node_modules", "__pycache__", "golden"}
    chosen = [file for file in files if not skipped & set(file.relative_to(ROOT).parts)]
    return tuple(parse(file.relative_to(ROOT).as_posix(), file.read_text("utf-8")) for file in chosen)


def _imports(module: Module, body: list[ast.stmt], typing: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _origin(module, node)
            yield from (Import(node.lineno, _module_of(base, alias.name), typing) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imports(module, node.body, True)
            yield from _imports(module, node.orelse, typing)
        else:
            for child in ast.iter_child_nodes(node):
                nested = [child] if isinstance(child, ast.stmt) else getattr(child, "body", None)
                if isinstance(nested, list):
                    yield from _imports(module, nested, typing)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """The absolute name of what `from ... import` reads from."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.path.endswith("__init__.py") else module.name.split(".")[:-1]
    parents = package[: len(package) - node.level + 1]
    return ".".join([*parents, node.module] if node.module else parents)


@functools.cache
def _module_of(base: str, name: str) -> str:
    place = ROOT.joinpath(*base.split(".")) / name
    is_module = place.with_suffix(".py").exists() or (place / "__init__.py").exists()
    return f"{base}.{name}" if is_module else base
