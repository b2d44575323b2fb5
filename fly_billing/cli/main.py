"""The `fly-billing` command. Keeps out: what the commands do, which each has its own module or room.

A command imports what it needs when it runs: Dagster alone takes a second.
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
from fly_billing.errors import ToBeMended
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
        print(f"fly-billing {version('fly-billing')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Rate usage, build invoices in your own database, and sync each finalized invoice to Stripe exactly once."""


def main() -> None:
    """Run the command; what a user can mend is told in a line, not in a traceback."""
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
    """Say in one line what a user can fix, wherever in the chain of causes it is; None for a bug of ours."""
    link: BaseException | None = problem
    while link is not None:
        if isinstance(link, ToBeMended | EmbeddedPostgresError | ServerInUseError):
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
    """Turn SIGTERM into an orderly end: what was started is stopped on the way out."""
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
    """Seed, land, bill, sync, check, and show the result: the whole way on this machine."""
    from fly_billing.cli.demo import demo as run_demo

    raise typer.Exit(0 if run_demo(Terminal(width=None if console.is_terminal else 132)) else 1)


@app.command()
def dev(port: Annotated[int, typer.Option(help="Port of the UI")] = 3000) -> None:
    """Start the Dagster UI and daemon, Postgres and the Stripe sandbox, until Ctrl-C."""
    from fly_billing.cli.dev import dev as run_dev

    raise typer.Exit(run_dev(console, port))


@app.command()
def migrate() -> None:
    """Bring the billing database's schema up to date."""
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.postgres.migrate import migrate as run_migrate
    from fly_billing.postgres.migrate import owner_database

    with local_platform(migrates=True) as settings:
        run_migrate(owner_database(settings))
        console.print("The billing database is up to date.")


@app.command()
def seed(
    today: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day to make usage up to")] = None,
    months: Annotated[int, typer.Option(min=1, help="Closed months of usage")] = 3,
    organizations: Annotated[int, typer.Option(min=1, help="Organizations besides Fly")] = 40,
    number: Annotated[int, typer.Option("--seed", help="Another number, another platform")] = 1,
) -> None:
    """Make the organization Fly with its two invoices, and a small platform around it, with usage files."""
    from fly_billing.cli.seeding import seed_platform

    seed_platform(console, today.date() if today else None, months, organizations, number)


@app.command()
def load_prices(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A price book's folder, named as the book is; without it the one of this repository"),
    ] = None,
) -> None:
    """Load a price book, and what was negotiated over it, into the billing database."""
    from fly_billing.cli.seeding import load_prices_of

    load_prices_of(console, folder)


@app.command()
def prices(
    organization: Annotated[str | None, typer.Argument(help="Only those of this organization")] = None,
    at: Annotated[datetime | None, typer.Option(help="Only those in force at this moment (UTC)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON")] = False,
) -> None:
    """Show who has which negotiated prices, by itself or in a group: since when, and the list price beside them."""
    from fly_billing.cli.prices import show_prices

    show_prices(wide_console(), organization, at.replace(tzinfo=UTC) if at else None, as_json=as_json)


@app.command()
def import_focus(
    files: Annotated[
        list[Path], typer.Argument(help="A FOCUS cost-and-usage CSV (1.0 to 1.3); all files of one export", exists=True)
    ],
    cost: Annotated[str, typer.Option(help="Bill list prices (list) or what the provider billed (billed)")] = "list",
) -> None:
    """Read a FOCUS file: sub-accounts become organizations, SKU prices the price book, charges usage files."""
    from fly_billing.cli.seeding import import_focus_files

    import_focus_files(console, files, cost)


@app.command()
def export_focus(
    month: Month,
    file_format: Annotated[str, typer.Option("--format", help="csv or parquet")] = "csv",
    out: Annotated[Path | None, typer.Option(help="The file to write; else focus-YYYY-MM.csv here")] = None,
    version: Annotated[str, typer.Option("--focus-version", help="1.2 or 1.3")] = "1.2",
    provider: Annotated[str, typer.Option(help="Who provides, publishes and invoices the services")] = "Fly.io",
    overwrite: Annotated[bool, typer.Option("--overwrite", "--force", help="Replace the file if it exists")] = False,
) -> None:
    """Write a month's final invoices as a FOCUS cost-and-usage file. Void invoices are left out."""
    from fly_billing.cli.export_focus import export_month

    file = out or Path(f"focus-{month}.{file_format}")
    export_month(wide_console(), month, file, file_format, version, provider, overwrite=overwrite)


