"""Reads what the whole platform was billed in one currency: totals, organizations, and an invoice as an example."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


@dataclass(frozen=True, slots=True)
class BilledTotals:
    """The number of organizations, and the finalized invoices of ours with something to pay."""

    organizations: int
    invoices: int
    items: int
    total_cents: int


@dataclass(frozen=True, slots=True)
class OrganizationSummary:
    """An organization's finalized invoices with something to pay, in its currency, and the total of its open ones."""

    id: str
    name: str
    currency: str
    invoices: int
    items: int
    billed_cents: int
    upcoming_cents: int


@dataclass(frozen=True, slots=True)
class ExampleInvoice:
    """A finalized invoice with many kinds of items. `month` is the start of its month."""

    organization_id: str
    month: datetime

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth.containing(self.month)


def read_billed_totals(database: BillingDatabase, currency: str) -> BilledTotals:
    """Return the totals of all invoices in this currency."""
    (totals,) = database.records(BilledTotals, "billed_totals", currency=currency)
    return totals


def read_organization_summaries(database: BillingDatabase, currency: str) -> list[OrganizationSummary]:
    """Return the organizations that are billed in this currency, biggest first."""
    summaries = database.records(OrganizationSummary, "organization_summaries")
    return [summary for summary in summaries if summary.currency == currency]


def find_example_invoice(database: BillingDatabase) -> ExampleInvoice | None:
    """Return a finalized invoice to show, if there is one."""
    invoices = database.records(ExampleInvoice, "example_invoice")
    return invoices[0] if invoices else None
