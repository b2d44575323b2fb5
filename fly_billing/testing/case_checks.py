"""The steps of a case that check: each method compares its values with the platform's, and returns the differences.

Not here: comparing (`rules.comparing`), and the steps that change something (`case_steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from fly_billing.errors import ActionableError, BillingError
from fly_billing.invoicing.rules.chargeable_amounts import from_stripe
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sync.reconciliation import reconcile_month
from fly_billing.testing.case_state import CaseState
from fly_billing.testing.case_steps import BOOK, CaseSteps
from fly_billing.testing.rules.comparing import Mismatch, compare_cents, compare_items, compare_values, money


@dataclass
class CaseChecks:
    """The checks of one case."""

    state: CaseState
    steps: CaseSteps

    def book_is_refused(self, book: PurePosixPath, says: Sequence[str] = ()) -> list[Mismatch]:
        """Expect that a price book has a mistake, and that the message has these words and the book's name."""
        return _expect_refusal(f"price book {book}", lambda: self.steps.book(book), [BOOK, *says])

    def workspace_is_refused(
        self,
        folder: PurePosixPath,
        at: datetime | None = None,
        with_: Mapping[PurePosixPath, PurePosixPath] | None = None,
        says: Sequence[str] = (),
    ) -> list[Mismatch]:
        """Expect that a workspace can't be applied, and that the message has these words."""
        return _expect_refusal(f"workspace {folder}", lambda: self.steps.workspace(folder, at, with_), says)

    def close_fails(self, month: BillingMonth, codes: Mapping[str, str]) -> list[Mismatch]:
        """Close a month, and compare the code of the organizations that can't be billed."""
        failures = self.steps.close_with_failures(month).failures
        return compare_values(codes, {failure.organization_id: failure.error.code for failure in failures})

    def sync_fails(self, month: BillingMonth, codes: Mapping[str, str]) -> list[Mismatch]:
        """Sync a month, and compare the code of the organizations whose invoice does not reach Stripe."""
        return compare_values(codes, self.steps.failed_syncs(month))

    def items(self, items: Mapping[str, Mapping[BillingMonth, Sequence[Mapping[str, Any]]]]) -> list[Mismatch]:
        """Compare all items of invoices."""
        return [
            mismatch
            for name, months in items.items()
            for month, expected in months.items()
            for mismatch in self._unknown(name) or self._items(name, month, expected)
        ]

    def _items(self, organization: str, month: BillingMonth, expected: Sequence[Mapping[str, Any]]) -> list[Mismatch]:
        rows = self.state.platform.database.rows("case_items", organization_id=organization, month=month.first_day)
        return compare_items(f"{organization} {month}", expected, rows)

    def totals(self, cents: Mapping[str, Mapping[BillingMonth, int]]) -> list[Mismatch]:
        """Compare the totals of invoices. A month without an invoice has the total 0."""
        found = {(row["organization_id"], row["month"]): row["cents"] for row in self._totals()}
        return [
            mismatch
            for name, months in cents.items()
            for month, expected in months.items()
            for mismatch in self._unknown(name)
            or self._total(name, f"{name} {month}", expected, found.get((name, month.first_day)))
        ]

    def sum(self, cents: Mapping[str, int]) -> list[Mismatch]:
        """Compare the sum of all invoices of an organization."""
        found: dict[str, int] = {}
        for row in self._totals():
            found[row["organization_id"]] = found.get(row["organization_id"], 0) + row["cents"]
        return [
            mismatch
            for name, expected in cents.items()
            for mismatch in self._unknown(name) or self._total(name, f"{name}, all months", expected, found.get(name))
        ]

    def _total(self, organization: str, item: str, expected: int, found: int | None) -> list[Mismatch]:
        currency = self._currency(organization)
        if found is None and expected:
            return [Mismatch(item, money(expected, currency), "no invoice")]
        return compare_cents(item, expected, found or 0, currency)

    def sum_of_all(self, cents: int) -> list[Mismatch]:
        """Compare the sum of all invoices of all organizations."""
        found = sum(row["cents"] for row in self._totals())
        return compare_values({"all invoices, cents": cents}, {"all invoices, cents": found})

    def _totals(self) -> Sequence[Mapping[str, Any]]:
        return self.state.platform.database.rows("case_totals")

    def taxes(self, cents: Mapping[str, Mapping[BillingMonth, Sequence[int]]]) -> list[Mismatch]:
        """Compare the taxed amount and the tax of invoices."""
        found: list[Mismatch] = []
        for name, months in cents.items():
            found += self._unknown(name)
            for month, (net, tax) in months.items():
                row = self._tax(name, month)
                currency = self._currency(name)
                found += compare_cents(f"{name} {month}, taxed amount", net, row["net"], currency)
                found += compare_cents(f"{name} {month}, tax", tax, row["tax"], currency)
        return found

    def _tax(self, organization: str, month: BillingMonth) -> Mapping[str, int]:
        rows = self.state.platform.database.rows("case_taxes", organization_id=organization, month=month.first_day)
        return rows[0]

    def quantities(self, quantities: Mapping[BillingMonth, Mapping[str, Decimal]]) -> list[Mismatch]:
        """Compare the quantity of each meter, of all organizations."""
        found: list[Mismatch] = []
        for month, expected in quantities.items():
            rows = self.state.platform.database.rows("case_quantities", month=month.first_day)
            actual = {f"{month} {row['meter']}": row["quantity"] for row in rows}
            found += compare_values({f"{month} {meter}": number for meter, number in expected.items()}, actual)
        return found

    def rejected(self, rows: int | Mapping[str, int]) -> list[Mismatch]:
        """Compare the number of rejected rows of usage files: all, or by reason."""
        found = {row["reason"]: row["rejected"] for row in self.state.platform.database.rows("case_rejections")}
        if isinstance(rows, Mapping):
            return compare_values(rows, found)
        reasons = f" ({', '.join(f'{name}: {number}' for name, number in found.items())})" if found else ""
        number = sum(found.values())
        return [] if number == rows else [Mismatch("rejected rows", str(rows), f"{number}{reasons}")]

    def stripe(self, cents: Mapping[str, Sequence[int]]) -> list[Mismatch]:
        """Compare the totals of invoices in Stripe, in its units; and each synced month with ours, item by item."""
        there = sorted(
            (invoice["metadata"].get("organization", ""), invoice["status"], invoice["total"])
            for invoice in self.state.stripe.control.invoices()
        )
        found = []
        for name, expected in cents.items():
            item, totals = f"{name} in Stripe", [total for payer, _, total in there if payer == name]
            found += self._unknown(name) or compare_values({item: list(expected)}, {item: totals})
        return [*found, *self._discrepancies()]

    def _discrepancies(self) -> list[Mismatch]:
        tools = self.state.sync_tools()
        groups = self.state.platform.billing_groups()
        return [
            Mismatch(f"{one.organization_id} {month} in Stripe", "as here", f"{one.kind}: {one.message}")
            for month in self.state.synced
            for one in reconcile_month(tools.journal, tools.reader(), month, groups).discrepancies
        ]

    def owed(self, organization: str, cents: int, at: datetime | None = None) -> list[Mismatch]:
        """Compare what the statement says that an organization owes; after a sync, also what Stripe asks for."""
        if unknown := self._unknown(organization):
            return unknown
        currency = self._currency(organization)
        statement = read_statement(self.state.platform.database, organization, at or self.state.now)
        found = compare_cents(f"{organization}, on the statement", cents, statement.owed().get(currency, 0), currency)
        if self.state.synced:
            found += compare_cents(f"{organization}, at Stripe", cents, self._asked(organization, currency), currency)
        return found

    def _asked(self, organization: str, currency: str) -> int:
        open_invoices = (one for one in self.state.stripe.control.invoices() if one["status"] == "open")
        asked = sum(
            one["amount_remaining"] for one in open_invoices if one["metadata"].get("organization") == organization
        )
        return from_stripe(asked, currency)[0]

    def headline_lacks(self, organization: str, words: str) -> list[Mismatch]:
        """Expect that the first sentence of the statement does not have these words."""
        if unknown := self._unknown(organization):
            return unknown
        headline = read_statement(self.state.platform.database, organization, self.state.now).headline()
        return [Mismatch(f"{organization}, headline", f"without {words!r}", headline)] if words in headline else []

    def _currency(self, organization: str) -> str:
        return self.state.platform.currencies().get(organization, "USD")

    def _unknown(self, organization: str) -> list[Mismatch]:
        known = self.state.platform.currencies()
        if organization in known:
            return []
        return [Mismatch(organization, "an organization", f"no such organization{did_you_mean(organization, known)}")]


def _expect_refusal(what: str, act: Callable[[], None], says: Sequence[str]) -> list[Mismatch]:
    try:
        act()
    except (ActionableError, BillingError) as refused:
        message = str(refused)
        return [Mismatch(what, f"refused, with {word!r}", message) for word in says if word not in message]
    return [Mismatch(what, "refused", "accepted")]
