"""What an organization owes and why, as data: for the customer, as text, JSON or a page. Needs nothing from Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from fly_billing.money import EXACT, format_cents, grouped, minor_digits
from fly_billing.periods import moment_text
from fly_billing.statements.rules.spend import MonthComparison, Spend

# A file that came on so many days of a month is missed when it does not come; one that came less often may be over.
REGULAR_DAYS = 7

STATUS = {
    "open": "open (so far)",
    "finalized": "due",
    "paid": "paid",
    "void": "void",
    "uncollectible": "not collected",
    "not computed": "not calculated yet",
}


@dataclass(frozen=True)
class StatementItem:
    """One line: what it is, how it was worked out (`working`), its exact amount and its share of the total in cents.

    `organization_id`: whose line it is. `causes`: why an earlier month is adjusted.
    """

    product: str
    description: str
    working: str
    amount: str
    amount_cents: int
    kind: str = "usage"
    organization_id: str = ""
    causes: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatementTax:
    """What one tax rate came to; `is_inclusive`: contained in the prices, not added to them.

    `category` and `legal_text` as of `tax_rates.TaxRate`.
    """

    name: str
    percent: str
    is_inclusive: bool
    taxable_cents: int
    tax_cents: int
    category: str = "standard"
    legal_text: str | None = None

    @property
    def title(self) -> str:
        """Name the rate with its category, where it is no standard one: `VAT 7 % (reduced)`."""
        rate = f"{self.name} {self.percent} %"
        return rate if self.category == "standard" else f"{rate} ({self.category_in_words})"

    @property
    def category_in_words(self) -> str:
        return _CATEGORIES.get(self.category, self.category)


_CATEGORIES = {"zero": "zero rate", "reverse_charge": "reverse charge", "outside": "not taxable"}


@dataclass(frozen=True)
class PayingOrganization:
    """The organization that pays for another one."""

    id: str
    name: str


@dataclass(frozen=True)
class StatementInvoice:
    """One month. `status`: open (still growing), finalized (to be paid), paid, void or uncollectible.

    `trouble` is one honest sentence where something keeps the invoice from being computed or from reaching Stripe.
    Where another organization pays, `payer` names it, and total and items are this organization's own part of that
    invoice: what it used and bought, without the discounts, credits and taxes on the whole. `items`, `spend` and
    `compared` (with the month before) are there for the month that was asked for. `number` is None until it is final.
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
    number: str | None = None
    payer: PayingOrganization | None = None
    taxes: tuple[StatementTax, ...] = ()
    spend: Spend | None = None
    compared: MonthComparison | None = None

    def items_by_product(self) -> dict[str, list[StatementItem]]:
        """Return the items of each product together, in the invoice's order."""
        grouped_items: dict[str, list[StatementItem]] = {}
        for item in self.items:
            grouped_items.setdefault(item.product, []).append(item)
        return grouped_items

    def status_in_words(self) -> str:
        """Say how it stands: `paid`, `to be paid`. Whether a payer has paid is the payer's to know."""
        if self.payer and self.status in ("open", "finalized", "paid"):
            growing = f"{STATUS['open']}, " if self.status == "open" else ""
            return f"{growing}paid by {self.payer.name}"
        return "nothing to pay" if self.status == "finalized" and not self.total_cents else STATUS[self.status]


@dataclass(frozen=True)
class CreditLeft:
    """Prepaid or granted money that is not used up; in cents of its currency, rounded down.

    `pays` is `net` where it lowers what is taxed (promotions), `gross` where it pays after tax (prepaid, deposits).
    """

    description: str
    currency: str
    granted_cents: int
    left_cents: int
    expires_at: datetime | None
    pays: str = "net"

    @classmethod
    def of(
        cls,
        description: str,
        currency: str,
        amount: Decimal,
        left_over: Decimal,
        expires_at: datetime | None,
        pays: str = "net",
    ) -> CreditLeft:
        """Make it of exact amounts in the currency's major unit."""
        granted, left = (
            int(one.scaleb(minor_digits(currency), context=EXACT).to_integral_value(ROUND_FLOOR))
            for one in (amount, left_over)
        )
        return cls(description, currency, granted, left, expires_at, pays)

    def in_words(self) -> str:
        """Return a sentence for the customer: how much is left, until when, and whether it pays taxes too."""
        until = f" until {self.expires_at:%Y-%m-%d}" if self.expires_at else ""
        after_tax = "; it pays after tax, and taxes too" if self.pays == "gross" else ""
        return f"{self.description}: {format_cents(self.left_cents, self.currency)} left{until}{after_tax}"


