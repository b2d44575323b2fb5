"""`fly-billing reserve`: usage paid for a year ahead, cheaper, as monthly credits."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.invoicing.reservation_sales import ReservationRefused, find_block
from fly_billing.invoicing.reservation_sales import reserve as write_reservation
from fly_billing.money import format_cents, to_cents
from fly_billing.periods import LAST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.reservations import Reservation


def reserve(
    console: Terminal, organization: str, block: str, value: str, first_month: BillingMonth | None, number: int
) -> None:
    """Buy a block of the shipped price book. Raises ReservationRefused."""
    found = find_block(read_price_book_files(SHIPPED / "fly").reservations, block)
    first = first_month or BillingMonth.containing(datetime.now(UTC))
    if first > LAST_MONTH.plus(1 - found.months):
        raise ReservationRefused(f"a reservation from {first} would last beyond {LAST_MONTH}: choose an earlier month")
    reservation = Reservation(found, organization, value, first, number)
    with local_platform() as settings:
        is_new = write_reservation(BillingDatabase(settings.database_url), reservation)
    once, monthly = (
        format_cents(to_cents(amount, found.currency), found.currency)
        for amount in (found.upfront_amount, found.monthly_credit)
    )
    said = "reserved" if is_new else "reserved already, nothing was written"
    console.print(
        f"{organization}: {said}: {reservation.description}. {once} on the invoice of {first}, for {monthly} of credit"
        f" in each month from {first} to {reservation.last_month}.",
        soft_wrap=True,
    )
