"""A command loads the libraries that it needs and no others: loading takes most of the time of a short command."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Importing any of these takes from 30 milliseconds to a second.
HEAVY = frozenset(
    {
        "alembic", "dagster", "deltalake", "duckdb", "fastapi", "fpdf", "httpx", "jinja2", "markdown_it", "numpy",
        "pandas", "pyarrow", "reportlab", "ruamel", "sqlalchemy", "starlette", "uvicorn",
    }
)  # fmt: skip
HELP = """
import contextlib, io
import sys
from fly_billing.cli.main import main
sys.argv[1:] = {arguments!r}
with contextlib.redirect_stdout(io.StringIO()) as shown:
    try:
        main()
    except SystemExit:
        pass
assert "Usage" in shown.getvalue()
"""


def loaded_by(code: str) -> set[str]:
    """Return the heavy libraries that a new process has loaded after this code."""
    report = f"\nimport sys\nprint(*sorted({set(HEAVY)!r} & {{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["statement", "--help"], ["finance", "--help"]], ids=" ".join)
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    assert loaded_by(HELP.format(arguments=arguments)) == set()


def test_rich_can_still_show_markdown_after_the_help() -> None:
    shown = HELP.format(arguments=["--help"]) + "\nfrom rich.markdown import Markdown\nassert Markdown('*a*').parsed"
    assert loaded_by(shown) == {"markdown_it"}


def test_the_statement_of_a_closed_month_loads_only_the_driver_of_its_database() -> None:
    assert loaded_by("import fly_billing.cli.main, fly_billing.cli.statement") == set()


@pytest.mark.parametrize("command", ["totals", "explain", "organizations", "rejected"])
def test_a_command_that_reads_amounts_or_prices_loads_no_yaml_and_no_web_server(command: str) -> None:
    assert loaded_by(f"import fly_billing.cli.main, fly_billing.cli.{command}") == {"sqlalchemy"}


def test_the_estimate_of_an_open_month_loads_no_more_than_the_statement() -> None:
    assert loaded_by("import fly_billing.statements.month_end") == {"sqlalchemy"}


def test_status_loads_dagster_for_the_heartbeats_of_its_daemon_and_no_web_server() -> None:
    assert loaded_by("import fly_billing.cli.main, fly_billing.cli.status") == {"dagster", "sqlalchemy"}


def test_help_of_one_command_reads_the_parameters_of_no_other_command() -> None:
    """Typer would read those of all commands, which took a quarter of the time of `--help`."""
    code = (
        """
import typer.main
read = []
original = typer.main.get_params_from_function
def note(function):
    read.append(function.__module__)
    return original(function)
typer.main.get_params_from_function = note
"""
        + HELP.format(arguments=["statement", "--help"])
        + "\nassert 'fly_billing.cli.commands.invoices' in read\n"
        + ("\nassert 'fly_billing.cli.commands.stripe' not in read, read\n")
    )
    assert loaded_by(code) == set()
