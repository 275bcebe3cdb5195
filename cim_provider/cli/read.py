"""Commands that read: namespaces, classes, class, instances, get, assoc."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import click
import pywbem
from rich.tree import Tree

from cim_provider.cli.connect import MISSING, USAGE, Failure, Target, to_server
from cim_provider.cli.output import (
    JSON,
    MOF,
    PATHS,
    TABLE,
    WIDE,
    XML,
    ValueNames,
    assert_properties,
    nothing,
    show,
    show_instances,
    show_mof,
    show_paths,
    show_properties,
)
from cim_provider.cli.select import one_path, paths, wanted

FILTER_LANGUAGE = "DMTF:FQL"
INTEROP_NAMES = ("interop", "root/interop", "root/PG_InterOp")

output_option = click.option(
    "-o", "--output", type=click.Choice([TABLE, WIDE, JSON, MOF, XML, PATHS]), default=TABLE, show_default=True,
    help="Form of the result.",
)  # fmt: skip
list_option = click.option(
    "-o", "--output", type=click.Choice([TABLE, JSON]), default=TABLE, show_default=True, help="Form of the result."
)
properties_option = click.option(
    "-P", "--properties", metavar="NAME,NAME", help="Ask for these properties only, in this order."
)


def listed(text: str | None) -> list[str] | None:
    """A comma-separated list of names."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def interop(connection: pywbem.WBEMConnection) -> str:
    """The Interop namespace under the name this server has for it. Failure if it has none."""
    for name in INTEROP_NAMES:
        try:
            connection.EnumerateInstanceNames("CIM_Namespace", namespace=name)
        except pywbem.CIMError as error:
            if error.status_code != pywbem.CIM_ERR_INVALID_NAMESPACE:
                return name
        else:
            return name
    raise Failure("the server has no Interop namespace", "name a namespace with --namespace", MISSING)


@click.command()
@list_option
@to_server
def namespaces(target: Target, output: str) -> None:
    """List the namespaces of the server.

    \b
      xencim cim namespaces -s https://host:5989 --no-verify -u root
    """
    with target.connected() as connection:
        server = pywbem.WBEMServer(connection)
        found = sorted(server.namespaces)
        home = server.interop_ns
    if output == JSON:
        click.echo(json.dumps([{"name": name, "interop": name == home} for name in found], indent=2))
        return
    for name in found:
        click.echo(f"{name}  (Interop)" if name == home else name)


@click.command(short_help="List class names.")
@click.argument("pattern", default="*")
@click.option("--of", "above", metavar="CLASS", help="Only subclasses of CLASS.")
@click.option("--tree", "as_tree", is_flag=True, help="Show which class is below which.")
@list_option
@to_server
def classes(target: Target, pattern: str, above: str | None, as_tree: bool, output: str) -> None:
    """List class names that fit PATTERN (* ? [a-z], upper or lower case alike).

    \b
      xencim cim classes 'Xen_*System*'
      xencim cim classes --tree --of CIM_System
    """
    with target.connected() as connection:
        if as_tree:
            declared = connection.EnumerateClasses(
                ClassName=above, DeepInheritance=True, LocalOnly=True, IncludeQualifiers=False
            )
            parents = {cls.classname: cls.superclass for cls in declared}
            names = list(parents)
        else:
            names = connection.EnumerateClassNames(ClassName=above, DeepInheritance=True)
    chosen = sorted(name for name in names if fnmatchcase(name.lower(), pattern.lower()))
    if not chosen and output == TABLE:
        nothing(f"no class fits {pattern} in {target.namespace}")
    elif not as_tree:
        click.echo(json.dumps(chosen, indent=2) if output == JSON else "\n".join(chosen))
    elif output == JSON:
        click.echo(json.dumps({name: parents[name] for name in chosen}, indent=2))
    else:
        show(_hierarchy(parents, set(chosen), above or target.namespace))


