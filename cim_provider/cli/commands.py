"""`xencim cim`: a WBEM client for people. The entry point `xencim.commands`; works with any WBEM server."""

from __future__ import annotations

import click

from cim_provider.cli.change import invoke
from cim_provider.cli.check import check
from cim_provider.cli.indications import listen, subscribe
from cim_provider.cli.query import query
from cim_provider.cli.read import assoc, class_, classes, get, instances, namespaces
from cim_provider.cli.trees import tree


@click.group(short_help="Look at a WBEM server, this one or another.")
def cim() -> None:
    """Look at a WBEM server: classes, instances, associations, queries, methods, indications.

    \b
    An instance is named by a path, by some of its keys, or by its name:
      Xen_ComputerSystem.web-0       ElementName or a key, with * ? [a-z]
      Xen_Processor.DeviceID=*/0     some keys, with wildcards
      web-0                          a system by its name
    """


for command in (namespaces, classes, class_, instances, get, tree, assoc, query, invoke, subscribe, listen, check):
    cim.add_command(command)