@app.command()
def land(
    month: MaybeMonth = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare the whole usage table with Postgres; show which days differ")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: land those days again")] = False,
    new_table: Annotated[
        bool, typer.Option("--new-table", help="With --repair: the table is gone for good, make a new one")
    ] = False,
) -> None:
    """Land the usage files that are new or changed; with a month, every landing day that counts for it."""
    from fly_billing.cli.billing import land_new_files, repair_usage_table

    if repair:
        _exit(repair_usage_table(console, yes=yes, new_table=new_table))
    _exit(land_new_files(console, month))


@app.command()
def bill(month: Month) -> None:
    """Bill a month for all organizations: roll its usage up, compute its invoices, finalize them if it is closed."""
    from fly_billing.cli.billing import run_month

    _exit(run_month(console, "bill_month", month))


@app.command()
def backfill(
    first: Annotated[BillingMonth, typer.Argument(metavar="FROM", help="YYYY-MM", parser=_month)],
    last: Annotated[BillingMonth, typer.Argument(metavar="TO", help="YYYY-MM, included", parser=_month)],
    again: Annotated[bool, typer.Option("--again", help="Begin anew, also with months that are done")] = False,
) -> None:
    """Bill a stretch of months again for all organizations, one run each. Stopped, the same command goes on.

    Final invoices stay as they are: what they would be now goes on the next open one, once. Exit code 1 if it was
    stopped or a month failed.
    """
    from fly_billing.cli.backfill import backfill as run_backfill

    _exit(run_backfill(console, first, last, again=again))


@app.command()
def sync(
    month: Month,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing")] = False,
) -> None:
    """Bring a month's finalized invoices to Stripe and compare both sides."""
    from fly_billing.cli.billing import run_month
    from fly_billing.cli.cutover import show_plan

    _exit(show_plan(console, month) if dry_run else run_month(console, "sync_month", month))


@app.command()
def approve(
    month: Month,
    by: Annotated[str, typer.Option(help="Who approves it")],
    total: Annotated[int, typer.Option(help="The total in cents that may be sent at most")],
    currency: Annotated[str, typer.Option(help="ISO 4217")] = "USD",
) -> None:
    """Let a month be sent whose total is out of line with last month's, up to this total."""
    from fly_billing.cli.cutover import approve as run_approve

    _exit(run_approve(console, month, currency.upper(), total, by))


@app.command()
def corrections(
    month: MaybeMonth = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, amounts exact")] = False,
) -> None:
    """List corrections of final invoices that wait for a person, as they would give back suspiciously much."""
    from fly_billing.cli.corrections import show_waiting

    show_waiting(wide_console(), month, as_json=as_json)


@app.command()
def approve_corrections(
    month: Month,
    total: Annotated[str, typer.Option(metavar="AMOUNT", help="What they give back, as `corrections` names it")],
    by: Annotated[str, typer.Option(help="Who approves it")],
    why: Annotated[str, typer.Option(help="The reason, kept with the approval")],
    currency: Annotated[str, typer.Option(help="ISO 4217")] = "USD",
    organization: Annotated[str | None, typer.Option(metavar="ORG", help="Only this payer's correction")] = None,
) -> None:
    """Let the corrections pass that wait now, once: the next run books them. Refuses any other total than theirs."""
    from fly_billing.cli.corrections import approve_waiting

    approve_waiting(console, month, currency.upper(), total, by, why, organization)


EveryLine = Annotated[bool, typer.Option("--lines", help="Read and compare the lines of long invoices too")]


