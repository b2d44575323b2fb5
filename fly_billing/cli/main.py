"""The `fly-billing` command: its subcommands and their options. The work is in one module for each.

A command imports what it needs when it runs, because importing Dagster takes a second.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, NoReturn

import typer
from dotenv import load_dotenv

from fly_billing.cli.terminal import Terminal, joined, lines, styled
from fly_billing.embedded_postgres import EmbeddedPostgresError, ServerInUseError
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.periods import BillingMonth
from fly_billing.postgres.connecting import describe

app = typer.Typer(
    name="fly-billing",
    help="Rates usage, builds invoices in your own database, and syncs each finalized invoice to Stripe exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Terminal()


def _show_version(is_asked: bool) -> None:
    if is_asked:
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
    """Run the command. Prints one line, not a traceback, for errors that a user can fix."""
    load_dotenv(Path(".env").resolve())
    # Dagster's words about its own beta parameters are not for the reader of a command's output.
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
    signal.signal(signal.SIGTERM, _stop)
    # A terminal without a character for € or ▁ shows a question mark; nothing fails for it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.excepthook = _show_traceback
    try:
        app()
    except Exception as problem:
        line = _line(problem)
        if line is None:
            raise
        _tell(line)


def _line(problem: BaseException) -> str | None:
    """Return one line about an error that a user can fix, found in the chain of causes; None for a bug."""
    link: BaseException | None = problem
    while link is not None:
        if isinstance(link, ActionableError | EmbeddedPostgresError | ServerInUseError):
            return str(link)
        link = link.__cause__ or link.__context__
    return describe(problem)


def _tell(problem: str) -> NoReturn:
    # Its own line breaks stay; what follows one is indented, so that it can't pass for another message.
    told = lines(*(("  " if number else "") + line for number, line in enumerate(problem.splitlines() or [""])))
    Terminal(stderr=True).print(joined(styled("fly-billing:", "red"), " ", told))
    sys.exit(2)


def _show_traceback(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    """Write a traceback as Python does, without control characters: its message may quote what others wrote."""
    print(visible("".join(traceback.format_exception(kind, problem, trace)), keep="\n\t"), end="", file=sys.stderr)


def _stop(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM like Ctrl-C, so that everything that was started is stopped."""
    raise KeyboardInterrupt


def _month(text: str) -> BillingMonth:
    try:
        return BillingMonth.parse(text)
    except ValueError as problem:
        raise typer.BadParameter(visible(str(problem))) from problem


Month = Annotated[BillingMonth, typer.Argument(help="YYYY-MM", parser=_month)]
MaybeMonth = Annotated[BillingMonth | None, typer.Argument(help="YYYY-MM", parser=_month)]


@app.command()
def demo() -> None:
    """Bill a sample platform on this machine: seed, land, bill, sync, reconcile, and show the result."""
    from fly_billing.cli.demo import demo as run_demo

    raise typer.Exit(0 if run_demo(Terminal(width=None if console.is_terminal else 132)) else 1)


@app.command()
def dev(port: Annotated[int, typer.Option(help="Port of the UI")] = 3000) -> None:
    """Run the Dagster UI and daemon, Postgres and the Stripe sandbox until Ctrl-C."""
    from fly_billing.cli.dev import dev as run_dev

    raise typer.Exit(run_dev(console, port))


@app.command()
def migrate() -> None:
    """Apply all missing migrations to the billing database."""
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.postgres.migrate import migrate as run_migrate
    from fly_billing.postgres.migrate import owner_database

    with local_platform(migrates=True) as settings:
        run_migrate(owner_database(settings))
        console.print("The billing database is up to date.")


@app.command()
def seed(
    today: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day with usage")] = None,
    months: Annotated[int, typer.Option(min=1, help="Closed months of usage")] = 3,
    organizations: Annotated[int, typer.Option(min=1, help="Organizations besides Fly")] = 40,
    number: Annotated[int, typer.Option("--seed", help="Random seed")] = 1,
) -> None:
    """Create sample data: the organization Fly with two invoices, more organizations, and usage files."""
    from fly_billing.cli.seeding import seed_platform

    seed_platform(console, today.date() if today else None, months, organizations, number)


