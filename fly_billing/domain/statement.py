"""What an organization owes and why, as data: for the customer, as text or JSON. Needs nothing from Stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from fly_billing.domain.money import counted, format_cents, grouped


@dataclass(frozen=True)
class StatementItem:
    """One line: what it is, how it was worked out (`working`), its exact amount and its share of the total in cents."""

    product: str
    description: str
    working: str
    amount: str
    amount_cents: int


@dataclass(frozen=True)
class StatementInvoice:
    """One month. `status`: open (still growing), finalized (to be paid), paid, void or uncollectible.

    `trouble` is one honest sentence where something keeps the invoice from being computed or from reaching Stripe.
    """

    month: str
    status: str
    currency: str
    total_cents: int | None
    as_of: datetime | None
    due_on: date | None
    stripe_invoice_id: str | None
    hosted_invoice_url: str | None
    trouble: str | None
    items: tuple[StatementItem, ...] = ()


@dataclass(frozen=True)
class Statement:
    """All months of an organization, newest first; items only where they were asked for."""

    organization_id: str
    organization_name: str
    as_of: datetime
    invoices: tuple[StatementInvoice, ...]

    def owed(self) -> dict[str, int]:
        """Return cents to be paid now, by currency: finalized invoices that are not paid."""
        return self._totals("finalized")

    def upcoming(self) -> dict[str, int]:
        """Return cents of months that are still open, by currency: not due yet."""
        return self._totals("open")

    def _totals(self, status: str) -> dict[str, int]:
        totals: dict[str, int] = {}
        for one in self.invoices:
            if one.status == status and one.total_cents is not None:
                totals[one.currency] = totals.get(one.currency, 0) + one.total_cents
        return totals

    def headline(self) -> str:
        """Say in one sentence what is owed."""
        unpaid = sum(1 for one in self.invoices if one.status == "finalized" and one.total_cents)
        owed = _money(self.owed()) if unpaid else "nothing"
        on = f" on {unpaid} unpaid invoice{'s' if unpaid != 1 else ''}" if unpaid else ""
        upcoming = self.upcoming()
        soon = f" Usage not invoiced yet comes to {_money(upcoming)} so far." if any(upcoming.values()) else ""
        return f"{self.organization_name} owes {owed}{on}.{soon}"

    def as_data(self) -> dict[str, Any]:
        """Return plain JSON-ready data; exact amounts are text."""
        invoices = [{**asdict(one), "as_of": _iso(one.as_of), "due_on": _iso(one.due_on)} for one in self.invoices]
        return {
            "organization_id": self.organization_id,
            "organization_name": self.organization_name,
            "as_of": _iso(self.as_of),
            "owed_cents": self.owed(),
            "upcoming_cents": self.upcoming(),
            "invoices": invoices,
        }


def working(quantity: str, unit: str, steps: Sequence[Mapping[str, str]], free: str | None) -> str:
    """Write an item's sum so that a person can redo it: `7,200 GB-hours free; 300 x 0.15 per 720`."""
    parts = [f"{counted(free, unit)} free"] if free else []
    for step in steps:
        if "units" in step:  # what it multiplies is not the usage's unit: packages, a flat fee, a minimum
            times = f"{grouped(step['quantity'])} x {step['unit_amount']}"
            parts.append(f"{step['label']}: {step['amount'] if step['units'] == '0' else times}")
            continue
        amount = counted(step["quantity"], unit) if not free else grouped(step["quantity"])
        parts.append(
            f"{amount} x {step['unit_amount']}" + (f" per {grouped(step['per'])}" if step["per"] != "1" else "")
        )
    return "; ".join(parts) or ("" if unit == "item" else counted(quantity, unit))


def _money(totals: Mapping[str, int]) -> str:
    return " + ".join(format_cents(cents, currency) for currency, cents in sorted(totals.items()))


def _iso(moment: datetime | date | None) -> str | None:
    return None if moment is None else moment.isoformat()