def _hierarchy(parents: dict[str, str | None], chosen: set[str], title: str) -> Tree:
    """The chosen classes and what is above them, below `title`."""
    shown = set(chosen)
    for name in chosen:
        above = parents.get(name)
        while above in parents:
            shown.add(above)
            above = parents.get(above)
    root = Tree(title)
    nodes: dict[str | None, Tree] = {}

    def node(name: str) -> Tree:
        if name not in nodes:
            above = parents.get(name)
            nodes[name] = (node(above) if above in shown and above is not None else root).add(name)
        return nodes[name]

    for name in sorted(shown):
        node(name)
    return root


@click.command("class")
@click.argument("classname")
@click.option("--local", is_flag=True, help="Leave out what the class inherits.")
@click.option("--brief", is_flag=True, help="Leave out qualifiers, descriptions among them.")
@click.option("-o", "--output", type=click.Choice([MOF, XML, JSON]), default=MOF, show_default=True)
@to_server
def class_(target: Target, classname: str, local: bool, brief: bool, output: str) -> None:
    """Show a class: its properties, methods and qualifiers.

    \b
      xencim cim class Xen_ComputerSystem --brief
    """
    with target.connected() as connection:
        try:
            found = connection.GetClass(classname, LocalOnly=local, IncludeQualifiers=not brief)
        except pywbem.CIMError as error:
            if error.status_code not in (pywbem.CIM_ERR_NOT_FOUND, pywbem.CIM_ERR_INVALID_CLASS):
                raise
            raise _no_class(connection, classname) from None
    if output == XML:
        click.echo(found.tocimxmlstr(indent=2).strip())
    elif output == JSON:
        click.echo(json.dumps(_class_object(found), indent=2))
    else:
        show_mof(found.tomof())


def _no_class(connection: pywbem.WBEMConnection, classname: str) -> Failure:
    """That a class is missing, with classes of a similar name."""
    tail = classname.rpartition("_")[2].lower()
    near = [name for name in connection.EnumerateClassNames(DeepInheritance=True) if tail and tail in name.lower()]
    hint = f"did you mean {', '.join(sorted(near)[:5])}?" if near else "list the classes with `xencim cim classes`"
    return Failure(f"there is no class {classname} in {connection.default_namespace}", hint, MISSING)


def _class_object(found: pywbem.CIMClass) -> dict[str, object]:
    def line(element: object) -> dict[str, object]:
        said = element.qualifiers.get("Description")  # type: ignore[attr-defined]
        return {"description": said.value if said else None}

    return {
        "name": found.classname,
        "superclass": found.superclass,
        "properties": {
            name: {"type": p.type, "array": bool(p.is_array), "key": "Key" in p.qualifiers,
                   "reference": p.reference_class, **line(p)}
            for name, p in found.properties.items()
        },
        "methods": {
            name: {
                "returns": m.return_type,
                "parameters": {n: {"type": p.type, "array": bool(p.is_array), "reference": p.reference_class}
                               for n, p in m.parameters.items()},
                **line(m),
            }
            for name, m in found.methods.items()
        },
    }  # fmt: skip


@click.command()
@click.argument("word", metavar="CLASS[.KEYS]")
@click.option(
    "-w", "--where", metavar="FILTER", help="Only those that satisfy a filter in DMTF:FQL; the server filters."
)
@click.option("--exact", is_flag=True, help="Leave out instances of subclasses.")
@properties_option
@output_option
@to_server
def instances(target: Target, word: str, where: str | None, exact: bool, properties: str | None, output: str) -> None:
    """List the instances of a class and its subclasses.

    \b
      xencim cim instances CIM_ComputerSystem
      xencim cim instances Xen_ComputerSystem.web-*
      xencim cim instances Xen_ComputerSystem --where "EnabledState = 2" -P ElementName,HealthState
      xencim cim instances Xen_LogicalDisk -o paths
    """
    columns = listed(properties)
    asked = wanted(word)
    filter_ = {} if where is None else {"FilterQuery": where, "FilterQueryLanguage": FILTER_LANGUAGE}
    with target.connected() as connection:
        namespace = asked.namespace or target.namespace
        if where is not None:
            connection = pulling(connection)
        found = [
            one
            for one in connection.IterEnumerateInstances(
                asked.classname,
                namespace,
                PropertyList=None if columns is None else [*columns, "ElementName"],
                DeepInheritance=True,
                **filter_,
            )
            if asked.fits(one) and not (exact and one.classname.lower() != asked.classname.lower())
        ]
        names = ValueNames(connection, namespace)
        assert_properties(columns, found, names)
        for one in found if columns is not None else ():
            keep_only(one, columns or [])
        if output == PATHS:
            return show_paths([one.path for one in found], output)
        empty = f"there are no instances of {asked.classname} in {namespace}"
        if where is not None or asked.keys or asked.name is not None:
            empty = f"no instance of {asked.classname} in {namespace} fits"
        return show_instances(found, output, names, columns, empty)


