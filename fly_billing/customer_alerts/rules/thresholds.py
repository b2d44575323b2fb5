"""Thresholds of spend: their kinds, how they are read, and the words for them. Pure.

Not here: which thresholds a month reached (`customer_alerts.evaluation`), and messages (`rules.messages`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal
from uuid import UUID

from fly_billing.foreign_text import visible
from fly_billing.money import EXACT, format_cents, minor_digits

Kind = Literal["amount", "percent", "app", "product", "forecast", "cap"]
# The most that a threshold can be, in cents: a bound of its column.
MOST_CENTS = 10**15 - 1
MOST_PERCENT = 100_000
MOST_SUBJECT = 500


@dataclass(frozen=True)
class Limit:
    """The figure with which a threshold compares.

    Attributes:
        kind: `amount`: the month's total so far; `percent`: that total, in percent of the last month's final invoice;
            `app`, `product`: the part of one; `forecast`: the estimated total at the month's end; `cap`: the total so
            far, and the platform is called.
        subject: The app or product.
        amount_cents: In `currency`; None for a percentage.
        percent: The percentage; None for an amount.
    """

    kind: Kind
    currency: str
    amount_cents: int | None = None
    percent: int | None = None
    subject: str | None = None

    def in_words(self) -> str:
        """Return it as a list shows it: `$250.00`, `150% of last month`, `app web: $50.00`."""
        match self.kind:
            case "percent":
                return f"{self.percent}% of last month"
            case "app" | "product":
                return f"{self.kind} {visible(self.subject or '')}: {self.amount}"
            case "forecast":
                return f"{self.amount} (estimate)"
            case "cap":
                return f"{self.amount} (cap)"
            case _:
                return self.amount

    @property
    def amount(self) -> str:
        return format_cents(self.amount_cents or 0, self.currency)


@dataclass(frozen=True)
class SpendThreshold:
    """A threshold of an organization.

    Attributes:
        is_first: It was added because the organization is new (FLY_BILLING_FIRST_ALERT).
        added_by: Who added it; None if that was before it was recorded.
        last_alerted: The last month that reached it, such as `2026-09`; None if none did.
        billed_in: The currency of this month's invoice.
    """

    id: UUID
    organization_id: str
    kind: Kind
    subject: str | None
    currency: str
    amount_cents: int | None
    percent: int | None
    is_first: bool
    added_by: str | None
    last_alerted: str | None
    billed_in: str

    @property
    def limit(self) -> Limit:
        return Limit(self.kind, self.currency, self.amount_cents, self.percent, self.subject)

    @property
    def no_effect(self) -> str | None:
        """Return why this month can't reach it, as a sentence for the customer; None if it can."""
        if self.currency == self.billed_in:
            return None
        return f"It is in {self.currency}, and this month is billed in {self.billed_in}."


def read_limit(text: str, currency: str, kind: Kind = "amount", subject: str | None = None) -> Limit:
    """Read what a person typed: `250`, `99.50`, or `150%` of the last month.

    Raises:
        ValueError: It is not an amount above zero in the currency's decimals, not a whole percentage, or the subject is
            missing, not a name, or of a kind that has none.
    """
    if (subject is not None) != (kind in ("app", "product")):
        raise ValueError("an alert of an app or product has its name, and no other has a name")
    if subject is not None and (not subject.strip() or len(subject) > MOST_SUBJECT or "\0" in subject):
        raise ValueError(f"name the {kind} in at most {MOST_SUBJECT} characters")
    if text.strip().endswith("%"):
        if kind != "amount":
            raise ValueError(f"{text!r} is a percentage, which is of the whole month: write an amount")
        return Limit("percent", currency, percent=_percent(text))
    return Limit(kind, currency, threshold_cents(text, currency), subject=subject)


def _percent(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})\s*%", text.strip(), re.ASCII)
    percent = int(found[1]) if found else 0
    if not 1 <= percent <= MOST_PERCENT:
        raise ValueError(f"{text!r} must be a whole percentage from 1% to {MOST_PERCENT:,}%")
    return percent


def threshold_cents(amount: str, currency: str) -> int:
    """Read a threshold such as `250` or `99.50` as cents.

    Raises ValueError if it is not an amount above zero, or has more decimals than the currency.
    """
    try:
        cents = Decimal(amount.replace(",", "")).scaleb(minor_digits(currency), context=EXACT)
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not an amount: write it as 250 or 99.50") from None
    if not cents.is_finite() or not 0 < cents <= MOST_CENTS:
        raise ValueError(f"{amount!r} must be above zero and no more than a month can total")
    if cents != cents.to_integral_value():
        raise ValueError(f"{amount!r} has more than the {minor_digits(currency)} decimals that {currency} has")
    return int(cents)


def first_limit(units: Decimal | None, currency: str) -> Limit | None:
    """Return the first alert of a new organization, from whole units of its currency; None if there is none.

    None also for an amount that no month can reach.
    """
    cents = int((units or Decimal(0)).scaleb(minor_digits(currency), context=EXACT))
    return Limit("amount", currency, cents) if 0 < cents <= MOST_CENTS else None
