"""Compares a month: reads both sides, and keeps what the report says about their sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from fly_billing.cutover.exports import Entry, InputFile, read_bodies, read_exports, read_pairs
from fly_billing.cutover.our_side import read_our_side
from fly_billing.cutover.rules.comparison import Comparison, UnreadableEntry, compare_month
from fly_billing.cutover.rules.past_invoices import PastInvoice
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.reader import StripeReader

CUSTOMERS = ("customer", "organization")
PRODUCTS = ("stripe", "product")
STRIPE = "Stripe's API"
# No customer in Stripe is older.
BEFORE_STRIPE = datetime(2010, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """The days on which Stripe created the invoices that bill the month, `[first, end)` in UTC."""

    first: date
    end: date

    @classmethod
    def after(cls, month: BillingMonth) -> Issued:
        """Return the calendar month after the billed one: usage is billed in arrears."""
        return cls(month.next().first_day, month.plus(2).first_day)

    def with_days(self, first: date | None, end: date | None) -> Issued:
        """Return the span with other days, if given."""
        return Issued(first or self.first, end or self.end)

    def contains(self, moment: datetime) -> bool:
        return self.first <= moment.date() < self.end


@dataclass(frozen=True)
class Inputs:
    """The files and days that a comparison reads.

    Attributes:
        exports: Exports of Stripe's invoices; none: `stripe` is read.
        customers: CSV with the header customer,organization.
        products: CSV with the header stripe,product.
    """

    issued: Issued
    exports: Sequence[Path] = ()
    customers: Path | None = None
    products: Path | None = None


@dataclass(frozen=True)
class Source:
    """A file that was compared and its SHA-256, for the sign-off. Stripe's API has none."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class ComparedMonth:
    """A comparison and its sources.

    Attributes:
        other_dates: The number of Stripe's invoices that were created on other days than `issued`.
    """

    comparison: Comparison
    issued: Issued
    sources: Sequence[Source]
    compared_at: datetime
    other_dates: int = 0


def compare(
    database: BillingDatabase,
    month: BillingMonth,
    inputs: Inputs,
    now: datetime,
    *,
    stripe: StripeReader | None = None,
    progress: Callable[[int], None] = lambda read: None,
) -> ComparedMonth:
    """Compare a month of Stripe with ours.

    Args:
        stripe: The account to read if `inputs` names no export.
        progress: Called with the number of invoices that were read from Stripe.

    Raises:
        ExportNotReadable, UnknownOrganizations: A file can't be used.
        ReadingFailed: Stripe can't be read.
    """
    exports = [InputFile.read(path) for path in inputs.exports]
    customers, of_customers = _pairs(inputs.customers, CUSTOMERS)
    products, of_products = _pairs(inputs.products, PRODUCTS)
    if stripe is None:
        entries, marked = read_exports(exports), {}
    else:
        entries = list(_from_stripe(stripe, inputs.issued, progress))
        marked = {customer: organization for organization, customer in stripe.customers_since(BEFORE_STRIPE)}
    past = [entry for entry in entries if isinstance(entry, PastInvoice)]
    of_month = [invoice for invoice in past if inputs.issued.contains(invoice.created)]
    ours = read_our_side(database, month, customers, marked)
    comparison = compare_month(
        month,
        of_month,
        ours.invoices,
        ours.failed,
        payer_of=ours.payers.payer_of,
        product_of=products,
        unreadable=[entry for entry in entries if isinstance(entry, UnreadableEntry)],
    )
    files = [Source(file.path.name, file.sha256) for file in (*exports, *of_customers, *of_products)]
    sources = files if stripe is None else [Source(STRIPE), *files]
    return ComparedMonth(comparison, inputs.issued, sources, now, len(past) - len(of_month))


def _pairs(path: Path | None, columns: tuple[str, str]) -> tuple[Mapping[str, str], Sequence[InputFile]]:
    """Read a file of pairs, if there is one; return its pairs and the file."""
    if path is None:
        return {}, ()
    file = InputFile.read(path)
    return read_pairs(file, columns), (file,)


def _from_stripe(stripe: StripeReader, issued: Issued, progress: Callable[[int], None]) -> Iterator[Entry]:
    def bodies() -> Iterator[Mapping[str, object]]:
        start, end = (datetime.combine(day, time(), UTC) for day in (issued.first, issued.end))
        for number, body in enumerate(stripe.invoices_since(start, end), start=1):
            progress(number)
            yield {**body, "lines": {"data": stripe.all_lines(body), "has_more": False}}

    return read_bodies(bodies(), STRIPE)
