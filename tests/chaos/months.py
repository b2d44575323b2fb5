"""Fills a billing database with finalized months of known shape: short and long invoices, credits, yen, nothing to pay.

Amounts are random, exact and the same for the same seed; the months are finalized by the product's own `bill`. Keeps
out: syncing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, copy_rows
from tests.chaos.plan import Plan
from tests.support.stripe_builders import close_month

ORGANIZATION_COLUMNS = ("id", "name", "currency", "billing_group", "created_at")
ITEM_COLUMNS = ("id", "organization_id", "description", "amount", "currency", "occurred_at")
GROUPS = 16
BEFORE_ALL_MONTHS = datetime(2023, 1, 1, tzinfo=UTC)
MOST_ITEMS = 4

# Special organizations, by their number modulo 40. Invoices that people edit manually in Stripe have large totals: one
# below the minimum charge is paid at once, and can't be voided.
TINKERED = frozenset(range(1, 40, 4))
YEN = frozenset({2, 22})
CREDITED = frozenset({4, 14, 24, 34})
NEGATIVE = frozenset({6})
# Their customer is deleted in Stripe once they have paid a month. A sync processes them last.
QUITTERS = ("quitter-1", "quitter-2", "quitter-3")
# Numbers of items, one organization each: one to three add_lines calls, and more than an invoice in Stripe allows.
LONG = {8: 101, 10: 150, 12: 248, 16: 249, 18: 260, 20: 400}
NOTHING_TO_PAY = ("zero-empty", "zero-cancelled")


@dataclass(frozen=True)
class Organization:
    """An organization that is billed every month. `kind` determines its invoices."""

    id: str
    number: int

    @property
    def kind(self) -> int:
        return self.number % 40

    @property
    def currency(self) -> str:
        return "JPY" if self.kind in YEN else "USD"


def organizations(plan: Plan) -> list[Organization]:
    return [Organization(f"org-{number:05d}", number) for number in range(plan.organizations)]


def is_tinkered(organization: str) -> bool:
    """Return True if people edit and delete this organization's drafts, and so do not pay its invoices."""
    number = organization.removeprefix("org-")
    return number.isdecimal() and int(number) % 40 in TINKERED


def tinkered_with_lines(plan: Plan, least: int) -> list[str]:
    """Return the organizations whose drafts people edit and that have at least this number of items each month."""
    found = [organization for organization in organizations(plan) if is_tinkered(organization.id)]
    return [
        organization.id
        for organization in found
        if all(len(_amounts(_rng(plan, month, organization), organization)) >= least for month in plan.billing_months)
    ]


def _rng(plan: Plan, month: BillingMonth, organization: Organization) -> Random:
    return Random(f"{plan.seed} {month} {organization.id}")


def fill(database: BillingDatabase, plan: Plan, folder: Path) -> None:
    """Finalize the plan's months. Raises AssertionError where fewer invoices than planned have something to pay."""
    found = organizations(plan)
    with database.transaction() as connection:
        rows = [
            (
                organization.id,
                organization.id.title(),
                organization.currency,
                f"group-{organization.number % GROUPS:02d}",
            )
            for organization in found
        ]
        rows += [(name, name.title(), "USD", "group-00") for name in (*QUITTERS, *NOTHING_TO_PAY)]
        copy_rows(connection, "organizations", ORGANIZATION_COLUMNS, ((*row, BEFORE_ALL_MONTHS) for row in rows))
        for month in plan.billing_months:
            copy_rows(connection, "one_off_items", ITEM_COLUMNS, _items(plan, month, found))
    billed = [invoice for month in plan.billing_months for invoice in close_month(database, folder, month).invoices]
    to_pay = [invoice for invoice in billed if invoice.total_cents != 0]
    assert len(to_pay) >= plan.invoices, f"only {len(to_pay)} of {len(billed)} invoices have something to pay"


def _items(plan: Plan, month: BillingMonth, found: list[Organization]) -> Iterator[tuple[Any, ...]]:
    for organization in found:
        yield from _rows(
            month, organization.id, organization.currency, _amounts(_rng(plan, month, organization), organization)
        )
    for name in QUITTERS:
        yield from _rows(month, name, "USD", [Decimal("12.34")])
    yield from _rows(month, "zero-cancelled", "USD", [Decimal("5.00"), Decimal("-5.00")])


def _rows(month: BillingMonth, organization: str, currency: str, amounts: list[Decimal]) -> Iterator[tuple[Any, ...]]:
    for number, amount in enumerate(amounts, start=1):
        id = uuid5(NAMESPACE_URL, f"{organization}|{month}|{number}")
        at = month.start + timedelta(minutes=number)
        yield id, organization, f"charge {number:04d}", amount, currency, at


def _amounts(rng: Random, organization: Organization) -> list[Decimal]:
    """Return amounts with up to six decimals, each from 1.00 to 50.00 or, in yen, from 100 to 5,000."""
    scale = Decimal(100) if organization.currency == "JPY" else Decimal(1)
    amounts = [_amount(rng) * scale for _ in range(LONG.get(organization.number) or rng.randint(1, MOST_ITEMS))]
    if organization.kind in CREDITED:
        amounts.append(-amounts[0] / 4)
    return [-amount for amount in amounts] if organization.kind in NEGATIVE else amounts


def _amount(rng: Random) -> Decimal:
    """Return an amount: one half has whole cents, the other half six decimals."""
    if rng.random() < 0.5:
        return Decimal(rng.randint(100, 5_000)).scaleb(-2)
    return Decimal(rng.randint(1_000_000, 50_000_000)).scaleb(-6)
