"""`fly-billing reconcile` and `repair`: both sides of a month side by side, and what is done where they disagree."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, Text, confirm, lines, styled
from fly_billing.invoicing.group_members import billing_groups
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.settings import Settings
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.reconciliation import Reconciliation
from fly_billing.stripe_sync.repair import FAILED, Repaired, carry_out, plan_of_repair
from fly_billing.stripe_sync.rules.reconciliation import Discrepancy
from fly_billing.stripe_sync.rules.repair_plan import LEAVE, Action


@dataclass(frozen=True)
class _Platform:
    settings: Settings
    tools: SyncTools

    def plan(self, month: BillingMonth, all_lines: bool) -> tuple[Reconciliation, list[Action]]:
        groups = billing_groups(self.tools.journal.database)
        return plan_of_repair(self.tools, month, groups, all_lines=all_lines)


@contextmanager
def _platform(name: str) -> Iterator[_Platform]:
    with local_platform(stripe=True) as settings:
        tools = StripeAccount().sync_tools(BillingDatabase(settings.database_url), Clock(), f"fly-billing {name}")
        yield _Platform(settings, tools)


def show_reconciliation(console: Terminal, month: BillingMonth, *, as_json: bool, all_lines: bool) -> bool:
    """Print where Stripe and we disagree on a month, and both totals; return whether they agree."""
    with _platform("reconcile") as platform:
        both, _ = platform.plan(month, all_lines)
    if as_json:
        print(json.dumps(_as_data(month, both), indent=2))
    else:
        _print(console, month, both)
    return not both.discrepancies


def _print(console: Terminal, month: BillingMonth, both: Reconciliation) -> None:
    if both.discrepancies:
        table = Table(title=f"{month}: where Stripe and we disagree", title_justify="left")
        for name in ("Kind", "Organization", "Ours", "In Stripe", "Stripe id", "What, and what to do"):
            table.add_column(name, justify="right" if name in ("Ours", "In Stripe") else "left")
        for one in both.discrepancies:
            told = lines(one.message, styled(one.what_to_do, "dim"))
            table.add_row(one.kind, one.organization_id, _ours(one), _theirs(one), lines(*one.stripe_ids), told)
        console.print(table)
    console.print(f"ours:      {_total(both.expected, both.totals_here)}")
    console.print(f"in Stripe: {_total(both.found, both.totals_in_stripe)}")
    if both.with_unread_lines:
        console.print(
            f"{both.with_unread_lines} invoices of more than ten lines were compared by total, currency and number of"
            " lines; --lines reads and compares every line",
        )
    console.print("both agree" if not both.discrepancies else f"{len(both.discrepancies)} discrepancies")


def _ours(one: Discrepancy) -> str:
    return format_cents(one.ours.total_cents, one.ours.currency) if one.ours else ""


def _theirs(one: Discrepancy) -> Text:
    return lines(*(f"{format_cents(found.total_cents, found.currency)} {found.status}" for found in one.theirs))


def _total(invoices: Sequence[Any], totals: Mapping[str, int]) -> str:
    money = ", ".join(format_cents(cents, name) for name, cents in totals.items())
    return f"{len(invoices)} invoices, {money or 'nothing'}"


def _as_data(month: BillingMonth, both: Reconciliation) -> Mapping[str, Any]:
    return {
        "month": str(month),
        "agree": not both.discrepancies,
        "ours": {"invoices": len(both.expected), "total_cents": both.totals_here},
        "in_stripe": {"invoices": len(both.found), "total_cents": both.totals_in_stripe},
        "with_unread_lines": both.with_unread_lines,
        "discrepancies": [
            {
                "kind": one.kind,
                "organization": one.organization_id,
                "invoice": one.invoice_id,
                "ours_cents": one.ours.total_cents if one.ours else None,
                "currency": one.ours.currency if one.ours else None,
                "in_stripe": [
                    {
                        "id": found.stripe_id,
                        "status": found.status,
                        "total_cents": found.total_cents,
                        "currency": found.currency,
                    }
                    for found in one.theirs
                ],
                "lines": [vars(line) for line in one.lines],
                "message": one.message,
                "what_to_do": one.what_to_do,
            }
            for one in both.discrepancies
        ],
    }


def repair(console: Terminal, month: BillingMonth, *, dry_run: bool, yes_to: Collection[str], all_lines: bool) -> bool:
    """Repair what is safe, ask before the rest, and compare again; return whether both sides agree in the end."""
    with _platform("repair") as platform:
        both, actions = platform.plan(month, all_lines)
        if dry_run or not actions:
            _print_plan(console, month, actions)
            return not actions
        may = _asking(console, yes_to)
        done = carry_out(platform.tools, month, actions, may, platform.settings.guard_percent)
        _print_done(console, month, done)
        both, _ = platform.plan(month, all_lines)
    _print(console, month, both)
    return not both.discrepancies and all(one.outcome != FAILED for one in done)


def _asking(console: Terminal, yes_to: Collection[str]) -> Callable[[Action], bool]:
    """Return who decides: a script's answer for the kind, or else a human; without a terminal the answer is no."""

    def may(action: Action) -> bool:
        if action.kind in yes_to or not sys.stdin.isatty():
            return action.kind in yes_to
        return confirm(console, f"{action.kind}, {action.organization_id}: {action.sentence}?")

    return may


def _print_plan(console: Terminal, month: BillingMonth, actions: Sequence[Action]) -> None:
    if not actions:
        console.print(f"{month}: nothing to repair")
        return
    table = _table(f"{month}: what a repair would do; nothing was changed")
    for one in actions:
        how = "by hand" if one.verb == LEAVE else "safe" if one.is_safe else f"asks (--yes-to {one.kind})"
        table.add_row(one.kind, one.organization_id, lines(*one.stripe_ids), how, one.sentence)
    console.print(table)


def _print_done(console: Terminal, month: BillingMonth, done: Sequence[Repaired]) -> None:
    table = _table(f"{month}: what was done")
    for one in done:
        how = {"left": "by hand", "refused": f"not done (--yes-to {one.action.kind})"}.get(one.outcome, one.outcome)
        told = lines(one.action.sentence, *([one.detail] if one.outcome == FAILED else []))
        table.add_row(one.action.kind, one.action.organization_id, lines(*one.action.stripe_ids), how, told)
    console.print(table)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("Kind", "Organization", "Stripe id", "How", "What"):
        table.add_column(name)
    return table