@app.command()
def load_prices(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of the price book; its name is the book's. Default: the book that fly_billing ships"
        ),
    ] = None,
) -> None:
    """Load a price book and its negotiated prices into the billing database."""
    from fly_billing.cli.seeding import load_prices_of

    load_prices_of(console, folder)


@app.command()
def prices(
    organization: Annotated[str | None, typer.Argument(help="Only this organization")] = None,
    at: Annotated[datetime | None, typer.Option(help="Only prices in force at this time (UTC)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """List negotiated prices of organizations and groups, with their dates and list prices."""
    from fly_billing.cli.prices import show_prices

    show_prices(wide_console(), organization, at.replace(tzinfo=UTC) if at else None, as_json=as_json)


@app.command()
def import_focus(
    files: Annotated[
        list[Path],
        typer.Argument(help="FOCUS cost-and-usage CSV files (1.0 to 1.3): all files of one export", exists=True),
    ],
    cost: Annotated[
        str, typer.Option(help="Charge list prices (list) or the provider's billed cost (billed)")
    ] = "list",
) -> None:
    """Import a FOCUS file: sub-accounts become organizations, SKU prices a price book, charges usage files."""
    from fly_billing.cli.seeding import import_focus_files

    import_focus_files(console, files, cost)


@app.command()
def export_focus(
    month: Month,
    file_format: Annotated[str, typer.Option("--format", help="csv or parquet")] = "csv",
    out: Annotated[Path | None, typer.Option(help="Output file. Default: ./focus-YYYY-MM.csv")] = None,
    version: Annotated[str, typer.Option("--focus-version", help="1.2 or 1.3")] = "1.2",
    provider: Annotated[str, typer.Option(help="Provider, publisher and invoice issuer")] = "Fly.io",
    overwrite: Annotated[bool, typer.Option("--overwrite", "--force", help="Replace the file if it exists")] = False,
) -> None:
    """Export a month's final invoices as a FOCUS cost-and-usage file. Excludes void invoices."""
    from fly_billing.cli.export_focus import export_month

    file = out or Path(f"focus-{month}.{file_format}")
    export_month(wide_console(), month, file, file_format, version, provider, overwrite=overwrite)


@app.command()
def land(
    month: MaybeMonth = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare the whole usage table with Postgres and list the days that differ")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: land those days again")] = False,
    new_table: Annotated[
        bool, typer.Option("--new-table", help="With --repair: create a new table, because the old one is lost")
    ] = False,
) -> None:
    """Land new and changed usage files. With a month, land every day that counts for it."""
    from fly_billing.cli.billing import land_new_files, repair_usage_table

    if repair:
        _exit(repair_usage_table(console, yes=yes, new_table=new_table))
    _exit(land_new_files(console, month))


@app.command()
def bill(month: Month) -> None:
    """Bill a month for all organizations: roll up usage, build invoices, and finalize them if the month is closed."""
    from fly_billing.cli.billing import run_month

    _exit(run_month(console, "bill_month", month))


@app.command()
def backfill(
    first: Annotated[BillingMonth, typer.Argument(metavar="FROM", help="YYYY-MM", parser=_month)],
    last: Annotated[BillingMonth, typer.Argument(metavar="TO", help="YYYY-MM, included", parser=_month)],
    again: Annotated[bool, typer.Option("--again", help="Start over, including months that are done")] = False,
) -> None:
    """Bill a range of months again for all organizations, one run each.

    Final invoices do not change: each difference goes on the next open invoice, once. If interrupted, run the same
    command again to resume. Exits 1 if it was interrupted or a month failed.
    """
    from fly_billing.cli.backfill import backfill as run_backfill

    _exit(run_backfill(console, first, last, again=again))


@app.command()
def sync(
    month: Month,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing")] = False,
) -> None:
    """Sync a month's final invoices to Stripe, then compare both sides."""
    from fly_billing.cli.approvals import show_plan
    from fly_billing.cli.billing import run_month

    _exit(show_plan(console, month) if dry_run else run_month(console, "sync_month", month))


@app.command()
def approve(
    month: Month,
    by: Annotated[str, typer.Option(help="Who approves it")],
    total: Annotated[int, typer.Option(help="The largest total to allow, in cents")],
    currency: Annotated[str, typer.Option(help="ISO 4217")] = "USD",
) -> None:
    """Approve a month's total so that the spending guard lets it sync."""
    from fly_billing.cli.approvals import approve as run_approve

    _exit(run_approve(console, month, currency.upper(), total, by))


@app.command()
def corrections(
    month: MaybeMonth = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with exact amounts")] = False,
) -> None:
    """List corrections that need an approval because they would give back an unusual amount."""
    from fly_billing.cli.corrections import show_waiting

    show_waiting(wide_console(), month, as_json=as_json)


@app.command()
def approve_corrections(
    month: Month,
    total: Annotated[
        str, typer.Option(metavar="AMOUNT", help="The total that they give back, as `corrections` shows it")
    ],
    by: Annotated[str, typer.Option(help="Who approves it")],
    why: Annotated[str, typer.Option(help="The reason, kept with the approval")],
    currency: Annotated[str, typer.Option(help="ISO 4217")] = "USD",
    organization: Annotated[str | None, typer.Option(metavar="ORG", help="Only this payer's correction")] = None,
) -> None:
    """Approve the corrections that are waiting now. The next run books them. Refuses any other total."""
    from fly_billing.cli.corrections import approve_waiting

    approve_waiting(console, month, currency.upper(), total, by, why, organization)


EveryLine = Annotated[bool, typer.Option("--lines", help="Also read and compare the lines of long invoices")]


@app.command()
def reconcile(
    month: Month,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the lines that differ")] = False,
    lines: EveryLine = False,
) -> None:
    """Compare a month's invoices in Stripe with ours. Exits 1 if they differ."""
    from fly_billing.cli.reconcile import show_reconciliation

    _exit(show_reconciliation(wide_console(), month, as_json=as_json, all_lines=lines))


@app.command()
def repair(
    month: Month,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing")] = False,
    yes_to: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Don't ask for this kind: missing, duplicate, differing or edited"),
    ] = None,
    lines: EveryLine = False,
) -> None:
    """Fix differences between Stripe and our invoices. Exits 1 if any remain.

    Safe fixes run at once, others ask first.
    """
    from fly_billing.cli.reconcile import repair as run_repair

    _exit(run_repair(wide_console(), month, dry_run=dry_run, yes_to=_kinds(yes_to or []), all_lines=lines))


