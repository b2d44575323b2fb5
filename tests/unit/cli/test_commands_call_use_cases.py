"""A command parses, calls a use case and prints: it has no SQL, and reads and writes no rows itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import typer.main

from fly_billing.cli.main import app

CLI = Path(__file__).parents[3] / "fly_billing" / "cli"
# They run a statement, or begin a transaction to run some.
STATEMENTS = {"rows", "records", "copy_rows", "transaction", "one_moment", "sql"}
# It prepares the embedded database for all commands.
PREPARES_THE_DATABASE = "local_platform.py"
MOST_LINES = 10


def called_name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def calls_below(folder: Path) -> list[tuple[str, str]]:
    return [
        (path.name, called_name(node))
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


def test_the_command_line_has_no_sql() -> None:
    assert [path.name for path in CLI.rglob("*.sql")] == []


def test_no_command_reads_or_writes_rows_directly() -> None:
    calls = calls_below(CLI)
    assert (PREPARES_THE_DATABASE, "transaction") in calls  # the calls are found
    assert [call for call in calls if call[1] in STATEMENTS and call[0] != PREPARES_THE_DATABASE] == []


def body_lines(function: ast.FunctionDef) -> int:
    """Count the lines from the first statement after the docstring to the last."""
    first = function.body[1 if ast.get_docstring(function) is not None else 0]
    return (function.end_lineno or 0) - first.lineno + 1


BODIES = {
    f"{path.stem}.{node.name}": body_lines(node)
    for path in sorted((CLI / "commands").glob("*.py"))
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
}


@pytest.mark.parametrize("name", BODIES)
def test_a_subcommand_parses_its_options_and_calls_one_function(name: str) -> None:
    assert BODIES[name] <= MOST_LINES


def test_every_command_is_in_the_panel_of_its_subject() -> None:
    commands = vars(typer.main.get_command(app))["commands"]
    assert len(commands) >= 27
    assert {name for name, command in commands.items() if not isinstance(command.rich_help_panel, str)} == set()
