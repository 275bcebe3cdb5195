"""docs/cli.md: it names every command, and every option of `xencim serve` and `xencim user`, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import click

from xenapi_core.cli.main import cli

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0].strip(" `"): part for part in re.split(r"^## ", PAGE, flags=re.M)}


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def test_the_table_of_commands_is_complete_and_links_to_each() -> None:
    rows = re.findall(r"^\| \[`xencim (\w+)`\]\(", PAGE, re.M)
    assert sorted(rows) == cli.list_commands(click.Context(cli))


def test_the_table_of_options_is_that_of_the_server() -> None:
    cells = re.findall(r"^\| (`--[^|]*)\|", SECTIONS["xencim serve"], re.M)
    assert set(re.findall(r"--[a-z-]+", " ".join(cells))) == options(cli.commands["serve"])


def test_what_is_said_of_accounts_names_their_options() -> None:
    user = cli.commands["user"]
    assert isinstance(user, click.Group)
    said = set(re.findall(r"--[a-z-]+", SECTIONS["xencim user"]))
    assert set().union(*map(options, user.commands.values())) <= said


def test_every_command_is_told_whole_in_a_line_of_the_help() -> None:
    context = click.Context(cli, terminal_width=80)
    groups = [cli, *(cli.get_command(context, name) for name in cli.list_commands(context))]
    lists = [group.get_help(context) for group in groups if isinstance(group, click.Group)]
    assert len(lists) == 3
    assert not [line for text in lists for line in text.partition("Commands:")[2].splitlines() if line.endswith("...")]
