"""`--help` of every command: a value is shown as a person writes it, not as a class of this project."""

from __future__ import annotations

import re

import typer
from typer.testing import CliRunner

from fly_billing.cli.main import app

# Typer's own names of kinds of values, how a month is written, and lists of words to choose from.
KINDS = {
    "<bool>",
    "<int>",
    "<int range>",
    "<str>",
    "<path>",
    "<dir>",
    "<list[Path]>",
    "<YYYY-MM>",
    "<TIME>",
    "<NUMBER>",
}
KINDS |= {"<product|region|organization>"}


def commands(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every command, also of those inside other commands."""
    found = []
    for name, command in group.commands.items():
        words = (*path, name)
        found += commands(command, words) if isinstance(command, typer.core.TyperGroup) else [words]
    return found


def test_help_names_kinds_of_values_and_no_class() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    shown = set()
    for words in commands(group):
        result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"})
        assert result.exit_code == 0, words
        shown |= set(re.findall(r"<[A-Za-z%][^<>=|]*>", result.output))
    assert shown - KINDS == set()
    assert "<YYYY-MM>" in shown
