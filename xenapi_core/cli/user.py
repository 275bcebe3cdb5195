"""`xencim user`: the users file of `xencim serve --users FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from xenapi_core.api.auth.users_file import UsersFileError, add_user, load, remove_user
from xenapi_core.cli.asking import ask_password
from xenapi_core.model.schema import POOL_ADMIN, ROLES
from xenapi_core.server.tls import CertificateError, subject_of


@click.group(short_help="Keep the file of accounts of `serve --users`.")
def user() -> None:
    """Keep the file of accounts of `xencim serve --users FILE`: salted scrypt hashes, never a password in clear."""


users_option = click.option(
    "--users", "path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The users file."
)


@user.command("add", short_help="Add a user, or change one.")
@click.argument("name")
@users_option
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    show_default=POOL_ADMIN,
    help="May be given more than once.",
)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="A group, for `xencim serve --directory`.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option(
    "--certificate", type=click.Path(path_type=Path), metavar="FILE",
    help="The user's client certificate (PEM): its subject proves the user, and no password is asked for.",
)  # fmt: skip
def add(
    name: str, path: Path, roles: tuple[str, ...], groups: tuple[str, ...], password_stdin: bool,
    certificate: Path | None,
) -> None:  # fmt: skip
    """Add user NAME, or give NAME a new password (or certificate), roles and groups.

    \b
      xencim user add ann --users lab.users --role vm-admin
    """
    subject = ""
    if certificate is not None:
        try:
            subject = subject_of(certificate)
        except CertificateError as error:
            raise click.ClickException(str(error)) from None
    if certificate is not None and not password_stdin:
        password = ""
    elif password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = ask_password("Password", "use --password-stdin", confirm=True)
    if not password and not subject:
        raise click.UsageError("the password is empty")
    try:
        add_user(path, name, password, roles or (POOL_ADMIN,), subject, groups)
    except (UsersFileError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name}: {', '.join(roles or (POOL_ADMIN,))}")


@user.command("remove")
@click.argument("name")
@users_option
def remove(name: str, path: Path) -> None:
    """Remove user NAME."""
    try:
        remove_user(path, name)
    except (UsersFileError, OSError) as error:
        raise click.ClickException(str(error)) from None


@user.command("list")
@users_option
def list_users(path: Path) -> None:
    """List users with their roles and groups."""
    try:
        accounts = load(path)
    except (UsersFileError, OSError) as error:
        raise click.ClickException(str(error)) from None
    for name, account in sorted(accounts.items()):
        member = f" (groups: {', '.join(account.groups)})" if account.groups else ""
        click.echo(f"{name:20} {', '.join(account.roles)}{member}")