@app.command()
def reconcile(
    month: Month,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, with the lines that differ")] = False,
    lines: EveryLine = False,
) -> None:
    """Compare what Stripe holds of a month with what we billed. Exit code 1 when they disagree."""
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
    """Mend where Stripe and we disagree: the safe at once, the rest after asking. Exit code 1 if not all is mended."""
    from fly_billing.cli.reconcile import repair as run_repair

    _exit(run_repair(wide_console(), month, dry_run=dry_run, yes_to=_kinds(yes_to or []), all_lines=lines))


def _kinds(given: list[str]) -> set[str]:
    from fly_billing.stripe_sync.rules.reconciliation import KINDS

    unknown = sorted(set(given) - set(KINDS))
    if unknown:
        raise typer.BadParameter(visible(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}"))
    return set(given)


def wide_console() -> Terminal:
    """Return a console for tables of ids and amounts: wide where nobody sees its edge."""
    return console if console.is_terminal else Terminal(width=160)


@app.command()
def shadow(
    month: Month,
    price_book: Annotated[Path, typer.Option(help="A price book's folder", exists=True, file_okay=False)],
    instead_of: Annotated[str, typer.Option(help="The price book whose place it takes")] = "fly",
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, amounts in cents")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many organizations to show")] = 20,
) -> None:
    """Bill a month that was billed again under another price book, and compare. Nothing is written.

    Exit code 1 if somebody could not be priced.
    """
    from fly_billing.cli.shadow import run_shadow

    _exit(run_shadow(wide_console(), month, price_book, instead_of=instead_of, as_json=as_json, top=top))


@app.command()
def statement(
    organization: Annotated[str, typer.Argument(help="An organization's id")],
    month: MaybeMonth = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, amounts exact")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as a page to this file")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page if it exists")] = False,
) -> None:
    """Show what an organization owes and why (without a month: the newest). Stripe is not asked.

    Exits 1 where a record can't be read: it is named, and everything else is shown.
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
        str | None, typer.Argument(metavar="[ORG]", help="Only what this organization pays")
    ] = None,
    first: Annotated[
        BillingMonth | None, typer.Option("--from", metavar="YYYY-MM", help="Else from the beginning", parser=_month)
    ] = None,
    last: Annotated[
        BillingMonth | None, typer.Option("--to", metavar="YYYY-MM", help="Else up to this month", parser=_month)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, amounts in cents")] = False,
) -> None:
    """Show what each month came to: billed, paid, written off, open so far. Void invoices are left out."""
    from fly_billing.cli.totals import show_totals

    show_totals(wide_console(), organization, first, last, as_json=as_json)


spend_alert = typer.Typer(help="Amounts at which people are told what a month has come to.", no_args_is_help=True)
app.add_typer(spend_alert, name="spend-alert")
Organization = Annotated[str, typer.Argument(metavar="ORG", help="An organization's id")]
Threshold = Annotated[str, typer.Argument(help="In the organization's currency: 250 or 99.50")]


@spend_alert.command("add")
def add_spend_alert(organization: Organization, amount: Threshold) -> None:
    """Tell once a month when the organization's upcoming invoice has come to this amount."""
    from fly_billing.cli.spend_alerts import add

    add(console, organization, amount)


@spend_alert.command("remove")
def remove_spend_alert(organization: Organization, amount: Threshold) -> None:
    """Take the alert at this amount away."""
    from fly_billing.cli.spend_alerts import remove

    remove(console, organization, amount)


@spend_alert.command("list")
def list_spend_alerts(
    organization: Annotated[str | None, typer.Argument(metavar="[ORG]", help="Only those of this organization")] = None,
) -> None:
    """List the alerts, with the last month in which each was told."""
    from fly_billing.cli.spend_alerts import show

    show(console, organization)


@app.command()
def explain(
    what: Annotated[
        str, typer.Argument(metavar="ITEM|ORG", help="An item's id or its first digits, or an organization")
    ],
    month: MaybeMonth = None,
    position: Annotated[int | None, typer.Argument(metavar="N", help="Which item of that month, from 1", min=1)] = None,
    events: Annotated[
        bool, typer.Option("--events", help="List the usage events behind it, with a running sum")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="All lines, files and events, however many")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, amounts exact")] = False,
) -> None:
    """Show how an item's amount came about, as a sum to redo on a calculator. Exit code 1 if it does not come to it.

    `explain 2a7ff1e4` (at least 6 digits of an item's id), `explain acme 2026-09 3` (the third item of that invoice).
    `explain acme 2026-09` lists that invoice's items with their ids.
    """
    from fly_billing.cli.explain import Asked, explain_month
    from fly_billing.cli.explain import explain as run_explain

    to = console if console.is_terminal else Terminal(width=100)
    if month and position is None:
        explain_month(to, what, month, as_json=as_json)
    else:
        _exit(run_explain(to, what, month, position, Asked(events, every, as_json)))