@dataclass(frozen=True)
class UsageSource:
    """A file that brings usage: numbers in its name are written `#`. It came on so many `days`, last on `until`."""

    name: str
    days: int
    until: date


@dataclass(frozen=True)
class Completeness:
    """How far the usage of the month is in: all that arrived by the end of the UTC day `until` (None: nothing is).

    `last_day`: the month's. What a source brings after that is for later months.
    """

    until: date | None
    last_day: date
    sources: tuple[UsageSource, ...]

    def overdue(self) -> list[UsageSource]:
        """Return the sources that came regularly and then did not: their usage may be missing."""
        if self.until is None:
            return []
        expected = min(self.until, self.last_day)
        return [one for one in self.sources if one.days >= REGULAR_DAYS and one.until < expected]

    def in_words(self) -> str:
        """Say what is in, and which source is overdue."""
        if self.until is None:
            return "Not all usage of this month's first day is in yet."
        overdue = ", ".join(f"{one.name} (last on {one.until})" for one in self.overdue())
        return f"All usage that arrived by the end of {self.until} (UTC) is in." + (
            f" Overdue: {overdue}." if overdue else ""
        )


@dataclass(frozen=True)
class Statement:
    """All months of an organization, newest first; items only for the month that was asked for.

    `problems`: a sentence for each record that can't be read and is left out, which row it is and what to do. Where
    there are any, amounts that are made of such records are not all of it.
    """

    organization_id: str
    organization_name: str
    as_of: datetime
    invoices: tuple[StatementInvoice, ...]
    month: str | None = None
    credits: tuple[CreditLeft, ...] = ()
    completeness: Completeness | None = None
    problems: tuple[str, ...] = ()

    def shown(self) -> StatementInvoice | None:
        """Return the invoice of the month that was asked for; where one was voided and made anew, the new one."""
        return next(iter(sorted((one for one in self.invoices if one.month == self.month), key=_is_void)), None)

    def owed(self) -> dict[str, int]:
        """Return cents to be paid now, by currency: finalized invoices that are not paid."""
        return self._totals("finalized")

    def upcoming(self) -> dict[str, int]:
        """Return cents of months that are still open, by currency: not due yet."""
        return self._totals("open")

    def _totals(self, status: str) -> dict[str, int]:
        totals: dict[str, int] = {}
        for one in self.invoices:
            if one.status == status and one.total_cents is not None and one.payer is None:
                totals[one.currency] = totals.get(one.currency, 0) + one.total_cents
        return totals

    def headline(self) -> str:
        """Say in one sentence what is owed."""
        unpaid = sum(1 for one in self.invoices if one.status == "finalized" and one.total_cents and not one.payer)
        owed = _money(self.owed()) if unpaid else "nothing"
        on = f" on {unpaid} unpaid invoice{'s' if unpaid != 1 else ''}" if unpaid else ""
        upcoming = self.upcoming()
        soon = f" Usage not invoiced yet: {_money(upcoming)} so far." if any(upcoming.values()) else ""
        not_all = " Not everything could be read, so this may not be all." if self.problems else ""
        return f"{self.organization_name} owes {owed}{on}.{soon}{not_all}"

    def as_data(self) -> dict[str, Any]:
        """Return plain JSON-ready data; exact amounts are text."""
        parts: dict[str, Any] = _plain(asdict(self))
        for one, invoice in zip(parts["invoices"], self.invoices, strict=True):
            one["status_in_words"] = invoice.status_in_words()
        head = {name: parts.pop(name) for name in ("organization_id", "organization_name", "as_of")}
        return head | {"owed_cents": self.owed(), "upcoming_cents": self.upcoming()} | parts


def _is_void(invoice: StatementInvoice) -> bool:
    return invoice.status == "void"


def negotiated_working(detail: Mapping[str, Any]) -> str:
    """Say that a negotiated price applied, since when, and what it would be at the list price. Empty for a list price.

    Which group has it is left out: what a provider calls its customers is its own.
    """
    if "negotiated" not in detail:
        return ""
    agreed = detail["negotiated"]
    since = moment_text(datetime.fromisoformat(agreed["since"]))
    off = f"{grouped(agreed['percent_off'])} % off the list price" if "percent_off" in agreed else "your own price"
    return f"; {off} since {since}: {grouped(agreed['list']['amount'])} at the list price"


def _money(totals: Mapping[str, int]) -> str:
    return " + ".join(format_cents(cents, currency) for currency, cents in sorted(totals.items()))


def _plain(value: Any) -> Any:
    """Turn what `asdict` returns into what JSON has: moments and days become ISO 8601 text."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value
