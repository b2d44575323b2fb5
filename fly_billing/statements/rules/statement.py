"""A customer's statement as data: what the organization owes, and why. Shown as text, JSON or a page.

Not here: reading it from Postgres (`statements.statement_reader`), and its layout (`cli.statement`, `statements.page`).
Stripe is never asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from fly_billing.corrections.rules.causes import CAUSES
from fly_billing.dunning.rules.payment_states import payment_state
from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.money import EXACT, counted, format_cents, grouped, minor_digits
from fly_billing.periods import moment_text
from fly_billing.statements.rules.balance import Balance, LedgerSums, StripeAmounts, balances
from fly_billing.statements.rules.spend import MonthComparison, Spend
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails

# A file that arrived on this many days of a month is expected daily. One that arrived less often may have ended.
REGULAR_DAYS = 7
# Limits the sources that a statement names.
MOST_SOURCES = 5

# What happens at Stripe is read every 15 minutes. The statement says so if it was not read for longer than this.
READ_WITHIN = timedelta(hours=2)

STATUS = {
    "open": "open (so far)",
    "finalized": "due",
    "paid": "paid",
    "void": "void",
    "uncollectible": "not collected",
    "not computed": "not calculated yet",
}

# Below the current seller, on an invoice that became final before sellers were recorded.
SELLER_NOT_RECORDED = "(the seller today; this invoice did not record it)"


@dataclass(frozen=True)
class StatementItem:
    """One line of an invoice.

    Attributes:
        working: How the amount was calculated: `3 requests x 0.1`. Empty for an amount that was entered.
        amount: The exact amount.
        amount_cents: Its share of the invoice's total.
        organization_id: The organization that used or bought it.
        causes: Why an earlier month is adjusted: keys of `corrections.rules.causes.CAUSES`.
        period: When it was supplied.
        is_after_tax: It is credit that pays the amount with its taxes.
        id: Names it in `fly-billing explain`.
        quantity: The exact billed quantity, in `unit`.
    """

    product: str
    description: str
    working: str
    amount: str
    amount_cents: int
    kind: str = "usage"
    organization_id: str = ""
    causes: tuple[str, ...] = ()
    period: ServicePeriod | None = None
    is_after_tax: bool = False
    id: str = ""
    quantity: str = ""
    unit: str = ""

    def period_in_words(self) -> str:
        """Return the days on which it was supplied: `1 Oct 2026 to 30 Sep 2027`; empty if that is not known."""
        if self.period is None:
            return ""
        first, end = (date.fromordinal(day) for day in self.period.days)
        last = end - timedelta(days=1)
        return day_text(first) if first == last else f"{day_text(first)} to {day_text(last)}"

    @property
    def reasons(self) -> tuple[str, ...]:
        """The causes in words."""
        return tuple(CAUSES.get(cause, cause) for cause in self.causes)


@dataclass(frozen=True)
class StatementTax:
    """The tax of one rate on an invoice.

    Attributes:
        is_inclusive: The prices include the tax; it is not added to them.
        category: As in `tax_rates.TaxRate`; `legal_text` too.
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
        """The rate, with its category if that is not `standard`: `VAT 7 % (reduced)`."""
        rate = f"{self.name} {self.percent} %"
        return rate if self.category == "standard" else f"{rate} ({self.category_in_words})"

    @property
    def category_in_words(self) -> str:
        return _CATEGORIES.get(self.category, self.category)


_CATEGORIES = {"zero": "zero rate", "reverse_charge": "reverse charge", "outside": "not taxable"}


@dataclass(frozen=True)
class PayingOrganization:
    """The organization that pays another organization's invoices."""

    id: str
    name: str


