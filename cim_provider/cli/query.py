"""`xencim cim query`: the instances or rows that a query selects."""

from __future__ import annotations

import re

import click
import pywbem

from cim_provider.cli.connect import Target, to_server
from cim_provider.cli.output import ValueNames, show_instances
from cim_provider.cli.read import output_option


@click.command()
@click.argument("text", metavar="QUERY")
@click.option(
    "-l",
    "--language",
    default="DMTF:CQL",
    show_default=True,
    metavar="NAME",
    help="WQL or DMTF:CQL, or what the server has.",
)
@output_option
@to_server
def query(target: Target, text: str, language: str, output: str) -> None:
    """Select instances with a query.

    \b
      xencim cim query "SELECT ElementName, EnabledState FROM Xen_ComputerSystem WHERE EnabledState = 2"
      xencim cim query -l WQL "SELECT * FROM CIM_System WHERE ElementName LIKE 'web-%'" -o paths
    """
    with target.connected() as connection:
        found, columns = selected(connection, language, text)
        show_instances(found, output, ValueNames(connection, target.namespace), columns, "the query selects nothing")


def selected(
    connection: pywbem.WBEMConnection, language: str, text: str
) -> tuple[list[pywbem.CIMInstance], list[str] | None]:
    """What a query returns, and the columns of a select list in its order (None for *).

    ExecQuery is asked, which gives whole instances with their paths; older servers have nothing else.
    """
    found = connection.ExecQuery(language, text)
    return found, _columns(text, found)


def _columns(text: str, found: list[pywbem.CIMInstance]) -> list[str] | None:
    """The properties in the order of the select list; None for * and for what is no select list."""
    match = re.match(r"\s*SELECT\s+(.*?)\s+FROM\s", text, re.IGNORECASE | re.DOTALL)
    if match is None or "*" in match[1] or not found:
        return None
    titles = [re.sub(r"\[.*\]", "", re.split(r"[\s.:]", column.strip())[-1]).lower() for column in match[1].split(",")]
    return sorted(
        found[0].properties, key=lambda name: titles.index(name.lower()) if name.lower() in titles else len(titles)
    )
