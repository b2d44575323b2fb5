"""Reads what may need a person, with the functions of each subject. Not here: the rules (`operations.rules`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from fly_billing.alerting.rules.alerts import FailedInvoice
from fly_billing.checks.failed_checks import list_failures
from fly_billing.corrections.changed_terms import undecided_changes
from fly_billing.corrections.held_corrections import held_totals, list_held_corrections
from fly_billing.dunning.past_due import late_payments
from fly_billing.invoicing.invalid_invoices import list_invalid_invoices
from fly_billing.object_store.address import Place
from fly_billing.operations.rules.attention import (
    AttentionRow,
    Discrepancies,
    Facts,
    HeldMonth,
    Problem,
    RefusedAlerts,
    attention_rows,
)
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sync.approvals import guard_results
from fly_billing.stripe_sync.open_credits import list_open_credits
from fly_billing.stripe_sync.rules.spending_guard import GuardResult
from fly_billing.usage.landing_folder import LandingError, find_landing_problems
from fly_billing.usage.rejections import list_unresolved
from fly_billing.usage.sources import list_silent_sources
from fly_billing.worklist.due import (
    CATCH_UP,
    closed_until,
    days_before_closing,
    days_not_landed,
    days_to_land,
    months_to_close,
    months_to_sync,
)

# A day that ended, or a grace period that is over, needs nobody yet: the hourly schedule lands it first.
HOURLY_LANDING = timedelta(hours=2)

# Checks whose failures are facts of another kind: discrepancies, and changed terms.
SHOWN_OTHERWISE = {"stripe_still_agrees_with_our_invoices", "changed_terms_of_closed_months_are_decided"}


@dataclass(frozen=True)
class _KindOfDiscrepancy:
    """A row of `discrepancies_now`."""

    month: str
    compared_at: datetime
    kind: str
    number: int


def list_attention(
    database: BillingDatabase, settings: Settings, now: datetime, daemon_problem: str | None
) -> list[AttentionRow]:
    """List what needs a person, by the settings. `daemon_problem`: see `Facts`."""
    return attention_rows(
        read_facts(
            database,
            settings.landing_dir,
            now,
            settings.grace,
            settings.guard_percent,
            waits_for_rejected=settings.unresolved_rejections == "wait",
            daemon_problem=daemon_problem,
            late_days=settings.past_due_days[0],
        )
    )


def read_facts(
    database: BillingDatabase,
    landing_dir: Place,
    now: datetime,
    grace: timedelta,
    guard_percent: int,
    *,
    waits_for_rejected: bool = False,
    daemon_problem: str | None = None,
    late_days: int = 7,
) -> Facts:
    """Read everything that may need a person. Reads Postgres and lists the landing folder; never contacts Stripe.

    Args:
        database: The billing database.
        landing_dir: The landing folder. If it can't be read, that is one of the facts.
        now: The current time.
        grace: The grace period of months.
        guard_percent: The limit of the spending guard.
        waits_for_rejected: A month does not close while it has unresolved rejected usage.
        daemon_problem: See `Facts`; Dagster's instance is not read here.
        late_days: The days past due from which a payment is a fact.
    """
    problems, changed = _landing_folder(database, landing_dir, now)
    return Facts(
        failed_invoices=database.records(FailedInvoice, "failed_invoices_now"),
        held_months=_held_months(database, changed, now, grace, waits_for_rejected),
        missing_days=_missing_days(database, now),
        landing_problems=problems,
        silent_sources=list_silent_sources(database),
        rejected=[Problem(group.source, group.details) for group in list_unresolved(database)],
        invalid_invoices=Counter(str(invoice.billing_month) for invoice in list_invalid_invoices(database, now)),
        held_corrections=held_totals(list_held_corrections(database)),
        changed_terms=_changed_terms(database),
        failed_syncs=database.records(FailedInvoice, "failed_syncs_now"),
        guarded=_guarded(database, guard_percent),
        discrepancies=_discrepancies(database),
        refused_alerts=database.records(RefusedAlerts, "refused_alerts"),
        open_credits=list_open_credits(database, now),
        failed_checks=[
            failure
            for failure in list_failures(database)
            if not failure.is_reported and failure.check_name not in SHOWN_OTHERWISE
        ],
        late_payments=[
            Problem(late.organization_id, late.in_words(now)) for late in late_payments(database, now, late_days)
        ],
        daemon_problem=daemon_problem,
    )


def _landing_folder(database: BillingDatabase, landing_dir: Place, now: datetime) -> tuple[list[Problem], list[date]]:
    """Return the problems of the landing folder, and the days to land. Rejected files are rejected usage, not here."""
    try:
        found = find_landing_problems(landing_dir, now)
        return [Problem(problem.path, problem.message) for problem in found], days_to_land(database, landing_dir, now)
    except LandingError as problem:
        return [Problem("landing folder", str(problem))], []


def _held_months(
    database: BillingDatabase, changed: Sequence[date], now: datetime, grace: timedelta, waits_for_rejected: bool
) -> list[HeldMonth]:
    held = []
    for month in months_to_close(database, closed_until(now - HOURLY_LANDING, grace)):
        last = month.last_landing_day(grace)
        days = set(days_before_closing(database, month, grace))
        days.update(day for day in changed if month.first_day <= day <= last)
        rejected = sum(group.rows for group in list_unresolved(database, month)) if waits_for_rejected else 0
        if days or rejected:
            held.append(HeldMonth(str(month), sorted(days), rejected))
    return held


def _missing_days(database: BillingDatabase, now: datetime) -> list[date]:
    """List the days since the first landing that are over and did not land. A new platform misses none."""
    (first_ever,) = database.values("first_landing_day")
    last = (now - HOURLY_LANDING).date() - timedelta(days=1)
    return days_not_landed(database, max(first_ever, now.date() - CATCH_UP), last) if first_ever else []


def _changed_terms(database: BillingDatabase) -> dict[str, int]:
    invoices: dict[str, set[UUID]] = defaultdict(set)
    for change in undecided_changes(database):
        invoices[str(change.billing_month)].add(change.invoice_id)
    return {month: len(found) for month, found in invoices.items()}


def _guarded(database: BillingDatabase, percent: int) -> dict[str, list[GuardResult]]:
    blocked = {
        str(month): [result for result in guard_results(database, month, percent) if not result.passes]
        for month in months_to_sync(database)
    }
    return {month: results for month, results in blocked.items() if results}


def _discrepancies(database: BillingDatabase) -> list[Discrepancies]:
    kinds: dict[tuple[str, datetime], dict[str, int]] = defaultdict(dict)
    for row in database.records(_KindOfDiscrepancy, "discrepancies_now"):
        kinds[row.month, row.compared_at][row.kind] = row.number
    return [Discrepancies(month, found, at) for (month, at), found in kinds.items()]
