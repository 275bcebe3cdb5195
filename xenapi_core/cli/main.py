"""The `xencim` command: finds its subcommands and turns failures into one clear sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version

import click

from xenapi_core.cli.serve import serve
from xenapi_core.cli.user import user


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
@click.version_option(_version(), prog_name="xencim", message="%(prog)s %(version)s")
def cli() -> None:
    """One server, two faces: the Xen-API and DMTF CIM over one pool of virtual machines."""


cli.add_command(serve)
cli.add_command(user)


def _prepare_streams() -> None:
    """Make it safe to say something, and to open files.

    A standard stream that was closed by who started us leads nowhere from now on; else a socket would get its number.
    Characters that a terminal's encoding does not have are shown as question marks.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def main() -> None:
    """Entry point. Subcommands raise click exceptions for everything a user can do something about."""
    _prepare_streams()
    sys.exit(cli(prog_name="xencim"))


if __name__ == "__main__":
    main()