def _kinds(given: list[str]) -> set[str]:
    from fly_billing.stripe_sync.rules.reconciliation import KINDS

    unknown = sorted(set(given) - set(KINDS))
    if unknown:
        raise typer.BadParameter(visible(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}"))
    return set(given)


def wide_console() -> Terminal:
    """Return a console for wide tables: 160 columns if the output is no terminal."""
    return console if console.is_terminal else Terminal(width=160)


@app.command()
def shadow(
    month: Month,
    price_book: Annotated[
        Path, typer.Option(help="Folder of the price book to compare with", exists=True, file_okay=False)
    ],
    instead_of: Annotated[str, typer.Option(help="The price book that it replaces")] = "fly",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, amounts in cents")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many organizations to show")] = 20,
) -> None:
    """Re-rate a billed month under another price book and compare. Writes nothing.

    Exits 1 if an organization could not be rated.
    """
    from fly_billing.cli.shadow import run_shadow

    _exit(run_shadow(wide_console(), month, price_book, instead_of=instead_of, as_json=as_json, top=top))


@app.command()
def statement(
    organization: Annotated[str, typer.Argument(help="An organization's id")],
    month: MaybeMonth = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with exact amounts")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page to this file")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page if it exists")] = False,
) -> None:
    """Show what an organization owes and why. Default: its newest month. Does not contact Stripe.

    Exits 1 if a record can't be read. The output names it and shows everything else.
    """
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.cli.statement import show_statement, write_page
    from fly_billing.postgres.database import BillingDatabase
    from fly_billing.statements.statement_reader import NoSuchOrganization, read_statement

    with local_platform() as settings:
        try:
            found = read_statement(BillingDatabase(settings.database_url), organization, datetime.now(UTC), month)
        except (NoSuchOrganization, ValueError) as problem:
            raise typer.BadParameter(visible(str(problem))) from problem
    if html:
        write_page(html, found, overwrite=overwrite)
    if as_json:
        print(json.dumps(found.as_data(), indent=2))
    elif not html:
        show_statement(console, found)
    _exit(not found.problems)


