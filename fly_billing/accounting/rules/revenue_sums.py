"""Sums of billed and recognized revenue, which must tie, and the differences between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth


@dataclass(frozen=True)
class RevenueSums:
    """Revenue of an organization and currency up to the end of a month, in cents.

    Attributes:
        billed_cents: The revenue of its invoices, less credit notes and void invoices, and breakage.
        recognized_cents: The part that was supplied by then.
        deferred_cents: The part that later months supply.
        breakage_cents: Prepaid credit that expired.
    """

    organization_id: str
    currency: str
    billed_cents: int
    recognized_cents: int
    deferred_cents: int
    breakage_cents: int

    @property
    def parts_cents(self) -> int:
        return self.recognized_cents + self.deferred_cents + self.breakage_cents


@dataclass(frozen=True)
class DeferralDifference:
    """Revenue moved into or out of a month that differs from what the invoice's items say, in cents; None: no row.

    Attributes:
        month: The accounting month, such as `2026-10`.
        problem: Why it can't be calculated.
    """

    organization_id: str
    currency: str
    month: str | None
    is_cents: int | None
    should_be_cents: int | None
    problem: str | None = None

    @classmethod
    def unreadable(cls, organization_id: str, currency: str, problem: str) -> DeferralDifference:
        return cls(organization_id, currency, None, None, None, problem)

    def as_row(self, billed: BillingMonth) -> dict[str, str]:
        """Return the row of the check that fails. `billed` is the month of the invoice."""
        return {
            "month": str(billed),
            "organization_id": self.organization_id,
            "what": self.problem or f"revenue moved to {self.month}",
            "is": self._text(self.is_cents),
            "should be": self._text(self.should_be_cents),
            "difference": format_cents((self.is_cents or 0) - (self.should_be_cents or 0), self.currency),
            "what to do": _RUN_AGAIN if self.is_cents is None else _RESTORE,
        }

    def _text(self, cents: int | None) -> str:
        return "nothing" if cents is None else format_cents(cents, self.currency)


@dataclass(frozen=True)
class KeptDeferral:
    """Revenue of an invoice that counts after it was voided or credited in full, in cents. It should be 0."""

    organization_id: str
    currency: str
    month: date
    amount_cents: int


def kept_deferrals(month: BillingMonth, kept: Iterable[KeptDeferral]) -> list[dict[str, str]]:
    """Return a row of the check for each month in which revenue counts that was taken back before."""
    return [
        {
            "month": str(month),
            "organization_id": each.organization_id,
            "what": f"revenue in {each.month:%Y-%m} of an invoice that is void or credited in full",
            "is": format_cents(each.amount_cents, each.currency),
            "should be": format_cents(0, each.currency),
            "difference": format_cents(each.amount_cents, each.currency),
            "what to do": _RUN_AGAIN,
        }
        for each in kept
    ]


def unrecognized(month: BillingMonth, sums: Iterable[RevenueSums]) -> list[dict[str, str]]:
    """Return a row for each organization and currency where the parts are not what was billed."""
    return [
        {
            "month": str(month),
            "organization_id": each.organization_id,
            "what": "recognized + deferred + breakage",
            "is": format_cents(each.parts_cents, each.currency),
            "should be": format_cents(each.billed_cents, each.currency),
            "difference": format_cents(each.parts_cents - each.billed_cents, each.currency),
            "what to do": _RESTORE,
        }
        for each in sums
        if each.parts_cents != each.billed_cents
    ]


_RUN_AGAIN = "materialize finance_months for the month, which stores missing deferrals"
_RESTORE = "rows of revenue_deferrals or of the invoice were changed: restore them from a backup"
