"""Commands that bring usage in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import (
    ExactJson,
    OptionalBegunMonth,
    OptionalMonth,
    Overwrite,
    ResultJson,
    console,
    exit_with,
    parse_month,
    wide_console,
)
from fly_billing.cli.ports import LARGEST_PORT
from fly_billing.foreign_text import visible
from fly_billing.periods import BillingMonth

PANEL = "Usage"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def land(
    month: OptionalBegunMonth = None,
    with_rejected: Annotated[
        bool, typer.Option("--rejected", help="Also land days with rejected rows again, after correcting sources.yaml")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="With a month: read all files of its days again, also unchanged ones")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare the whole usage table with Postgres and list the days that differ")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: land those days again")] = False,
    new_table: Annotated[
        bool, typer.Option("--new-table", help="With --repair: create a new table, because the old one is lost")
    ] = False,
    as_json: ResultJson = False,
) -> None:
    """Land new and changed usage files. With a month, also land every day on which its usage may arrive."""
    from fly_billing.cli.landing import land_files, repair_usage_table

    if repair and as_json:
        raise typer.BadParameter("--json prints what landed: leave it out with --repair")
    if repair:
        exit_with(repair_usage_table(console, yes=yes, new_table=new_table))
    if from_scratch and month is None:
        raise typer.BadParameter("--from-scratch reads the days of a month again: name the month")
    exit_with(land_files(console, month, with_rejected=with_rejected, from_scratch=from_scratch, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def rejected(
    month: OptionalMonth = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this source: as shown, or the `source` of events")
    ] = None,
    as_list: Annotated[bool, typer.Option("--list", help="List every row with its file, line and reason")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows to a CSV file")] = None,
    as_json: ExactJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Show rejected usage that is neither fixed nor waived, by source and reason, with the money at stake."""
    from fly_billing.cli.rejected import show_rejected

    show_rejected(wide_console(), month, csv, source=source, as_list=as_list, as_json=as_json, overwrite=overwrite)


@app.command(rich_help_panel=PANEL)
def waive(
    by: Annotated[str, typer.Option(help="Your name, recorded with the waiver")],
    because: Annotated[str, typer.Option(metavar="TEXT", help="The reason, recorded with the waiver")],
    source: Annotated[str | None, typer.Option(help="The source, as `rejected` shows it")] = None,
    reason: Annotated[str | None, typer.Option(help="The reason of rejection, as `rejected` shows it")] = None,
    row: Annotated[
        str | None, typer.Option(metavar="DAY/FILE:LINE", help="Only this row, as `rejected --list` shows it")
    ] = None,
    month: Annotated[
        BillingMonth | None, typer.Option(metavar="MONTH", help="Only usage of this month", parser=parse_month)
    ] = None,
) -> None:
    """Decide that rejected usage will not be billed: all of a source and reason, or one row. Covers no later rows."""
    from fly_billing.cli.rejected import waive_rows
    from fly_billing.usage.rejections import RowPlace

    try:
        place = None if row is None else RowPlace.parse(row)
    except ValueError as problem:
        raise typer.BadParameter(visible(str(problem))) from problem
    waive_rows(console, by, because, source, reason, place, month)


@app.command(rich_help_panel=PANEL)
def import_focus(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="FOCUS cost-and-usage CSV files (1.0 to 1.3): all of one export", exists=True, dir_okay=False
        ),
    ],
    cost: Annotated[
        str, typer.Option(help="Charge list prices (list) or the provider's billed cost (billed)")
    ] = "list",
) -> None:
    """Import a FOCUS file: sub-accounts become organizations, SKU prices a price book, charges usage files."""
    from fly_billing.cli.import_focus import import_focus_files

    import_focus_files(console, files, cost)


@app.command(rich_help_panel=PANEL)
def serve_usage(
    port: Annotated[int, typer.Option(min=1, max=LARGEST_PORT, help="Port to listen on")] = 8423,
    host: Annotated[str, typer.Option(help="Address to listen on. Put TLS in front of a public one")] = "127.0.0.1",
    publish_seconds: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds until stored events are in their day folder")
    ] = 300,
) -> None:
    """Receive usage over HTTP (CloudEvents, POST /v1/usage) until Ctrl-C. Each source needs a token: `usage-token`."""
    from fly_billing.cli.ports import refuse_unusable_port
    from fly_billing.settings import Settings
    from fly_billing.usage_intake import serve

    refuse_unusable_port(host, port)
    settings = Settings.from_environment()
    serve(settings, host, port, lambda line: console.print(line, soft_wrap=True), publish_seconds)


@app.command(rich_help_panel=PANEL)
def usage_token(
    source: Annotated[str, typer.Argument(help="The `source` of the events that it may post", show_default=False)],
) -> None:
    """Make a token with which a source may post usage. It is shown once: the settings have only its digest."""
    from fly_billing.usage_intake.server import make_token

    try:
        token, made = make_token(source)
    except ValueError as problem:
        raise typer.BadParameter(visible(str(problem))) from problem
    console.print(f"Token, shown only now: {token}", soft_wrap=True)
    console.print(f"FLY_BILLING_USAGE_TOKENS: {made.line()}", soft_wrap=True)