@app.command()
def totals(
    organization: Annotated[
        str | None, typer.Argument(metavar="[ORG]", help="Only invoices that this organization pays")
    ] = None,
    first: Annotated[
        BillingMonth | None,
        typer.Option("--from", metavar="YYYY-MM", help="First month. Default: the first billed one", parser=_month),
    ] = None,
    last: Annotated[
        BillingMonth | None,
        typer.Option("--to", metavar="YYYY-MM", help="Last month. Default: the current one", parser=_month),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, amounts in cents")] = False,
) -> None:
    """Show each month's totals: billed, paid, written off, open so far. Excludes void invoices."""
    from fly_billing.cli.totals import show_totals

    show_totals(wide_console(), organization, first, last, as_json=as_json)


spend_alert = typer.Typer(
    help="Alerts when an organization's upcoming invoice reaches an amount.", no_args_is_help=True
)
app.add_typer(spend_alert, name="spend-alert")
Organization = Annotated[str, typer.Argument(metavar="ORG", help="An organization's id")]
Threshold = Annotated[str, typer.Argument(help="In the organization's currency: 250 or 99.50")]


@spend_alert.command("add")
def add_spend_alert(organization: Organization, amount: Threshold) -> None:
    """Alert once a month when the organization's upcoming invoice reaches this amount."""
    from fly_billing.cli.spend_alerts import add

    add(console, organization, amount)


@spend_alert.command("remove")
def remove_spend_alert(organization: Organization, amount: Threshold) -> None:
    """Remove the alert at this amount."""
    from fly_billing.cli.spend_alerts import remove

    remove(console, organization, amount)


@spend_alert.command("list")
def list_spend_alerts(
    organization: Annotated[str | None, typer.Argument(metavar="[ORG]", help="Only this organization")] = None,
) -> None:
    """List the alerts, with the last month in which each was sent."""
    from fly_billing.cli.spend_alerts import show

    show(console, organization)


@app.command()
def explain(
    what: Annotated[
        str, typer.Argument(metavar="ITEM|ORG", help="An item's id or its first digits, or an organization")
    ],
    month: MaybeMonth = None,
    position: Annotated[
        int | None, typer.Argument(metavar="N", help="Position of the item on that invoice, from 1", min=1)
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="List the usage events behind it, with a running total")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show all lines, files and events")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with exact amounts")] = False,
) -> None:
    """Show how an item's amount was calculated. Exits 1 if recalculating gives a different amount.

    `explain 2a7ff1e4` (at least 6 digits of an item's id), `explain acme 2026-09 3` (the third item of that invoice).
    `explain acme 2026-09` lists that invoice's items with their ids.
    """
    from fly_billing.cli.explain import ExplainOptions, explain_month
    from fly_billing.cli.explain import explain as run_explain

    to = console if console.is_terminal else Terminal(width=100)
    if month and position is None:
        explain_month(to, what, month, as_json=as_json)
    else:
        _exit(run_explain(to, what, month, position, ExplainOptions(events, every, as_json)))


