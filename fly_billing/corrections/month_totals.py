"""The totals of a month's invoices by billing group, read from Postgres: the same after every run, whatever it changed.

Not here: totals of the whole month by product, region or age (`finance`), and how Dagster shows these (`assets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records


@dataclass(frozen=True)
class InvoiceTotals:
    """The invoices of a billing group and month, void ones excluded.

    Attributes:
        currencies: The currencies of its organizations and invoices, sorted.
        final: The number of its invoices that are not open.
        totals, taxes: Currency -> cents. `taxes` includes taxes that prices contain.
        accepted: The number of events that the invoices bill.
        rejected: The number of usage rows that name its organizations and that nobody fixed or waived.
        adjustments: The number of adjustments of these invoices.
        failures: The number of its organizations that can't be billed.
    """

    currencies: Sequence[str] = ()
    invoices: int = 0
    final: int = 0
    items: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    taxes: Mapping[str, int] = field(default_factory=dict)
    accepted: int = 0
    rejected: int = 0
    adjustments: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Counts:
    """A row of `invoice_counts`."""

    billing_group: str
    currencies: Sequence[str]
    accepted: int
    rejected: int
    adjustments: int
    failures: int


@dataclass(frozen=True, slots=True)
class _Sums:
    """A row of `invoice_sums`."""

    billing_group: str
    currency: str
    invoices: int
    final: int
    items: int
    total_cents: int
    tax_cents: int


def invoice_totals(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> dict[str, InvoiceTotals]:
    """Return the totals of each of these billing groups; zeros for one without organizations."""
    with database.consistent_read() as connection:
        counts = records(
            connection, _Counts, "invoice_counts",
            month=month.first_day, until=month.next().first_day, groups=list(groups),
        )  # fmt: skip
        sums = records(connection, _Sums, "invoice_sums", month=month.first_day, groups=list(groups))
    of_group: dict[str, list[_Sums]] = {}
    for row in sums:
        of_group.setdefault(row.billing_group, []).append(row)
    found = {row.billing_group: _totals(row, of_group.get(row.billing_group, [])) for row in counts}
    return dict.fromkeys(groups, InvoiceTotals()) | found


def _totals(counts: _Counts, sums: Sequence[_Sums]) -> InvoiceTotals:
    return InvoiceTotals(
        currencies=counts.currencies,
        invoices=sum(row.invoices for row in sums),
        final=sum(row.final for row in sums),
        items=sum(row.items for row in sums),
        totals={row.currency: row.total_cents for row in sums},
        taxes={row.currency: row.tax_cents for row in sums},
        accepted=counts.accepted,
        rejected=counts.rejected,
        adjustments=counts.adjustments,
        failures=counts.failures,
    )
