"""The `xencim` command: finds its subcommands and turns failures into one clear sentence and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