@app.command()
def rebill(
    organization: Annotated[str, typer.Argument(help="An organization's id")],
    month: Month,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference and write nothing")] = False,
    credit_note: Annotated[bool, typer.Option("--credit-note", help="Issue the difference as a credit note")] = False,
    reissue: Annotated[
        bool,
        typer.Option(
            "--reissue",
            help="Void the invoice (if it is not void yet) and issue a new revision. Only for invoices not in Stripe",
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the invoice as billed although terms of its month changed. Needs --why")
    ] = False,
    why: Annotated[str | None, typer.Option(help="The reason, recorded with the booking")] = None,
    approve: Annotated[
        str | None,
        typer.Option("--approve", metavar="AMOUNT", help="The amount that it gives back, if that needs an approval"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with exact amounts")] = False,
) -> None:
    """Recalculate a final invoice and book the difference, once, on the next open invoice."""
    from fly_billing.cli.rebill import RebillOptions
    from fly_billing.cli.rebill import rebill as run_rebill

    if credit_note + reissue + keep > 1:
        raise typer.BadParameter("--credit-note, --reissue and --keep are three ways to decide: choose one")
    if keep and not (why and why.strip()):
        raise typer.BadParameter("--keep names a reason: --why REASON")
    run_rebill(console, organization, month, RebillOptions(dry_run, credit_note, reissue, as_json, why, approve, keep))


@app.command()
def reserve(
    organization: Annotated[str, typer.Argument(metavar="ORG", help="An organization's id")],
    block: Annotated[str, typer.Argument(metavar="BLOCK", help="For example reservation/performance/20")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The region that it is for")],
    first_month: Annotated[
        BillingMonth | None,
        typer.Option("--from", metavar="YYYY-MM", help="First month. Default: the current one", parser=_month),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Buy a further block of the same kind")] = 1,
) -> None:
    """Sell a one-year reservation: one upfront charge, monthly credits at a discount."""
    from fly_billing.cli.reserve import reserve as run_reserve

    run_reserve(console, organization, block, value, first_month, number)


@app.command()
def webhooks(
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8421,
    host: Annotated[str, typer.Option(help="Address to listen on. Put TLS in front of a public one")] = "127.0.0.1",
) -> None:
    """Receive Stripe webhooks (paid, failed, voided, uncollectible) until Ctrl-C. Needs STRIPE_WEBHOOK_SECRET."""
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.stripe_sync.webhooks import serve

    with local_platform() as settings:
        serve(settings, host, port, lambda line: console.print(line, soft_wrap=True))


@app.command()
def alert_test() -> None:
    """Send a test alert to every configured channel and show the results. Exits 1 if one failed."""
    from fly_billing.cli.alerts import send_test_alert

    _exit(send_test_alert(console))


@app.command()
def stripe_sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 picks a free one")] = 12111,
    store: Annotated[Path | None, typer.Option(help="SQLite file for its state")] = None,
) -> None:
    """Run only the local Stripe sandbox, until Ctrl-C."""
    from fly_billing.cli.data_folder import SANDBOX_STORE, make_data_folder
    from fly_billing.output_files import make_folder
    from fly_billing.settings import Settings
    from fly_billing.stripe_sandbox import run

    data_dir = Settings.from_environment().data_dir
    if store is None:
        make_data_folder(data_dir)
    path = store or data_dir / SANDBOX_STORE
    make_folder(path.parent)
    run(port=port, store_path=path)


@app.command()
def clean() -> None:
    """Delete all local data: embedded Postgres, landing folder, usage table, sandbox. Refuses while it is in use."""
    from fly_billing.cli.seeding import remove_local_data

    remove_local_data(console)


def _exit(is_good: bool) -> None:
    raise typer.Exit(0 if is_good else 1)
