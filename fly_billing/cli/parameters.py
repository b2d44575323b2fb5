"""Parameters that several commands share, the consoles that commands print on, and their exit code."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fly_billing.cli.completion import complete_organization
from fly_billing.cli.terminal import Terminal
from fly_billing.foreign_text import visible
from fly_billing.periods import BillingMonth, why_not_billable

WIDE_COLUMNS = 160

console = Terminal()


def wide_console(columns: int = WIDE_COLUMNS) -> Terminal:
    """Return a console for wide tables: a terminal's own width, and this many columns without a terminal."""
    return console if console.is_terminal else Terminal(width=columns)


def parse_month(text: str) -> BillingMonth:
    """Parse YYYY-MM. Raises typer.BadParameter."""
    try:
        return BillingMonth.parse(text)
    except ValueError as problem:
        raise typer.BadParameter(visible(str(problem))) from problem


def parse_begun_month(text: str) -> BillingMonth:
    """Parse a month that a command writes to: FIRST_MONTH to the current one. Raises typer.BadParameter."""
    month = parse_month(text)
    if problem := why_not_billable(month, datetime.now(UTC)):
        raise typer.BadParameter(visible(problem))
    return month


def parse_day(text: str) -> date:
    """Parse YYYY-MM-DD. Raises typer.BadParameter."""
    try:
        return date.fromisoformat(text)
    except ValueError as problem:
        raise typer.BadParameter(visible(f"not a day: {text!r}; write it as YYYY-MM-DD")) from problem


def parse_time(text: str) -> datetime:
    """Parse a time in UTC: a day (its midnight), a time of a day, or one with an offset. Raises typer.BadParameter."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as problem:
        hint = "write it as 2026-10-01 or 2026-10-01T12:00, in UTC"
        raise typer.BadParameter(visible(f"not a time: {text!r}; {hint}")) from problem
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_decimal(text: str | Decimal) -> Decimal:
    """Parse a number of at least 0, exactly as written; a default is a number. Raises typer.BadParameter."""
    if isinstance(text, Decimal):
        return text
    from fly_billing.pricing.rules.fields import bounded_number  # the pricing rules: not needed to show help

    try:
        return bounded_number("number", text.strip())
    except ValueError as problem:
        raise typer.BadParameter(visible(str(problem))) from problem


def exit_with(is_successful: bool) -> None:
    """End the command with exit code 0 or 1. Raises typer.Exit."""
    raise typer.Exit(0 if is_successful else 1)


# Typer's help shows the name of an argument's type. The parser returns a BillingMonth, whatever this type is.
if TYPE_CHECKING:
    MonthArgument = BillingMonth
    TimeArgument = datetime
    NumberArgument = Decimal
else:
    MonthArgument = type("YYYY-MM", (BillingMonth,), {})
    TimeArgument = type("TIME", (datetime,), {})
    NumberArgument = type("NUMBER", (Decimal,), {})

Month = Annotated[MonthArgument, typer.Argument(metavar="MONTH", help="The month", parser=parse_month)]
OptionalMonth = Annotated[MonthArgument | None, typer.Argument(metavar="MONTH", help="The month", parser=parse_month)]
BegunMonth = Annotated[MonthArgument, typer.Argument(metavar="MONTH", help="The month", parser=parse_begun_month)]
OptionalBegunMonth = Annotated[
    MonthArgument | None, typer.Argument(metavar="MONTH", help="The month", parser=parse_begun_month)
]
Organization = Annotated[
    str, typer.Argument(metavar="ORG", help="An organization's id", autocompletion=complete_organization)
]
OptionalOrganization = Annotated[
    str | None, typer.Argument(metavar="ORG", help="Only this organization", autocompletion=complete_organization)
]
Currency = Annotated[str, typer.Option(help="ISO 4217 code")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists")]
ExactJson = Annotated[bool, typer.Option("--json", help="Print JSON, with exact amounts")]
ResultJson = Annotated[
    bool, typer.Option("--json", help="Print what was done as JSON, with exact amounts. Progress goes to stderr")
]
CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV to this file")]
ParquetFile = Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet to this file")]
JsonInCents = Annotated[bool, typer.Option("--json", help="Print JSON, amounts in cents")]