@app.command()
def rebill(
    organization: Annotated[str, typer.Argument(help="An organization's id")],
    month: Month,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, write nothing")] = False,
    credit_note: Annotated[bool, typer.Option("--credit-note", help="Give it back as credit")] = False,
    reissue: Annotated[
        bool,
        typer.Option("--reissue", help="Make it anew: void it, unless it is void already; Stripe must not have it"),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it as it was billed, although terms of its month changed; needs --why")
    ] = False,
    why: Annotated[str | None, typer.Option(help="The reason, kept with what is booked")] = None,
    approve: Annotated[
        str | None,
        typer.Option("--approve", metavar="AMOUNT", help="What it gives back, where that is so much that it is asked"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, amounts exact")] = False,
) -> None:
    """Work a final invoice out again, and book the difference on the next open one: once, however often it is run."""
    from fly_billing.cli.rebill import Wish
    from fly_billing.cli.rebill import rebill as run_rebill

    if credit_note + reissue + keep > 1:
        raise typer.BadParameter("--credit-note, --reissue and --keep are three ways to decide: choose one")
    if keep and not (why and why.strip()):
        raise typer.BadParameter("--keep names a reason: --why REASON")
    run_rebill(console, organization, month, Wish(dry_run, credit_note, reissue, as_json, why, approve, keep))


@app.command()
def reserve(
    organization: Annotated[str, typer.Argument(metavar="ORG", help="An organization's id")],
    block: Annotated[str, typer.Argument(metavar="BLOCK", help="For example reservation/performance/20")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What it is bound to: the region")],
    first_month: Annotated[
        BillingMonth | None,
        typer.Option("--from", metavar="YYYY-MM", help="Its first month, if not this one", parser=_month),
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Another number buys another one of the same")] = 1,
) -> None:
    """Sell usage of a year ahead, cheaper: charged once, given as credit that pays for each month's usage."""
    from fly_billing.cli.reserve import reserve as run_reserve

    run_reserve(console, organization, block, value, first_month, number)


@app.command()
def webhooks(
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8421,
    host: Annotated[str, typer.Option(help="Address to listen on; put TLS in front of anything public")] = "127.0.0.1",
) -> None:
    """Take Stripe's webhooks (paid, failed, voided, written off) until Ctrl-C. Needs STRIPE_WEBHOOK_SECRET."""
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.stripe_sync.webhooks import serve

    with local_platform() as settings:
        serve(settings, host, port, lambda line: console.print(line, soft_wrap=True))


@app.command()
def alert_test() -> None:
    """Send a test alert over every channel that is set, and say which took it. Exit code 1 if one refused."""
    from fly_billing.cli.alerts import send_test_alert

    _exit(send_test_alert(console))


@app.command()
def stripe_sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 chooses one")] = 12111,
    store: Annotated[Path | None, typer.Option(help="SQLite file that keeps its state")] = None,
) -> None:
    """Run the local Stripe by itself, until Ctrl-C."""
    from fly_billing.cli.data_folder import make_private
    from fly_billing.settings import Settings
    from fly_billing.stripe_sandbox import run

    data_dir = Settings.from_environment().data_dir
    if store is None:
        make_private(data_dir)
    path = store or data_dir / "stripe_sandbox.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    run(port=port, store_path=path)


@app.command()
def clean() -> None:
    """Remove all local data: embedded Postgres, landing folder, usage table, sandbox. Refuses while it is in use."""
    from fly_billing.cli.seeding import remove_local_data

    remove_local_data(console)


def _exit(is_good: bool) -> None:
    raise typer.Exit(0 if is_good else 1)
