"""Compares a month's invoices in Stripe with ours, and fixes differences: `fly-billing reconcile` and `repair`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, Text, confirm, lines, styled
from fly_billing.invoicing.group_members import billing_groups
from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.ledger.rules.owed_and_asked import READ_AGAIN, AskedDifference
from fly_billing.money import counted, format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.settings import Settings
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.missed_statuses import apply_missed_statuses
from fly_billing.stripe_sync.money_sweep import read_balances, sweep_money
from fly_billing.stripe_sync.reconciliation import Reconciliation
from fly_billing.stripe_sync.repair import FAILED, LEFT, REFUSED, Repaired, carry_out, plan_of_repair
from fly_billing.stripe_sync.rules.reconciliation import Discrepancy
from fly_billing.stripe_sync.rules.repair_plan import LEAVE, Action


@dataclass(frozen=True)
class _Platform:
    settings: Settings
    tools: SyncTools

    @property
    def database(self) -> BillingDatabase:
        return self.tools.journal.database

    def plan(self, month: BillingMonth, all_lines: bool) -> tuple[Reconciliation, list[Action]]:
        groups = billing_groups(self.tools.journal.database)
        return plan_of_repair(self.tools, month, groups, all_lines=all_lines)


@contextmanager
def _platform(name: str) -> Iterator[_Platform]:
    with local_platform(stripe=True) as settings:
        tools = StripeAccount().sync_tools(BillingDatabase(settings.database_url), Clock(), f"fly-billing {name}")
        yield _Platform(settings, tools)


def show_reconciliation(console: Terminal, month: BillingMonth, *, as_json: bool, all_lines: bool) -> bool:
    """Print the month's discrepancies and both totals. Returns True if there are no discrepancies."""
    with _platform("reconcile") as platform:
        reconciliation, _ = platform.plan(month, all_lines)
        differences = asked_differences(platform.database)
    if as_json:
        print(json.dumps(_as_data(month, reconciliation, differences), indent=2))
    else:
        _print(console, month, reconciliation)
        _print_differences(console, differences)
    return not reconciliation.discrepancies and not differences


def _print(console: Terminal, month: BillingMonth, reconciliation: Reconciliation) -> None:
    if reconciliation.discrepancies:
        table = Table(title=f"{month}: discrepancies between Stripe and our invoices", title_justify="left")
        for name in ("Kind", "Organization", "Ours", "In Stripe", "Stripe id", "Difference, and its fix"):
            table.add_column(name, justify="right" if name in ("Ours", "In Stripe") else "left")
        for discrepancy in reconciliation.discrepancies:
            table.add_row(
                discrepancy.kind,
                discrepancy.organization_id,
                _ours(discrepancy),
                _theirs(discrepancy),
                lines(*discrepancy.stripe_ids),
                lines(discrepancy.message, styled(discrepancy.what_to_do, "dim")),
            )
        console.print(table)
    console.print(f"ours:      {_total(reconciliation.expected, reconciliation.totals_here)}")
    console.print(f"in Stripe: {_total(reconciliation.found, reconciliation.totals_in_stripe)}")
    if reconciliation.with_unread_lines:
        console.print(
            "Compared only by total, currency and number of lines:"
            f" {counted(reconciliation.with_unread_lines, 'invoice')} with more than ten lines. --lines compares every"
            " line.",
        )
    console.print(
        "Both agree." if not reconciliation.discrepancies else counted(len(reconciliation.discrepancies), "discrepancy")
    )


def _print_differences(console: Terminal, differences: Sequence[AskedDifference]) -> None:
    """Print what organizations owe and Stripe does not ask for, or the reverse; of all months."""
    if not differences:
        console.print("Every organization owes what Stripe asks for.")
        return
    table = Table(title="Owed here and asked for in Stripe, of all months", title_justify="left")
    for name in ("Kind", "Organization", "Owed", "Asked for", "Cause, and its fix"):
        table.add_column(name, justify="right" if name in ("Owed", "Asked for") else "left")
    for each in differences:
        here, there = (format_cents(cents, each.currency) for cents in (each.here, each.there))
        table.add_row(
            each.kind, each.organization_id, here, there, lines(each.cause, styled(each.what_to_do, "dim"))
        )  # fmt: skip
    console.print(table)


def _ours(discrepancy: Discrepancy) -> str:
    ours = discrepancy.ours
    return format_cents(ours.total_cents, ours.currency) if ours else ""


def _theirs(discrepancy: Discrepancy) -> Text:
    invoices = discrepancy.theirs
    return lines(*(f"{format_cents(stripe.total_cents, stripe.currency)} {stripe.status}" for stripe in invoices))


def _total(invoices: Sequence[Any], totals: Mapping[str, int]) -> str:
    money = ", ".join(format_cents(cents, name) for name, cents in totals.items())
    return f"{counted(len(invoices), 'invoice')}, {money or 'nothing'}"


