"""The `xencim` command: finds its subcommands and turns failures into one clear sentence and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, entry_points, version

import click

from xenapi_core.cli.serve import serve
from xenapi_core.cli.user import user

# Exit codes of the whole command line (documented in docs/cli.md).
BUG, USAGE, REFUSED, NOT_FOUND, CONNECT, FAILED, TIMEOUT = 1, 2, 3, 4, 5, 6, 7


def _version() -> str:
    try:
        return version("xencim")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


class Commands(click.Group):
    """Our own commands, and those that others offer under the entry point group `xencim.commands`.

    Those are imported when they are named or listed, so that `serve` does not pay for clients it does not need.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group="xencim.commands").names})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = next(iter(entry_points(group="xencim.commands", name=cmd_name)), None)
        command: click.Command | None = None if found is None else found.load()
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="xencim")
def cli() -> None:
    """One server, two faces: the Xen-API and DMTF CIM over one pool of virtual machines."""


cli.add_command(serve)
cli.add_command(user)


def main() -> None:
    """Entry point. Subcommands raise click exceptions for everything a user can do something about."""
    sys.exit(cli(prog_name="xencim"))


if __name__ == "__main__":
    main()
