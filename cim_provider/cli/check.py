"""`xencim cim check`: checks the profiles and the compatibility modes against our MOF, and our MOF against the DMTF's
schema. Needs no server.

It reads the program's own declarations, so what it imports of the project it imports when it runs: the other commands
are clients and start without.
"""

from __future__ import annotations

from pathlib import Path

import click

from cim_provider.cli.connect import FAILED, Failure


@click.command(short_help="Check our mapping and MOF; no server needed.")
@click.option(
    "--schema",
    type=click.Path(exists=True, path_type=Path),
    envvar="XENCIM_DMTF_SCHEMA_ZIP",
    help="The DMTF's schema to compare with: its zip file, or a folder with its MOF files.",
)
@click.option(
    "--mof", "files", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
    help="A MOF file to compile after ours and to compare too; may be given several times.",
)  # fmt: skip
def check(schema: Path | None, files: tuple[Path, ...]) -> None:
    """Check the mapping against our MOF, and our MOF against the DMTF's schema.

    \b
    Every mistake is a line below the sum of its kind.
    Exit code 0: no mistake; 6: mistakes, or MOF that does not compile.

    \b
      xencim cim check
      xencim cim check --schema cim_schema_2.49.0Final-MOFs.zip
    """
    from cim_provider import profiles  # noqa: F401 - importing it declares views and associations
    from cim_provider.compat.mode import PLAIN, mistakes_in
    from cim_provider.compat.modes import MODES, for_no_pool
    from cim_provider.mapping.association import ASSOCIATIONS
    from cim_provider.mapping.view import VIEWS
    from cim_provider.schema.compare import differences, dmtf_classes, experimental, official
    from cim_provider.schema.compile import load_graph, mof_root
    from cim_provider.schema.mof_text import MofError
    from xenapi_core.model.catalog import SCHEMA

    try:
        graph = load_graph([mof_root() / "dmtf", mof_root() / "xen", *files])
        methods = sum(len(view.methods) for view in VIEWS.values())
        found = mistakes_in(PLAIN, graph, SCHEMA)
        _report(
            f"Mapping: {len(VIEWS)} classes, {len(ASSOCIATIONS)} associations and {methods} methods against "
            f"{len(graph.classes)} classes of MOF",
            found,
        )
        for mode in map(for_no_pool, MODES):
            ours = [mof_root() / "dmtf", mof_root() / "xen" / "xencim.mof"]
            amended = load_graph(ours, amending=[mof_root() / "xen" / name for name in mode.mof])
            wrong = mistakes_in(mode, amended, SCHEMA)
            _report(f"Mode {mode.name}: {len(mode.faces)} faces and {len(mode.views)} classes of its own", wrong)
            found += wrong
        if schema is None:
            click.echo("Schema: not compared; --schema names the DMTF's")
        else:
            wanted = dmtf_classes(graph)
            different = differences(graph, official(schema, wanted))
            _report(f"Schema: {len(wanted)} classes against {schema.name}", different)
            outside = [cls.name for cls in graph.classes.values() if experimental(cls)]
            click.echo(f"Marked Experimental and not compared: {', '.join(sorted(outside)) or 'none'}")
            found = found + different
    except MofError as error:
        raise Failure(str(error), "", FAILED) from None
    if found:
        raise Failure(f"{len(found)} mistakes", "", FAILED)


def _report(title: str, mistakes: list[str]) -> None:
    click.echo(f"{title}: {len(mistakes) or 'no'} mistake{'' if len(mistakes) == 1 else 's'}")
    for mistake in mistakes:
        click.echo(f"  {mistake}")