@dataclass(frozen=True)
class StatementInvoice:
    """One month's invoice, as the customer sees it.

    Attributes:
        status: A key of `STATUS`.
        trouble: A sentence for the customer if the invoice can't be calculated, is late in Stripe, or can't be paid.
        items: The lines of the month that the statement shows; empty in other months, as are taxes, spend and compared.
        number: None until the invoice is final.
        payer: The organization that pays, if it is another one. Total and items are then this organization's share of
            the payer's invoice, without its discounts, credits and taxes.
        compared: The comparison with the month before: of an open month, with its same days.
        not_compared: A sentence that names the products left out of the comparison, or says why there is none.
        in_stripe: What Stripe asked for, if it has the invoice.
        is_waiting: It is final and will be sent to Stripe.
        pdf_url: Stripe's PDF.
        customer: The name, address and tax ids on the invoice; those of its finalization, if it is final.
        seller: The lines about the seller when it became final; None: it is open, or they were not recorded.
        id: None for a month without an invoice.
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
    not_compared: str = ""
    in_stripe: StripeAmounts | None = None
    is_waiting: bool = False
    pdf_url: str | None = None
    customer: InvoiceDetails | None = None
    seller: tuple[str, ...] | None = None
    id: str | None = None

    def seller_or(self, current: Sequence[str]) -> Sequence[str]:
        """Return the lines about the seller: a final invoice's own, which never change, or the current ones.

        A final invoice that recorded none says that they are the current ones.
        """
        if self.seller is not None:
            return self.seller
        return [*current, SELLER_NOT_RECORDED] if current and self.number else current

    def sums(self) -> list[tuple[str, int]]:
        """Return the invoice's sum, row by row: subtotal, added taxes, credit that pays after tax, total, paid and due.

        Taxes that the prices contain add nothing; `taxes` has them.
        """
        if self.total_cents is None:
            return []
        added = [tax for tax in self.taxes if not tax.is_inclusive]
        after = sum(item.amount_cents for item in self.items if item.is_after_tax)
        before = self.total_cents - after - sum(tax.tax_cents for tax in added)
        rows = [(f"{tax.title} on {format_cents(tax.taxable_cents, self.currency)}", tax.tax_cents) for tax in added]
        rows += [("Paid by credit", after)] if after else []
        return [*([("Subtotal", before)] if rows else []), *rows, ("Total", self.total_cents), *self._settled()]

    def _settled(self) -> list[tuple[str, int]]:
        if self.payer or self.status not in ("finalized", "paid") or self.total_cents is None:
            return []
        asked = self.in_stripe.due_cents if self.in_stripe else max(0, self.total_cents)
        earlier = asked - self.total_cents if self.in_stripe else 0
        noted = self.in_stripe.noted_cents if self.in_stripe else 0
        is_paid = self.status == "paid"
        paid = asked - noted if is_paid else self.in_stripe.part_paid_cents if self.in_stripe else 0
        carried_over = asked == 0 and self.in_stripe is not None and self.in_stripe.balance_cents > 0
        text = "Carried over to the next invoice" if carried_over else "Balance of earlier invoices"
        rows = [
            ("Kept as credit" if self.total_cents < 0 else text, earlier),
            ("Credit notes", -noted),
            ("Paid" if is_paid else "Paid so far", -paid),
        ]
        return [*((text, cents) for text, cents in rows if cents), ("Amount due", asked - noted - paid)]

    def items_by_product(self) -> dict[str, list[StatementItem]]:
        """Group the items by product, in the invoice's order."""
        grouped_items: dict[str, list[StatementItem]] = {}
        for item in self.items:
            grouped_items.setdefault(item.product, []).append(item)
        return grouped_items

    def status_in_words(self) -> str:
        """Return the status in words: `due`, `paid`. Does not reveal if a payer has paid."""
        if self.payer and self.status in ("open", "finalized", "paid"):
            prefix = f"{STATUS['open']}, " if self.status == "open" else ""
            return f"{prefix}paid by {self.payer.name}"
        if self.status not in ("finalized", "paid"):
            return STATUS[self.status]
        if (self.total_cents or 0) < 0:
            return "credit"
        if self.in_stripe and not self.in_stripe.due_cents and self.in_stripe.balance_cents > 0:
            return "carried over"
        asked = self.in_stripe.due_cents if self.in_stripe else self.total_cents
        if self.status == "finalized" and self.in_stripe and self.in_stripe.part_paid_cents:
            return "paid in part"
        return "nothing to pay" if self.status == "finalized" and not asked else STATUS[self.status]

    def reminder(self, now: datetime) -> str:
        """Return a kind sentence if the invoice is past due or given up.

        Empty otherwise, if another organization pays, and while Stripe does not ask for it.
        """
        if self.is_waiting:
            return ""
        asked = self.in_stripe.remaining_cents if self.in_stripe else self.total_cents
        state = payment_state(self.status, self.currency, asked or 0, None if self.payer else self.due_on, now)
        return state.in_words() if state and state.name in ("past due", "given up") else ""


