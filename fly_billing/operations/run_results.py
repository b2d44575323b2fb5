"""Reads from Postgres what a run of `bill`, `sync` or `land` did, also if it failed halfway.

Not here: how commands show it (`cli.run_results`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from fly_billing.finance.tables_reader import count_open_invoices
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.checks import count_landed_rows
from fly_billing.usage.landing_run import count_rejected_rows
from fly_billing.usage.rejections import RejectedGroup, list_unresolved
from fly_billing.worklist.due import accepted_events, months_with_late_usage

# The outcomes of invoices, in the order in which people read them.
BILLED_AS = ("finalized", "upcoming", "already_final", "not_updated")
SYNCED_AS = ("sent", "already_there", "nothing_to_pay", "waiting", "failed")


@dataclass(frozen=True)
class InvoicesByOutcome:
    """The invoices of one outcome and currency."""

    outcome: str
    currency: str
    invoices: int
    items: int
    total_cents: int


@dataclass(frozen=True)
class NotBilled:
    """An organization that could not be billed."""

    organization_id: str
    code: str
    message: str


@dataclass(frozen=True)
class BookedCorrection:
    """A correction of a final invoice, booked on the next one. `amount` is exact, and below zero if it is returned."""

    organization_id: str
    description: str
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class BillResult:
    """The month after a billing run.

    Attributes:
        invoices: By outcome: finalized by the run, upcoming (calculated by it, still open), already_final before it, or
            not_updated: open and calculated by an earlier run only.
        corrections: The corrections that the run booked.
        held_corrections: The corrections that wait for approval.
        rejected: Usage that is neither billed nor waived.
    """

    invoices: Sequence[InvoicesByOutcome]
    not_billed: Sequence[NotBilled]
    corrections: Sequence[BookedCorrection]
    held_corrections: int
    rejected: Sequence[RejectedGroup]


@dataclass(frozen=True)
class SyncResult:
    """The month after a sync.

    Attributes:
        invoices: The final ones by outcome: sent by the sync, already_there before it, nothing_to_pay (never sent),
            failed (a sync needs a fix or another attempt), or waiting.
        open_invoices: The number of invoices that are not final, and so not sent.
    """

    invoices: Sequence[InvoicesByOutcome]
    open_invoices: int


@dataclass(frozen=True)
class LateUsage:
    """A final month with usage that landed since it was last billed.

    Attributes:
        events: How many more events it has than before the landing; not more than 0 if events were replaced, or landed
            earlier.
    """

    month: BillingMonth
    events: int


@dataclass(frozen=True)
class LandResult:
    """The days of a landing.

    Attributes:
        landed: The days that this run landed. The row counts are theirs.
        not_landed: The days that it did not, because the run failed.
        with_files: The number of landed days that have files. A month is closed only after its other days landed, too.
        reasons: A row per reason of rejection, with the number of rows and an example.
        late: The final months that need another billing run, which books the difference.
    """

    landed: Sequence[date]
    not_landed: Sequence[date]
    with_files: int
    files: int
    accepted: int
    duplicate: int
    rejected: int
    reasons: Sequence[Mapping[str, Any]]
    late: Sequence[LateUsage]


def read_bill_result(database: BillingDatabase, month: BillingMonth, since: datetime) -> BillResult:
    """Read the month after a billing run that began at `since`."""
    (held,) = database.values("count_held_corrections", month=month.first_day)
    return BillResult(
        invoices=database.records(InvoicesByOutcome, "bill_results", month=month.first_day, since=since),
        not_billed=database.records(NotBilled, "not_billed", month=month.first_day),
        corrections=database.records(BookedCorrection, "booked_corrections", month=month.first_day, since=since),
        held_corrections=held,
        rejected=list_unresolved(database, month),
    )


def read_sync_result(database: BillingDatabase, month: BillingMonth, since: datetime) -> SyncResult:
    """Read the month after a sync that began at `since`."""
    with database.transaction() as connection:
        open_invoices = count_open_invoices(connection, month)
    found = database.records(InvoicesByOutcome, "sync_results", month=month.first_day, since=since)
    return SyncResult(found, open_invoices)


def read_land_result(
    database: BillingDatabase, days: Sequence[date], since: datetime, before: Mapping[BillingMonth, int]
) -> LandResult:
    """Read what a run that began at `since` landed of these days. `before`: the `accepted_events` before it."""
    landed = database.values("days_landed_since", days=list(days), since=since)
    counts = count_landed_rows(database, landed)
    return LandResult(
        landed=landed,
        not_landed=sorted({*days} - {*landed}),
        with_files=len(counts),
        files=sum(day.files for day in counts),
        accepted=sum(day.accepted for day in counts),
        duplicate=sum(day.duplicate for day in counts),
        rejected=sum(day.rejected for day in counts),
        reasons=count_rejected_rows(database, landed),
        late=_late_usage(database, before),
    )


def _late_usage(database: BillingDatabase, before: Mapping[BillingMonth, int]) -> list[LateUsage]:
    late = months_with_late_usage(database)
    now = accepted_events(database) if late else {}
    return [LateUsage(month, now.get(month, 0) - before.get(month, 0)) for month in late]