def _as_data(
    month: BillingMonth, reconciliation: Reconciliation, differences: Sequence[AskedDifference]
) -> Mapping[str, Any]:
    return {
        "month": str(month),
        "agree": not reconciliation.discrepancies and not differences,
        "ours": {"invoices": len(reconciliation.expected), "total_cents": reconciliation.totals_here},
        "in_stripe": {"invoices": len(reconciliation.found), "total_cents": reconciliation.totals_in_stripe},
        "with_unread_lines": reconciliation.with_unread_lines,
        "discrepancies": [
            {
                "kind": discrepancy.kind,
                "organization": discrepancy.organization_id,
                "invoice": discrepancy.invoice_id,
                "ours_cents": discrepancy.ours.total_cents if discrepancy.ours else None,
                "currency": discrepancy.ours.currency if discrepancy.ours else None,
                "in_stripe": [
                    {
                        "id": invoice.stripe_id,
                        "status": invoice.status,
                        "total_cents": invoice.total_cents,
                        "currency": invoice.currency,
                    }
                    for invoice in discrepancy.theirs
                ],
                "lines": [vars(line) for line in discrepancy.lines],
                "message": discrepancy.message,
                "what_to_do": discrepancy.what_to_do,
            }
            for discrepancy in reconciliation.discrepancies
        ],
        "owed_and_asked": [asdict(difference) for difference in differences],
    }


def repair(console: Terminal, month: BillingMonth, *, dry_run: bool, yes_to: Collection[str], all_lines: bool) -> bool:
    """Run the safe fixes, ask before the others, and compare again. Returns True if both sides agree afterwards."""
    with _platform("repair") as platform:
        reconciliation, actions = platform.plan(month, all_lines)
        differences = asked_differences(platform.database)
        if dry_run or not (actions or differences):
            _print_plan(console, month, actions)
            _print_differences(console, differences)
            return not actions and not differences
        may = _asking(console, yes_to)
        repairs = carry_out(platform.tools, month, actions, may, platform.settings.guard_percent) if actions else []
        _print_repairs(console, month, repairs)
        differences = _read_again(console, platform, differences)
        reconciliation, _ = platform.plan(month, all_lines)
    _print(console, month, reconciliation)
    _print_differences(console, differences)
    agree = not reconciliation.discrepancies and not differences
    return agree and all(repair.outcome != FAILED for repair in repairs)


def _read_again(
    console: Terminal, platform: _Platform, differences: Sequence[AskedDifference]
) -> list[AskedDifference]:
    """Record missing states of Stripe, which changes nothing there; return the differences that are left."""
    database, reader, now = platform.database, platform.tools.reader(), Clock().now()
    if not any(difference.kind in READ_AGAIN for difference in differences):
        return asked_differences(database)
    missed = sweep_money(database, reader, now).missed.total()
    missed += read_balances(database, reader, [each.organization_id for each in differences], now)
    applied = apply_missed_statuses(database, now)
    console.print(f"Read Stripe again: {counted(missed, 'state')} recorded, {counted(applied, 'invoice')} changed.")
    return asked_differences(database)


def _asking(console: Terminal, yes_to: Collection[str]) -> Callable[[Action], bool]:
    """Return a function that decides on an action: by `yes_to`, else by asking. Without a terminal, it says no."""

    def may(action: Action) -> bool:
        if action.kind in yes_to or not sys.stdin.isatty():
            return action.kind in yes_to
        return confirm(console, f"{action.kind}, {action.organization_id}: {action.sentence}?")

    return may


def _print_plan(console: Terminal, month: BillingMonth, actions: Sequence[Action]) -> None:
    if not actions:
        console.print(f"{month}: nothing to repair.")
        return
    table = _table(f"{month}: planned repairs (nothing was changed)")
    for action in actions:
        mode = "manual" if action.verb == LEAVE else "safe" if action.is_safe else f"asks (--yes-to {action.kind})"
        table.add_row(action.kind, action.organization_id, lines(*action.stripe_ids), mode, action.sentence)
    console.print(table)


def _print_repairs(console: Terminal, month: BillingMonth, repairs: Sequence[Repaired]) -> None:
    table = _table(f"{month}: repairs")
    for repair in repairs:
        action = repair.action
        outcomes = {LEFT: "manual", REFUSED: f"not done (--yes-to {action.kind})"}
        text = lines(action.sentence, *([repair.detail] if repair.outcome == FAILED else []))
        outcome = outcomes.get(repair.outcome, repair.outcome)
        table.add_row(action.kind, action.organization_id, lines(*action.stripe_ids), outcome, text)
    console.print(table)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("Kind", "Organization", "Stripe id", "Mode", "Action"):
        table.add_column(name)
    return table