@dataclass(frozen=True)
class RemainingCredit:
    """Prepaid or granted money that is not used up, in cents of its currency, rounded down.

    Attributes:
        pays: `net` if it lowers the taxable amount (promotions), `gross` if it pays the amount with tax (deposits).
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
    ) -> RemainingCredit:
        """Convert exact amounts in the currency's major unit to cents, rounded down."""
        granted, left = (
            int(exact.scaleb(minor_digits(currency), context=EXACT).to_integral_value(ROUND_FLOOR))
            for exact in (amount, left_over)
        )
        return cls(description, currency, granted, left, expires_at, pays)

    def in_words(self) -> str:
        """Return the remaining amount, its expiry, and if it also pays taxes: `Deposit: $5.00 remaining`."""
        expiry = f", expires {self.expires_at:%Y-%m-%d}" if self.expires_at else ""
        taxes = "; also pays taxes" if self.pays == "gross" else ""
        return f"{self.description}: {format_cents(self.left_cents, self.currency)} remaining{expiry}{taxes}"


@dataclass(frozen=True)
class UsageSource:
    """A file that brings usage.

    Attributes:
        name: The file's path; a `#` stands for each number in it.
        days: The number of landing days with this file.
        until: The last of these days.
    """

    name: str
    days: int
    until: date


@dataclass(frozen=True)
class Completeness:
    """The usage that a month's invoice includes.

    Attributes:
        until: All usage that arrived by the end of this UTC day is included. None: not even the first day's.
        last_day: The month's last day. A source's later files are for later months.
        as_of: All usage that arrived by this time of the next day is included, too. None: that day did not land yet.
    """

    until: date | None
    last_day: date
    sources: tuple[UsageSource, ...]
    as_of: datetime | None = None

    def overdue(self) -> list[UsageSource]:
        """Return the sources that arrived regularly and then stopped: their usage may be missing."""
        if self.until is None:
            return []
        expected = min(self.until, self.last_day)
        return [source for source in self.sources if source.days >= REGULAR_DAYS and source.until < expected]

    def in_words(self) -> str:
        """Return a sentence that names the included usage, one about each source, and one about overdue sources."""
        if self.until is None and self.as_of is None:
            return "Usage for the first day of this month is still incomplete."
        by = f"{self.as_of:%Y-%m-%d %H:%M} UTC" if self.as_of else f"the end of {self.until} (UTC)"
        overdue = ", ".join(f"{source.name} (last received {source.until})" for source in self.overdue())
        return f"Includes all usage received by {by}.{self._by_source()}" + (f" Overdue: {overdue}." if overdue else "")

    def _by_source(self) -> str:
        """Return when each source sent its last files, while the day of `as_of` lasts."""
        if self.as_of is None or not self.sources:
            return ""
        day, named = self.as_of.date(), []
        for source in self.sources[:MOST_SOURCES]:
            by = f" by {self.as_of:%H:%M}" if source.until == day else ""
            named.append(f"{source.name} on {source.until}{by}")
        more = f", and {len(self.sources) - MOST_SOURCES} more" if len(self.sources) > MOST_SOURCES else ""
        return f" Last received: {', '.join(named)}{more}."


@dataclass(frozen=True)
class IdleCap:
    """The organization's spending cap in another currency than this month's invoice: nothing is compared with it."""

    amount_cents: int
    currency: str
    billed_in: str

    def in_words(self) -> str:
        amount = format_cents(self.amount_cents, self.currency)
        return (
            f"Your spending cap of {amount} has no effect:"
            f" it is in {self.currency}, and this month is billed in {self.billed_in}."
        )


@dataclass(frozen=True)
class EarlierMonths:
    """Months that a statement does not list: they are older, and nothing of them is due.

    Attributes:
        first_month: The oldest of them, as `2016-10`.
    """

    count: int
    first_month: str

    def in_words(self) -> str:
        return f"{counted(self.count, 'more month')} since {self.first_month}, with nothing due"


