"""Reads what an organization's month-end estimate is made of, from the billing database only: the usage table and
Stripe are never asked, and nothing is stored.

It reads one invoice as a billing run does, with the usage of each day of the month and the month before: a millisecond
for each of the at most 101 organizations on it (`refuse_wrong_link`). Not here: the estimate itself
(`statements.rules.estimate`), and the amounts owed (`statement_reader`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.errors import BillingError
from fly_billing.invoicing.inputs_reader import inputs_of, read_records
from fly_billing.invoicing.payers import BilledMember, Payer
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, values
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.postgres.organizations import organization_name
from fly_billing.pricing.price_books import kept_price_books
from fly_billing.statements.rules.estimate import (
    EstimateInputs,
    MonthEndEstimate,
    NoEstimate,
    estimate_month_end,
    why_no_estimate,
)
from fly_billing.statements.rules.usage_forecast import KnownDays, UsageSeries


def read_month_end(
    database: BillingDatabase, organization_id: str, now: datetime, month: BillingMonth | None = None
) -> MonthEndEstimate | NoEstimate:
    """Estimate what an organization's invoice will be at the end of a month (None: the current one), or say why not.

    For an organization that another one pays for, its own share of that invoice is estimated.

    Raises:
        NoSuchOrganization: No organization has this id.
    """
    month = month or BillingMonth.containing(now)
    with database.consistent_read() as connection:
        organization_name(connection, organization_id)
        members = _read_members(connection, organization_id, month)
        if reason := why_no_estimate(month, now, members[0].invoice_status if members else None):
            return reason
        if not members:
            return NoEstimate.because(month, "month_has_not_begun")
        try:
            return estimate_month_end(_read_inputs(connection, members, month, now))
        except (BillingError, *VALUE_ERRORS):
            return NoEstimate.because(month, "not_computable")


@dataclass(frozen=True)
class _Member(BilledMember):
    """An organization on the invoice.

    Attributes:
        payer_name: The name of the organization that pays.
        snapshot_before_id: The current snapshot of its usage of the month before.
    """

    payer_name: str
    snapshot_before_id: UUID | None


@dataclass(frozen=True)
class _DailyUsage:
    """The usage of one month; `days` has a quantity per day."""

    organization_id: str
    month: date
    meter: str
    aggregation: str
    dimensions: str
    days: Sequence[Decimal]


def _read_members(connection: Connection, organization_id: str, month: BillingMonth) -> list[_Member]:
    return records(
        connection, _Member, "members_to_estimate", organization_id=organization_id, month=month.first_day,
        month_before=month.plus(-1).first_day, month_end=month.end,
    )  # fmt: skip


def _read_inputs(
    connection: Connection, members: Sequence[_Member], month: BillingMonth, now: datetime
) -> EstimateInputs:
    first = members[0]
    payer = Payer(first.payer_id, first.currency, first.revision, first.invoice_status, members)
    snapshots = [*payer.snapshots, *(member.snapshot_before_id for member in members if member.snapshot_before_id)]
    daily = records(connection, _DailyUsage, "usage_of_snapshots_by_day", snapshots=snapshots)
    inputs = inputs_of(payer, month, read_records(connection, month, [payer]), kept_price_books(connection))
    is_share = first.id != first.payer_id
    return EstimateInputs(
        invoice=_without_terms(inputs) if is_share else inputs,
        usage=_series(daily, month),
        aggregations={row.meter: row.aggregation for row in daily},
        days=KnownDays(
            month,
            _complete_days(connection, payer.snapshots, month),
            month.plus(-1).days if any(row.month < month.first_day for row in daily) else 0,
        ),
        as_of=now,
        payer_name=first.payer_name if is_share else None,
    )


def _without_terms(inputs: InvoiceInputs) -> InvoiceInputs:
    """Leave out the payer's terms: another organization's share is shown without them."""
    return replace(inputs, discounts=(), commitments=(), credits=(), taxes=(), earlier_taxes={})


def _series(daily: Iterable[_DailyUsage], month: BillingMonth) -> list[UsageSeries]:
    by_key: dict[tuple[str, str, str], dict[bool, Sequence[Decimal]]] = defaultdict(dict)
    for row in daily:
        by_key[row.organization_id, row.meter, row.dimensions][row.month == month.first_day] = row.days
    return [
        UsageSeries(name, meter, json.loads(dimensions), days.get(True, ()), days.get(False, ()))
        for (name, meter, dimensions), days in by_key.items()
    ]


def _complete_days(connection: Connection, snapshots: Sequence[UUID], month: BillingMonth) -> int:
    """Return the number of days of the month, from the 1st on, that are complete in all these snapshots."""
    last_day = month.end.date() - timedelta(days=1)
    landed: list[date] = values(
        connection, "complete_days_of_snapshots", snapshots=[*snapshots], month=month.first_day, last_day=last_day
    )
    days = (month.first_day + timedelta(days=n) for n in range(len(landed)))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(landed, days, strict=True)))
