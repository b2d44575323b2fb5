"""The `fly-billing` command: its subcommands, and how it shows errors. Not here: the subcommands (`cli.commands`)."""

from __future__ import annotations

import signal
import sys
import traceback
import warnings
from io import TextIOWrapper
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, NoReturn

import typer

from fly_billing.cli.commands import (
    alerts,
    api,
    billing,
    charges,
    corrections,
    finance,
    invoices,
    local,
    operations,
    organizations,
    price_agreements,
    pricing,
    stripe,
    terms,
    usage,
    workspace,
)
from fly_billing.cli.deferred_commands import defer_parameters
from fly_billing.cli.file_errors import describe_file_error
from fly_billing.cli.light_help import load_help
from fly_billing.cli.parameters import console
from fly_billing.cli.terminal import Terminal, joined, lines, styled
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible

app = typer.Typer(
    name="fly-billing",
    help="Rates usage, builds invoices in your own database, and syncs each finalized invoice to Stripe exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
SUBJECTS = (
    local, workspace, organizations, charges, terms, price_agreements, usage, pricing, billing, invoices, api, finance,
    corrections, stripe, operations, alerts,
)  # fmt: skip
for subject in SUBJECTS:
    app.add_typer(subject.app)
defer_parameters(app)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        console.print(f"fly-billing {version('fly-billing')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Rate usage, build invoices in your own database, and sync each finalized invoice to Stripe exactly once."""


def main() -> None:
    """Run the command. Prints a message, not a traceback, for errors that a user can fix."""
    _load_env_file(Path(".env").resolve())
    # Dagster warns about its own beta parameters, which a user of a command can't change.
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
    signal.signal(signal.SIGTERM, _stop)
    # If the terminal has no character for € or ▁, print a question mark instead of failing.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.excepthook = _show_traceback
    load_help(sys.argv[1:])
    try:
        app()
    except Exception as problem:
        message = _message(problem)
        if message is None:
            raise
        _exit_with_message(message)


def _message(problem: BaseException) -> str | None:
    """Return the message of an error that a user can fix, found in the chain of causes; None for a bug."""
    # Loading the database's libraries takes longer than showing help, so only an error does.
    from fly_billing.embedded_postgres import EmbeddedPostgresError, ServerInUseError
    from fly_billing.postgres.connections import describe

    link: BaseException | None = problem
    while link is not None:
        if isinstance(link, ActionableError | EmbeddedPostgresError | ServerInUseError):
            return str(link)
        link = link.__cause__ or link.__context__
    return describe(problem) or describe_file_error(problem)


def _load_env_file(path: Path) -> None:
    if not path.exists():
        return
    from dotenv import load_dotenv  # here, because most commands run where there is no such file

    try:
        load_dotenv(path)
    except (OSError, ValueError) as problem:  # a folder is not a file of settings, and is left alone
        _exit_with_message(f"{path} can't be read: {problem}. It has one NAME=value per line, in UTF-8")


def _exit_with_message(message: str) -> NoReturn:
    # Indent all lines but the first, so that none can pass for a message of its own.
    first, *rest = message.splitlines() or [""]
    text = lines(first, *(f"  {line}" for line in rest))
    # In a file or the log of a CI job, one mistake is one line, however long.
    is_terminal = sys.stderr.isatty()
    Terminal(stderr=True).print(joined(styled("fly-billing:", "red"), " ", text), soft_wrap=not is_terminal)
    sys.exit(2)


def _show_traceback(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, but without control characters: its message may quote foreign text."""
    print(visible("".join(traceback.format_exception(kind, problem, trace)), keep="\n\t"), end="", file=sys.stderr)


def _stop(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM like Ctrl-C, so that the command stops everything that it started."""
    raise KeyboardInterrupt