@dataclass(frozen=True)
class Statement:
    """The months of an organization, newest first, with the details of one of them.

    Attributes:
        invoices: The newest months, those that something may be due for, and the one with details with its neighbours.
        month: The month with details: items, taxes, spend and comparison.
        problems: A sentence for each record that can't be read: which row it is, and what to do. The statement is
            incomplete without these records.
        has_unread_usage: Some of the organization's own usage of the month was rejected, and nobody fixed or waived it.
        ledger: What the organization owes by the ledger, for each currency.
        stripe_read_at: Until when what happens at Stripe is known; None if it is never read, or nothing is there.
        idle_cap: None if there is no cap, or one that works.
        earlier_months: The months that are not in `invoices`; None if it has all.
    """

    organization_id: str
    organization_name: str
    as_of: datetime
    invoices: tuple[StatementInvoice, ...]
    month: str | None = None
    credits: tuple[RemainingCredit, ...] = ()
    completeness: Completeness | None = None
    problems: tuple[str, ...] = ()
    has_unread_usage: bool = False
    ledger: tuple[LedgerSums, ...] = ()
    stripe_read_at: datetime | None = None
    idle_cap: IdleCap | None = None
    earlier_months: EarlierMonths | None = None

    def unread_usage_in_words(self) -> str:
        """Return the sentence about usage that could not be read; empty if there is none."""
        if not self.has_unread_usage:
            return ""
        return f"Some of your usage of {self.month} could not be read yet and is not included."

    def shown(self) -> StatementInvoice | None:
        """Return the invoice of the month with details; if it was voided and reissued, the new revision."""
        of_month = (invoice for invoice in self.invoices if invoice.month == self.month)
        return next(iter(sorted(of_month, key=_is_void)), None)

    def balances(self) -> dict[str, Balance]:
        """Return what the organization owes, by currency; not what another one pays for it."""
        return balances((invoice for invoice in self.invoices if invoice.payer is None), self.ledger)

    def calculation(self) -> list[tuple[str, str]]:
        """Return the amount owed as a sum: text and amount of each line. Empty if there is nothing to add up.

        Each currency has lines of its own, since nothing is added up across currencies.
        """
        return [(text, format_cents(cents, currency)) for text, cents, currency in self.sums_of_balances()]

    def sums_of_balances(self) -> list[tuple[str, int, str]]:
        """Return the lines of `calculation` with cents and currency."""
        found = self.balances()
        return [
            (text, cents, currency)
            for currency, balance in found.items()
            for text, cents in balance.calculation() or _owed_alone(balance, is_one_of_several=len(found) > 1)
        ]

    def caveats(self) -> list[str]:
        """Return a sentence for each part of the sum that is not certain or easy to miss, and about an idle cap."""
        return [*self._caveats()]

    def _caveats(self) -> Iterator[str]:
        found = self.balances().items()
        if waiting := {currency: balance.waiting for currency, balance in found if balance.waiting}:
            yield f"{_money(waiting)} is invoiced, but payment has not been requested yet."
        if disputed := {currency: balance.disputed for currency, balance in found if balance.disputed}:
            yield f"Your bank disputes {_money(disputed)} that you paid. It is not part of what you owe."
        if refunded := {currency: balance.refunded for currency, balance in found if balance.refunded}:
            yield f"{_money(refunded)} of what you paid was refunded."
        for each in self.ledger:
            if each.lost_cents:
                yield _of_lost_balance(each)
        since = self.stripe_read_at
        if since is not None and since < self.as_of - READ_WITHIN:
            yield f"Payments, refunds and credit since {moment_text(since)} are not included yet."
        if self.idle_cap:
            yield self.idle_cap.in_words()

    def owed(self) -> dict[str, int]:
        """Return what the unpaid final invoices ask for, in cents by currency."""
        return {currency: balance.owed for currency, balance in self.balances().items() if balance.owed}

    def upcoming(self) -> dict[str, int]:
        """Return the total of open months, in cents by currency; it is not due yet."""
        totals: dict[str, int] = {}
        for invoice in self.invoices:
            if invoice.status == "open" and invoice.total_cents is not None and invoice.payer is None:
                totals[invoice.currency] = totals.get(invoice.currency, 0) + invoice.total_cents
        return totals

    def headline(self) -> str:
        """Return what the organization owes, in a few sentences."""
        upcoming = self.upcoming()
        sentences = [
            f"{self.organization_name} owes {self._owed_in_words()}.",
            *self._balances_in_words(),
            *([f"Not invoiced yet: {_money(upcoming)} so far."] if any(upcoming.values()) else []),
            *(["Some records could not be read, so this may be incomplete."] if self.problems else []),
        ]
        return " ".join(sentences)

    def _owed_in_words(self) -> str:
        owed, found = self.owed(), self.balances()
        if not owed:
            return "nothing"
        unpaid = sum(balance.unpaid for balance in found.values())
        earlier = {currency: balance.earlier for currency, balance in found.items()}
        carried = {currency: cents for currency, cents in earlier.items() if cents > 0}
        deducted = {currency: -cents for currency, cents in earlier.items() if cents < 0}
        noted = {currency: balance.noted for currency, balance in found.items() if balance.noted}
        part_paid = {currency: balance.part_paid for currency, balance in found.items() if balance.part_paid}
        return (
            f"{_money(owed)} on {unpaid} unpaid invoice{'s' if unpaid != 1 else ''}"
            + (f", including {_money(carried)} carried over from earlier invoices" if carried else "")
            + (f", after {_money(deducted)} of credit" if deducted else "")
            + (f", after {_money(noted)} of credit notes" if noted else "")
            + (f", after {_money(part_paid)} paid so far" if part_paid else "")
        )

    def _balances_in_words(self) -> Iterator[str]:
        found = self.balances()
        for currency, balance in found.items():  # a balance is only ever used by invoices in its own currency
            of_it = f" in {currency}" if len(found) > 1 else ""
            if balance.credit:
                yield f"A credit of {format_cents(balance.credit, currency)} reduces the next invoice{of_it}."
            if balance.carried_over:
                amount = format_cents(balance.carried_over, currency)
                why = "" if balance.is_charged else "is too small to charge and "
                yield f"{amount} {why}is added to the next invoice{of_it}."

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; exact amounts are text."""
        parts: dict[str, Any] = _plain(asdict(self))
        for data, invoice in zip(parts["invoices"], self.invoices, strict=True):
            data["status_in_words"] = invoice.status_in_words()
            data["reminder"] = invoice.reminder(self.as_of)
        head = {name: parts.pop(name) for name in ("organization_id", "organization_name", "as_of")}
        amounts = {
            "owed_cents": self.owed(),
            "upcoming_cents": self.upcoming(),
            "balances": {currency: asdict(balance) for currency, balance in self.balances().items()},
            "calculation": [{"text": text, "amount": amount} for text, amount in self.calculation()],
            "caveats": self.caveats(),
        }
        return head | amounts | parts


def _owed_alone(balance: Balance, *, is_one_of_several: bool) -> list[tuple[str, int]]:
    return [("Owed", balance.owed)] if is_one_of_several and balance.owed else []


def day_text(day: date) -> str:
    """Write a day for people: `1 Oct 2026`."""
    return f"{day.day} {day:%b %Y}"


def _is_void(invoice: StatementInvoice) -> bool:
    return invoice.status == "void"


def subscribed_working(detail: Mapping[str, Any]) -> str:
    """Return the subscribed quantity of a fee, to write before its calculation; empty for a quantity of 1."""
    return f"quantity {grouped(detail['subscribed'])}: " if "subscribed" in detail else ""


def negotiated_working(detail: Mapping[str, Any]) -> str:
    """Return the negotiated discount, its start, and the amount at the list price; empty if none was negotiated.

    Does not name the group of customers that has the price: such names are the provider's own.
    """
    if "negotiated" not in detail:
        return ""
    agreed = detail["negotiated"]
    since = moment_text(datetime.fromisoformat(agreed["since"]))
    price = (
        f"{grouped(agreed['percent_off'])} % off the list price" if "percent_off" in agreed else "your negotiated price"
    )
    return f"; {price} since {since} ({grouped(agreed['list']['amount'])} at the list price)"


def _of_lost_balance(sums: LedgerSums) -> str:
    amount = format_cents(abs(sums.lost_cents), sums.currency)
    what, then = ("A credit", "reduces") if sums.lost_cents < 0 else ("An amount", "is added to")
    return (
        f"{what} of {amount} was deleted with your customer account at Stripe. It is not in these sums, and {then} no"
        " invoice until we enter it again."
    )


def _money(totals: Mapping[str, int]) -> str:
    return " + ".join(format_cents(cents, currency) for currency, cents in sorted(totals.items()))


def _plain(value: Any) -> Any:
    """Convert tuples to lists, and moments and days to ISO 8601 text, for JSON."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value
