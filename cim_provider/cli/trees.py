"""`xencim cim tree`: an instance and what it is associated with, recursively."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import pywbem
from rich.text import Text
from rich.tree import Tree

from cim_provider.cli.connect import Target, to_server
from cim_provider.cli.output import JSON, readable, show
from cim_provider.cli.read import list_option
from cim_provider.cli.select import one_path, short, text_of


@dataclass
class Node:
    """An instance in the tree. `links` are (association class, my role, its role) -> instances at the other end; `seen`
    means that the instance is shown further up."""

    path: pywbem.CIMInstanceName
    name: str
    seen: bool = False
    links: dict[tuple[str, str, str], list[Node]] = field(default_factory=dict)


def ends(reference: pywbem.CIMInstance, path: pywbem.CIMInstanceName) -> Iterator[tuple[str, str, Any]]:
    """For each pair of ends of an association with `path` at one: my role, the other role, the other path."""
    roles = {n: p.value for n, p in reference.properties.items() if isinstance(p.value, pywbem.CIMInstanceName)}
    for mine, mine_path in roles.items():
        if same(mine_path, path):
            for other, other_path in roles.items():
                if other != mine:
                    yield mine, other, other_path


def same(one: pywbem.CIMInstanceName, other: pywbem.CIMInstanceName) -> bool:
    """Whether two paths lead to one instance; hosts are not looked at, as servers have many names."""
    return key_of(one) == key_of(other)


def key_of(path: pywbem.CIMInstanceName) -> str:
    plain = path.copy()
    plain.host = None
    return str(plain.to_wbem_uri(format="canonical"))


def grown(
    connection: pywbem.WBEMConnection,
    path: pywbem.CIMInstanceName,
    name: str,
    depth: int,
    told: set[str],
    back: tuple[str, str] = ("", ""),
) -> Node:
    """The tree below an instance, `depth` associations deep. Instances in `told` are not followed again; `back` is the
    association and the instance that led here, which is not told again at all."""
    node = Node(path, name)
    told.add(key_of(path))
    others = connection.Associators(path, PropertyList=["ElementName"])
    names = {key_of(one.path): str(one.get("ElementName") or "") for one in others}
    for reference in connection.References(path):
        for mine, role, other in ends(reference, path):
            other.namespace = other.namespace or path.namespace
            key = key_of(other)
            if (reference.classname, key) != back:
                end = Node(other, names.get(key, ""), seen=key in told)
                node.links.setdefault((reference.classname, mine, role), []).append(end)
    if depth > 1:
        for link, found in node.links.items():
            node.links[link] = [
                end
                if end.seen or key_of(end.path) in told
                else grown(connection, end.path, end.name, depth - 1, told, (link[0], key_of(path)))
                for end in found
            ]
    return node


def _title(node: Node) -> Text:
    keys = readable(short(node.path).partition(".")[2])
    text = Text.assemble((node.path.classname, "bold"), "  ", (readable(node.name) or keys, "green"))
    if node.name:
        text.append(f"  {keys}", style="dim")
    return text.append("  (above)", style="italic") if node.seen else text


def drawn(node: Node, tree: Tree | None = None) -> Tree:
    """The tree for a terminal."""
    tree = Tree(_title(node)) if tree is None else tree
    for (association, mine, role), others in sorted(node.links.items(), key=lambda row: row[0]):
        count = f"  {len(others)}" if len(others) > 1 else ""
        branch = tree.add(Text.assemble((association, "cyan"), f"  {mine} → {role}{count}"))
        for other in others:
            drawn(other, branch.add(_title(other)))
    return tree


def as_object(node: Node) -> dict[str, Any]:
    """The tree as JSON."""
    return {
        "path": text_of(node.path),
        "name": node.name or None,
        "seen": node.seen,
        "associations": [
            {
                "class": association,
                "role": mine,
                "resultRole": role,
                "instances": [as_object(other) for other in others],
            }
            for (association, mine, role), others in sorted(node.links.items(), key=lambda row: row[0])
        ],
    }


@click.command()
@click.argument("word", metavar="INSTANCE")
@click.option("-d", "--depth", default=1, show_default=True, type=click.IntRange(1, 8), help="Associations to follow.")
@list_option
@to_server
def tree(target: Target, word: str, depth: int, output: str) -> None:
    """Show an instance and all it is associated with, as a tree.

    \b
      xencim cim tree web-0
      xencim cim tree Xen_HostComputerSystem.host-0 --depth 2
    """
    with target.connected() as connection:
        path = one_path(connection, word)
        instance = connection.GetInstance(path, PropertyList=["ElementName"])
        found = grown(connection, path, str(instance.get("ElementName") or ""), depth, set())
    if output == JSON:
        click.echo(json.dumps(as_object(found), indent=2))
        return
    show(drawn(found))
    if not found.links:
        click.echo("  associated with nothing", err=True)
