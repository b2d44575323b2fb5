"""Shows a campaign to people: a line while it runs, tables at the end, and one line for machines.

Keeps out: the picture (plot.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.chaos import campaign
from tests.chaos.audit import Findings
from tests.chaos.campaign import Outcome
from tests.chaos.plan import Plan


@contextmanager
def shown(console: Console, plan: Plan) -> Iterator[Callable[[campaign.Progress], None]]:
    """Show the progress of a campaign while the block runs."""
    more_to_say = TextColumn("{task.fields[more]}")
    columns = (BarColumn(30), MofNCompleteColumn(), TextColumn("invoices"), TimeElapsedColumn(), more_to_say)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=plan.invoices, more="starting Postgres and Stripe, finalizing the invoices")

        def show(now: campaign.Progress) -> None:
            more = f"{now.calls} calls, {now.lives.killed} kills, {now.struck} faults struck, at {now.month}"
            bar.update(task, completed=min(now.finalized, plan.invoices), more=more)

        yield show


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print the strikes, the calls by endpoint, and the invoices left to people."""
    console.print(_table("Faults", "what", {**outcome.struck, **outcome.by_hand}, "struck"))
    calls = Table(title="Calls", title_justify="left")
    calls.add_column("endpoint")
    for name in ("calls", "applied", "replayed"):
        calls.add_column(name, justify="right")
    for endpoint in outcome.endpoints:
        calls.add_row(*(_number(endpoint[name]) for name in ("endpoint", "calls", "applied", "replayed")))
    console.print(calls)
    decided = outcome.decided
    console.print(_table("Left to a person", "why", decided.by_human, "invoices"))
    if decided.by_repair:
        console.print(_table("Fixed by repair without confirmation", "what", decided.by_repair, "invoices"))
    lives = outcome.lives
    facts = {
        "calls of the sync per invoice": f"{outcome.calls_per_invoice:.2f}",
        "the least possible": f"{outcome.minimum_calls / outcome.findings.billable:.2f}",
        "processes killed": lives.killed,
        "processes that ended": lives.ended,
        "processes that Postgres was away from": lives.crashed,
        "Postgres restarts": outcome.postgres_restarts,
        "events that only polling brought": outcome.polled,
        "seconds": round(outcome.seconds),
    }
    console.print(_table("The run", "what", facts, ""))
    for line in (*outcome.shortcomings(), *outcome.decided.undone, *outcome.findings.examples):
        console.print(f"[red]WRONG[/red] {line}", highlight=False)


def _table(title: str, what: str, counts: Mapping[str, object], of: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(what)
    table.add_column(of, justify="right")
    for name, count in counts.items():
        table.add_row(name, _number(count))
    return table


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def for_machines(outcome: Outcome) -> str:
    """Return the outcome in one line; the audit's counts are 0 if all is well."""
    facts = {
        "seed": outcome.plan.seed,
        "invoices": outcome.findings.billable,
        "calls": outcome.calls,
        "calls_per_invoice": f"{outcome.calls_per_invoice:.2f}",
        "kills": outcome.lives.killed,
        "postgres_restarts": outcome.postgres_restarts,
        "faults": outcome.faults,
        "by_human": outcome.decided.by_human.total(),
        "seconds": round(outcome.seconds),
        **outcome.findings.counts,
    }
    return "chaos: " + " ".join(f"{name}={value}" for name, value in facts.items())


def print_trials(console: Console, findings: Mapping[str | None, Findings]) -> None:
    """Print the audit's findings of the real sync (None) and of the broken ones, by their fault."""
    table = Table("sync", "the audit found", title="Broken on purpose", title_justify="left")
    for broken, finding in findings.items():
        found_wrong = " ".join(f"{name}={count}" for name, count in finding.wrong.items())
        table.add_row(broken or "as it is", found_wrong or "nothing wrong")
    console.print(table)