def pulling(connection: pywbem.WBEMConnection) -> pywbem.WBEMConnection:
    """A connection to the same server that insists on pull operations, which filters need."""
    found = connection.copy()
    found._use_enum_inst_pull_operations = True
    return found


def keep_only(one: pywbem.CIMInstance, names: list[str]) -> None:
    """Drop the properties that were requested in addition to the user's."""
    low = {name.lower() for name in names}
    for name in [name for name in one.properties if name.lower() not in low]:
        del one.properties[name]


@click.command()
@click.argument("words", metavar="INSTANCE...", nargs=-1, required=True)
@click.option("--all", "with_null", is_flag=True, help="Show properties without a value, too.")
@properties_option
@output_option
@to_server
def get(target: Target, words: tuple[str, ...], with_null: bool, properties: str | None, output: str) -> None:
    """Show instances, one property per line.

    \b
      xencim cim get web-0
      xencim cim get Xen_HostComputerSystem.host-* -P ElementName,EnabledState -o json
    """
    columns = listed(properties)
    with target.connected() as connection:
        found = [
            connection.GetInstance(path, LocalOnly=False, PropertyList=columns)
            for word in words
            for path in paths(connection, word)
        ]
        names = ValueNames(connection, target.namespace)
        assert_properties(columns, found, names)
        if output not in (TABLE, WIDE):
            return show_instances(found, output, names)
        for number, one in enumerate(found):
            if number:
                click.echo()
            show_properties(one, names, with_null or output == WIDE)
    return None


@click.command()
@click.argument("word", metavar="INSTANCE")
@click.option("-a", "--through", metavar="CLASS", help="Only over associations of this class.")
@click.option("-c", "--class", "result", metavar="CLASS", help="Only instances of this class.")
@click.option("-r", "--role", metavar="NAME", help="INSTANCE plays this role.")
@click.option("-R", "--result-role", metavar="NAME", help="The others play this role.")
@click.option("--references", is_flag=True, help="Show the associations themselves.")
@properties_option
@output_option
@to_server
def assoc(
    target: Target, word: str, through: str | None, result: str | None, role: str | None, result_role: str | None,
    references: bool, properties: str | None, output: str,
) -> None:  # fmt: skip
    """List what an instance is associated with.

    \b
      xencim cim assoc web-0 --through Xen_SystemDevice
      xencim cim assoc web-0 --references -o paths
    """
    if references and (result_role or (through and result)):
        hint = "with --references, --class is the class of the association"
        raise Failure("--references goes without --result-role, and with one class only", hint, USAGE)
    columns = listed(properties)
    with target.connected() as connection:
        path = one_path(connection, word)
        if references:
            found = connection.References(path, ResultClass=through or result, Role=role, PropertyList=columns)
        else:
            found = connection.Associators(
                path, AssocClass=through, ResultClass=result, Role=role, ResultRole=result_role, PropertyList=columns
            )
        names = ValueNames(connection, target.namespace)
        assert_properties(columns, found, names)
        if output == PATHS:
            return show_paths([one.path for one in found], output)
        return show_instances(found, output, names, columns, f"{word} is associated with nothing like that")
